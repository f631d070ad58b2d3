"""Attacks and simulations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def honest_shape(shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"the honest rows must be two-dimensional (clients, coordinates), got shape {shape}")


def too_few_honest(rows: int, needed: int) -> ValueError:
    return ValueError(f"this attack needs at least {needed} honest rows, got {rows}")


def goal_shape(shape: tuple[int, ...], d: int) -> ValueError:
    return ValueError(f"goal must be one value per coordinate, shape ({d},), got {shape}")


def poisoned_shape(shape: tuple[int, ...], d: int) -> ValueError:
    return ValueError(f"the poisoned rows must have shape (attackers, {d}), as the honest ones, got {shape}")


def nobody_honest(clients: int, f: int) -> ValueError:
    return ValueError(f"{f} attackers of {clients} clients leave nobody honest to learn from")


def unknown_option(attack: str, option: str, known: Sequence[str]) -> ValueError:
    return ValueError(f"attack {attack!r} has no option {option!r}; it has {', '.join(known) or 'none'}")


def one_class(count: int) -> ValueError:
    return ValueError(f"there must be two classes at least to tell apart, got {count}")


def samples_and_labels(x: tuple[int, ...], y: tuple[int, ...]) -> ValueError:
    return ValueError(f"there must be as many labels as samples, (samples,) and (samples, ...), got {y} and {x}")


def no_such_label(label: object) -> ValueError:
    return ValueError(f"no sample has the label {label!r}")


def class_names(names: Sequence[str], labels: Sequence[object]) -> ValueError:
    return ValueError(
        f"classes must name each of the {len(labels)} labels {', '.join(map(str, labels))}, "
        f"got {len(names)}: {', '.join(names)}"
    )


def test_features(tested: int, features: int) -> ValueError:
    return ValueError(f"samples to test on must have {features} features as the others, got {tested}")


def task_too_small(samples: int, features: int) -> ValueError:
    return ValueError(f"there must be three samples of a feature at least, got {samples} of {features} features")


def label_missing(sample: int, label: object) -> ValueError:
    return ValueError(f"the label of sample {sample} is {label!r}: label it or leave the sample out")


def labels_of_kinds(kinds: Iterable[str]) -> ValueError:
    return ValueError(f"labels must be of one kind, numbers or texts, got {', '.join(kinds)}")


def image_shape(image: object, features: int) -> ValueError:
    return ValueError(f"image must be (channels, height, width) of the {features} features of a sample, got {image!r}")


def samples_not_finite(sample: int) -> ValueError:
    return ValueError(f"sample {sample} holds a value that is NaN or infinite")


def clients_without_samples(clients: int, alpha: float, draws: int) -> ValueError:
    return ValueError(
        f"in {draws} unbalanced draws with alpha = {alpha:g} one of {clients} clients got no sample each time: "
        "take fewer clients or a larger alpha"
    )


def no_data(path: object) -> ValueError:
    return ValueError(f"there are no data at {path}")


def not_npz(path: object) -> ValueError:
    return ValueError(f"{path} is no .npz file of NumPy")


def not_utf8(path: object, line: int) -> ValueError:
    return ValueError(f"{path}, line {line}: this is not UTF-8; convert the file (iconv -f latin1 -t utf8, say)")


def not_an_archive(path: object) -> ValueError:
    return ValueError(f"{path} is neither a folder nor a zip or tar archive")


def arrays_missing(path: object, needed: Iterable[str], found: Iterable[str]) -> ValueError:
    return ValueError(f"{path} must hold the arrays {', '.join(needed)}, it holds {', '.join(found) or 'none'}")


def not_newsgroups(path: object, missing: Sequence[str]) -> ValueError:
    return ValueError(
        f"{path} does not hold 20 Newsgroups as 20news-bydate-train/GROUP/ID and 20news-bydate-test/GROUP/ID: "
        f"there is no {', '.join(missing) or 'test set'}"
    )


def ragged_table(path: object, line: int, cells: int, columns: int) -> ValueError:
    return ValueError(f"{path}, row {line}: {cells} cells under a header of {columns} columns")


def small_table(path: object, rows: int, columns: int) -> ValueError:
    return ValueError(f"{path} must have a header, two columns and 8 rows at least, it has {columns} and {rows}")


def gap_in_numbers(path: object, line: int, column: str, cell: str) -> ValueError:
    return ValueError(
        f"{path}, row {line}, column {column!r}: {cell!r} is no finite number, and the table is one of numbers: "
        "fill it in or leave the row out"
    )


def no_images(path: object, suffixes: Iterable[str]) -> ValueError:
    return ValueError(f"{path} holds no images ({', '.join(suffixes)}) in a folder or archive per class")


def not_an_image(path: object, name: str) -> ValueError:
    return ValueError(f"{path}: {name} cannot be read as an image: it is damaged or of another format")


def only_test_images(path: object) -> ValueError:
    return ValueError(f"{path} holds images to test on only, below folders named 'test': there are none to train on")


def no_words(title: str) -> ValueError:
    return ValueError(
        f"the texts of {title!r} hold no words but stop words such as 'the': there is nothing to learn from"
    )


def bad_study(source: object, fault: str) -> ValueError:
    return ValueError(f"{source}: {fault}")


def study_exists(path: object) -> FileExistsError:
    return FileExistsError(f"{path} holds results already: go on with --resume (resume=True), or name another folder")


def results_exist(path: object) -> FileExistsError:
    return FileExistsError(f"{path} holds results already: name another folder")


def no_study(folder: object) -> ValueError:
    return ValueError(f"there are no results of a study in {folder}")


def bad_results(path: object, fault: object) -> ValueError:
    return ValueError(f"{path} cannot be used as the results of a study: {fault}")


def chosen_by_recommend(name: str) -> ValueError:
    return ValueError(
        f"{name} cannot be set here: attacks, with payload, effort and options, are those that recommend tries, "
        f"and rules and seeds have arguments of their own (--rule, --seeds)"
    )


def process_killed() -> ChildProcessError:
    return ChildProcessError("the process that trained was killed: out of memory, or by a signal")


def nothing_to_draw(folder: object, quantities: Iterable[object]) -> ValueError:
    return ValueError(f"no training of the study in {folder} has {' or '.join(map(str, quantities))}")


def nothing_to_compare(folder: object, failure: str | None) -> ValueError:
    one = f"; one ended in {failure}" if failure else ""
    return ValueError(
        f"there is nothing to compare in {folder}: no training has succeeded yet, "
        f"or none with a seed that the other rules of its cell have, too{one}"
    )


def image_too_small(model: str, image: tuple[int, int, int], least: int) -> ValueError:
    _, height, width = image
    return ValueError(
        f"the model {model!r} learns images of {least} x {least} pixels at least, and these are of {width} x {height}"
    )


def no_image_task(model: str, task: str) -> ValueError:
    return ValueError(f"the model {model!r} learns images, and the samples of {task!r} are none")
