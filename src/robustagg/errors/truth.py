"""Answers of crowds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def no_answers(dropped: int) -> ValueError:
    return ValueError(f"no answers are left: all {dropped} were dropped" if dropped else "there are no answers")


def not_answers(got: object) -> TypeError:
    return TypeError(
        "answers are a table with columns, a mapping of columns, (items, workers, values), or the path of a CSV or "
        f"Parquet file; got {type(got).__name__}"
    )


def no_column(name: str, known: Iterable[object]) -> ValueError:
    return ValueError(f"there is no column {name!r}; there are {', '.join(repr(column) for column in known)}")


def uneven_columns(items: int, workers: int, values: int) -> ValueError:
    return ValueError(f"columns of different lengths: {items} items, {workers} workers, {values} values")


def column_twice(source: object, known: Iterable[object]) -> ValueError:
    return ValueError(f"{source} has two columns of one name: {', '.join(repr(column) for column in known)}")


def missing_id(what: str, row: int) -> ValueError:
    return ValueError(f"row {row}: the {what} is missing")


def bad_answer_id(what: str, row: int, got: object) -> TypeError:
    return TypeError(f"row {row}: the {what} must be a str or an int, got {got!r} ({type(got).__name__})")


def not_a_number(row: int, worker: object, item: object, value: object) -> ValueError:
    return ValueError(f"row {row}: worker {worker!r} answered item {item!r} with {value!r}, which is no number")


def non_finite_answer(row: int, worker: object, item: object, value: object) -> ValueError:
    return ValueError(f"row {row}: worker {worker!r} answered item {item!r} with {value}, which is not finite")


def answered_twice(worker: object, item: object, first: int, second: int) -> ValueError:
    return ValueError(f"worker {worker!r} answered item {item!r} twice, in rows {first} and {second}")


def too_many_answers(count: int) -> ValueError:
    return ValueError(f"{count} answers are more than the 2147483647 that fit")


def other_kind_of_answers(method: str, expected: str) -> ValueError:
    return ValueError(f"{method} takes {expected} answers")


def unknown_item(item: object) -> ValueError:
    return ValueError(f"nobody has answered item {item!r}")


def unknown_table(path: object) -> ValueError:
    return ValueError(f"{path} is no table of answers: its suffix must be .csv or .parquet")


def bad_table(path: object, fault: Exception) -> ValueError:
    return ValueError(f"{path} is no table of answers: {fault}")


def no_attack_on(what: str) -> ValueError:
    return ValueError(f"this attack is on numbers, not on {what}")


def worker_exists(worker: object) -> ValueError:
    return ValueError(f"worker {worker!r} has answered already")


def no_estimate(item: object) -> LookupError:
    return LookupError(f"there is no estimate of item {item!r}")


def no_items() -> ValueError:
    return ValueError("there is no item to compare: two results of the same items are needed")


def no_gold(gold: Sequence[object], items: Sequence[object]) -> ValueError:
    first = f"; the gold begins with item {gold[0]!r}, the answers with {items[0]!r}" if gold else ""
    return ValueError(f"no item that was answered has a gold{first}")


def no_distance() -> ValueError:
    return ValueError("estimates that are categories have no distance from others, nor from a gold")


def bad_gold(path: object, fault: object) -> ValueError:
    return ValueError(f"the gold {path}: {fault}")


def no_parameter(method: str, name: str, known: Iterable[str] = ()) -> ValueError:
    told = ", ".join(known)
    return ValueError(f"the method {method} has no parameter {name!r}{f'; it has {told}' if told else ''}")
