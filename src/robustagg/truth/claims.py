"""The answers of many workers to many items, in compressed rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels import truth as kernels
from robustagg.kernels.interface_truth import LARGEST, Answers, Codes, Reals, Scale, loss_units
from robustagg.truth import tables

FEW = 3  # a worker with fewer answers than this is told of


class Dropped(NamedTuple):
    """An answer that was left out."""

    row: int
    worker: Any
    item: Any
    reason: str


@dataclass(frozen=True, eq=False)
class Claims:
    """What workers answered, item by item; made by :meth:`Claims.of`.

    Attributes
    ----------
    items, workers : (N,) and (K,) arrays of int or of str and int
        The ids, sorted; integers before text.
    answers : Answers
        The A answers in compressed rows, by item.
    categories : (C,) array or None
        The ids of the categories; None where answers are numbers.
    dropped : tuple of Dropped
        Answers that were left out, and why.

    Notes
    -----
    12 bytes an answer. Ids that are integers of a narrow range are numbered fastest.

    Examples
    --------
    >>> from robustagg import truth
    >>> claims = truth.Claims.of((["a", "a", "b"], ["ada", "bob", "ada"], [1.0, 3.0, 5.0]))
    >>> claims
    Claims(3 answers of 2 workers to 2 items)
    """

    items: NDArray[Any]
    workers: NDArray[Any]
    answers: Answers
    categories: NDArray[Any] | None = None
    dropped: tuple[Dropped, ...] = ()

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        item: str = "task",
        worker: str = "worker",
        value: str = "label",
        categorical: bool = False,
        duplicates: str = "raise",
        nonfinite: str = "drop",
    ) -> Claims:
        """Claims from a table.

        Parameters
        ----------
        data : table, mapping, three arrays, or path
            A pandas, polars or Arrow table, a mapping of columns, ``(items, workers, values)``, or the path of a CSV or
            Parquet file; A rows, one an answer. Ids are int or str; of a file each cell for itself, whatever the others
            are: 6 is an integer, x7 and 06 are text.
        item, worker, value : str
            The names of the columns; those of crowd-kit by default.
        categorical : bool
            Whether values are categories (int or str) and not numbers.
        duplicates : {"raise", "mean"}
            A second answer of a worker to an item: an error, or all its answers to the item count as their mean.
        nonfinite : {"drop", "raise"}
            An answer that is missing (None, NaN, NaT, masked, an empty cell of a file), infinite or beyond 3e150: left
            out with a reason, or an error.

        Returns
        -------
        Claims

        Raises
        ------
        OSError
            If a file is to be read and cannot be.
        ValueError, TypeError
            If a file holds no table, a column is missing or of another length, an id is missing or no int or str, a
            value is no number, or no answer is left; with both rows named where a worker answered twice.
        ImportError
            If a file is to be read and pyarrow is not installed.
        """
        for name, got, options in (
            ("duplicates", duplicates, ("raise", "mean")),
            ("nonfinite", nonfinite, ("drop", "raise")),
        ):
            if got not in options:
                raise errors.not_one_of(name, got, options)
        if isinstance(data, Claims):
            return data
        columns = tables.columns(data, (item, worker, value), categorical=categorical)
        return _Reading(*columns, categorical=categorical, nonfinite=nonfinite, duplicates=duplicates).claims()

    def __repr__(self) -> str:
        kind = "answers" if self.categories is None else f"answers in {self.categories.size} categories"
        return f"Claims({self.size} {kind} of {self.workers.size} workers to {self.items.size} items)"

    @property
    def size(self) -> int:
        """A, the number of answers."""
        return self.answers.values.size

    @cached_property
    def per_item(self) -> NDArray[np.int64]:
        """(N,): answers to each item."""
        return np.diff(self.answers.starts)

    @cached_property
    def per_worker(self) -> NDArray[np.int64]:
        """(K,): answers of each worker."""
        return np.bincount(self.answers.workers, minlength=self.workers.size)

    @cached_property
    def item_of(self) -> Codes:
        """(A,): the item of each answer."""
        return np.repeat(np.arange(self.items.size, dtype=np.int32), self.per_item)

    @cached_property
    def median(self) -> Reals:
        """(N,): the median answer."""
        values, first = self.answers.values, self.answers.starts[:-1]
        middle: Reals = 0.5 * values[first + (self.per_item - 1) // 2] + 0.5 * values[first + self.per_item // 2]
        return middle

    @cached_property
    def spread(self) -> tuple[Reals, Reals]:
        """((N,), (N,)): mean and population standard deviation."""
        return kernels.active().spread_answers(self.answers.starts, self.answers.values)

    @cached_property
    def arranged(self) -> Answers:
        """The answers, as the backend in force reads them fastest: 12 more bytes an answer."""
        return kernels.active().arranged(self.answers)

    def scale(self, factor: Reals | None = None) -> Scale:
        """Answers as multiples of the item's standard deviation from its median; losses times `factor`, 1 at most."""
        inverse, units = self._standard
        return Scale(self.median, inverse, np.ones_like(inverse) if factor is None else factor, *units)

    @cached_property
    def _standard(self) -> tuple[Reals, tuple[float, float]]:
        """(N,) one over the standard deviations, 0 where there is none; and the units of losses in them."""
        deviation, values, starts = self.spread[1], self.answers.values, self.answers.starts
        inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        farthest = np.maximum(self.median - values[starts[:-1]], values[starts[1:] - 1] - self.median) * inverse
        # a truth is no farther from the median than an answer is
        largest = max(2 * float(farthest.max()), 1.0) ** 2
        return inverse, loss_units(largest, int(self.per_worker.max()))

    def unscaled(self, factor: float) -> Scale:
        """Answers as they are, losses times `factor`, and none above 2 then."""
        size = self.items.size
        units = loss_units(2.0, int(self.per_worker.max()))
        return Scale(np.zeros(size), np.ones(size), np.full(size, factor), *units)

    def positions(self, items: Any) -> NDArray[np.int64]:
        """Where the given items are; all of them for None."""
        if items is None:
            return np.arange(self.items.size)
        place = {item: n for n, item in enumerate(self.items.tolist())}
        wanted = np.asarray(items).reshape(-1).tolist() if isinstance(items, np.ndarray) else list(items)
        for item in wanted:
            if item not in place:
                raise errors.unknown_item(item)
        return np.array([place[item] for item in wanted], np.int64)

    def among(self, workers: NDArray[Any]) -> Claims:
        """The same answers, their workers found among more of them, sorted."""
        place = {worker: k for k, worker in enumerate(workers.tolist())}
        codes = np.array([place[worker] for worker in self.workers.tolist()], np.int32)
        return replace(self, workers=workers, answers=self.answers._replace(
            workers=codes[self.answers.workers], crowd=workers.size))  # fmt: skip

    def only(self, kept: NDArray[np.bool_]) -> Claims:
        """The answers that a mask (A,) keeps; items and workers without any are gone."""
        who, what = self.answers.workers[kept], self.answers.values[kept]
        return _compact(self, self.item_of[kept], who, what)

    def joined(self, items: NDArray[Any], workers: list[Any], codes: tuple[Codes, Codes], values: Reals) -> Claims:
        """With the answers of new workers: `codes` are their places among all items and in the list `workers`."""
        merged = tables.ids_of(sorted([*self.workers.tolist(), *workers], key=lambda v: (isinstance(v, str), v)))
        old, place = self.among(merged), {worker: k for k, worker in enumerate(merged.tolist())}
        new = np.array([place[worker] for worker in workers], np.int32)[codes[1]]
        return build(
            self.items,
            merged,
            np.concatenate([self.item_of, codes[0]]),
            np.concatenate([old.answers.workers, new]),
            np.concatenate([self.answers.values, values]),
            self.dropped,
            self.categories,
        )

    def remarks(self) -> list[str]:
        """What to know before trusting the estimates: items with one answer, workers with few, answers left out."""
        said = []
        if lone := int((self.per_item == 1).sum()):
            said.append(f"{lone} of {self.items.size} items have one answer, which is then the estimate")
        if few := int((self.per_worker < FEW).sum()):
            said.append(f"{few} of {self.workers.size} workers have fewer than {FEW} answers, too few to be weighed by")
        if self.dropped:
            first = self.dropped[0]
            told = f"row {first.row}, worker {first.worker!r}, item {first.item!r}: {first.reason}"
            said.append(f"{len(self.dropped)} answers were left out; the first: {told}")
        return said


def build(
    items: NDArray[Any],
    workers: NDArray[Any],
    item_codes: Codes,
    worker_codes: Codes,
    values: Reals,
    dropped: tuple[Dropped, ...] = (),
    categories: NDArray[Any] | None = None,
) -> Claims:
    """Claims of numbered answers; every item has at least one."""
    backend = kernels.active()
    starts, order = backend.group_answers(item_codes, items.size)
    who, what = worker_codes[order], values[order]
    del order
    backend.sort_answers(starts, who, what)
    return Claims(items, workers, Answers(starts, who, what, workers.size), categories, dropped)


def _compact(claims: Claims, items: Codes, workers: Codes, values: Reals) -> Claims:
    """Claims of some of the answers, without the items and workers that have none left."""
    if not values.size:
        raise errors.no_answers(claims.size)
    kept, item_codes = tables.numbered(items, "item")
    some, worker_codes = tables.numbered(workers, "worker")
    return build(claims.items[kept], claims.workers[some], item_codes, worker_codes, values, (), claims.categories)


@dataclass
class _Reading:
    """The way from three columns to claims."""

    items: NDArray[Any]
    workers: NDArray[Any]
    values: NDArray[Any]
    categorical: bool
    nonfinite: str
    duplicates: str

    def claims(self) -> Claims:
        if self.values.size >= 2**31:
            raise errors.too_many_answers(self.values.size)
        numbers, good = self._categories() if self.categorical else self._numbers()
        dropped = self._dropped(good)
        rows = None if good.all() else np.flatnonzero(good)
        if not good.any():
            raise errors.no_answers(len(dropped))
        columns = (self.items, self.workers, numbers)
        what, who, values = columns if rows is None else (column[rows] for column in columns)
        items, item_codes = tables.numbered(what, "item", rows)
        workers, worker_codes = tables.numbered(who, "worker", rows)
        found = item_codes, worker_codes, values + 0.0  # no negative zeros: they would be neighbours of the others
        if second := first_duplicate(item_codes, worker_codes, workers.size):
            found = self._merged(found, second, rows)
        return build(items, workers, *found, dropped, self._names if self.categorical else None)

    def _line(self, row: int) -> tuple[Any, Any, Any]:
        """Worker, item and answer of a row, as Python's own."""
        worker, item, value = (column[row : row + 1].tolist()[0] for column in (self.workers, self.items, self.values))
        return worker, item, value

    def _numbers(self) -> tuple[Reals, NDArray[np.bool_]]:
        if self.values.dtype.kind in "cmM" and self.values.size:  # NumPy would make numbers of days
            raise errors.not_a_number(0, *self._line(0)[:2], str(self.values[0]))
        try:
            numbers = np.asarray(self.values, np.float64)
        except (TypeError, ValueError):
            numbers = np.array([self._number(row, value) for row, value in enumerate(self.values.tolist())])
        return numbers, np.abs(numbers) <= LARGEST

    def _number(self, row: int, value: Any) -> float:
        if tables.missing(value) or value == "":
            return math.nan
        try:
            return float(value)
        except (TypeError, ValueError) as fault:
            raise errors.not_a_number(row, *self._line(row)) from fault

    def _categories(self) -> tuple[Reals, NDArray[np.bool_]]:
        if self.values.dtype.kind == "O":
            good = np.array([not tables.missing(value) for value in self.values.tolist()], np.bool_)
        else:
            good = self.values == self.values
        codes = np.zeros(good.size, np.float64)
        self._names, codes[good] = tables.numbered(self.values[good], "category", np.flatnonzero(good))
        return codes, good

    def _dropped(self, good: NDArray[np.bool_]) -> tuple[Dropped, ...]:
        rows = np.flatnonzero(~good).tolist()
        lines = [(row, *self._line(row)) for row in rows]
        if lines and self.nonfinite == "raise":
            raise errors.non_finite_answer(*lines[0])
        return tuple(Dropped(row, worker, item, f"the answer is {value}") for row, worker, item, value in lines)

    def _merged(
        self, found: tuple[Codes, Codes, Reals], second: tuple[int, int], rows: NDArray[np.int64] | None
    ) -> tuple[Codes, Codes, Reals]:
        """Each worker's answers to an item as their mean."""
        if self.duplicates == "raise" or self.categorical:
            first, again = second if rows is None else rows[list(second)].tolist()
            raise errors.answered_twice(*self._line(first)[:2], first, again)
        items, workers, values = found
        order = np.lexsort((values, workers, items))  # by value, so that the mean does not depend on the order of rows
        items, workers, values = items[order], workers[order], values[order]
        starts = np.flatnonzero(np.r_[True, (np.diff(items) != 0) | (np.diff(workers) != 0)])
        counts = np.diff(np.r_[starts, items.size])
        return items[starts], workers[starts], np.add.reduceat(values / np.repeat(counts, counts), starts)


def first_duplicate(items: Codes, workers: Codes, count: int) -> tuple[int, int] | None:
    """The rows of the first worker's first item that has two answers of it."""
    backend = kernels.active()
    _, by_item = backend.group_answers(items, int(items.max()) + 1)
    _, by_worker = backend.group_answers(workers[by_item], count)
    order = by_item[by_worker]  # by worker, then by item, then by row
    who, what = workers[order], items[order]
    twice = (who[1:] == who[:-1]) & (what[1:] == what[:-1])
    if not twice.any():
        return None
    k = int(twice.argmax())
    return int(order[k]), int(order[k + 1])
