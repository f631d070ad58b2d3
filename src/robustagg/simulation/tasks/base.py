"""What every task is made of: samples to train and test on, the classes' names, and what an attack means here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.attacks import Trigger, corner, frequent_words
from robustagg.rules.checks import whole

Samples: TypeAlias = tuple[NDArray[np.float32], NDArray[np.intp]]
"""(samples, features) and (samples,) the class of each, counted from 0."""

TESTED = 0.25  # share of the samples, where a task has no test set of its own


@dataclass(frozen=True)
class Recipe:
    """How a task is trained unless the settings say otherwise."""

    model: str = "mlp"
    learning_rate: float = 0.2
    batch: int = 32


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to be split over clients, and what attackers aim at.

    Attributes
    ----------
    title : str
        In words, for pictures.
    train, test : pair of arrays
        (samples, features) float32 and (samples,) classes counted from 0.
    classes : tuple of str
        Their names.
    source, target : int
        From which class to which labels are flipped.
    marked_as : int
        The class that a backdoor's trigger shall be taken for.
    trigger : callable
        The trigger of a size: ``trigger(size)``, or the usual one with None.
    image : tuple of int, optional
        (channels, height, width) of the features, where they are pixels.
    recipe : Recipe
        How it is trained.
    """

    title: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    source: int
    target: int
    marked_as: int
    trigger: Callable[[int | None], Trigger]
    image: tuple[int, int, int] | None = None
    recipe: Recipe = Recipe()

    @property
    def features(self) -> int:
        """How many features a sample has."""
        return int(self.train[0].shape[1])

    def class_of(self, name: str | int) -> int:
        """Number of a class that is given by name, or by number where none is called so."""
        if str(name) in self.classes:
            return self.classes.index(str(name))
        if isinstance(name, int) and 0 <= name < len(self.classes):
            return name
        raise errors.not_one_of("the class", name, [*self.classes, f"0 to {len(self.classes) - 1}"])


def arrays(
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any] | None = None,
    classes: Sequence[str] | None = None,
    title: str = "own data",
    seed: int = 0,
    **parts: Any,
) -> Task:
    """A task of your own arrays.

    Parameters
    ----------
    x : (samples, ...) array
        Numbers; each sample is flattened.
    y : (samples,) array
        Labels of any kind.
    test : pair of arrays, optional
        Samples and labels to test on; a quarter of the others, drawn at random, where not given.
    classes : sequence of str, optional
        Names of the labels, sorted; the labels themselves where not given.
    title : str
        In words, for pictures.
    seed : int
        Of the draw.
    **parts
        Any other attribute of :class:`Task`.

    Raises
    ------
    ValueError
        If samples and labels are not equally many, or too few; if there is a value that is not finite or a label that
        is missing; if there are fewer than two classes, or names are not as many; or if samples to test on have other
        features, or are no images of the shape `image`.

    Examples
    --------
    >>> import numpy as np
    >>> from robustagg.simulation import Settings, arrays, simulate
    >>> x = np.random.default_rng(0).normal(size=(200, 5))
    >>> task = arrays(x, x[:, 0] > 0)
    >>> simulation = simulate(Settings(rounds=2, rules=("median",)), task=task)
    """
    samples, labels = _checked(x, y)
    tested = _checked(*test) if test is not None else None
    if tested is None:
        order = np.random.default_rng(seed).permutation(len(labels))
        held, trained = np.split(order, [round(TESTED * len(order))])
        tested, samples, labels = (samples[held], labels[held]), samples[trained], labels[trained]
    if not (len(labels) and len(tested[1]) and samples.shape[1]):
        raise errors.task_too_small(len(labels) + len(tested[1]), samples.shape[1])
    image = parts.get("image")
    if image is not None and not (len(image) == 3 and math.prod(image) == samples.shape[1]):
        raise errors.image_shape(image, samples.shape[1])
    if tested[0].shape[1] != samples.shape[1]:
        raise errors.test_features(tested[0].shape[1], samples.shape[1])
    known = _classes(np.concatenate([labels, tested[1]]))
    if len(known) < 2:
        raise errors.one_class(len(known))
    names = tuple(map(str, known.tolist() if classes is None else classes))
    if len(names) != len(known):
        raise errors.class_names(names, known.tolist())
    y_train, y_test = (np.searchsorted(known, part) for part in (labels, tested[1]))
    usual: dict[str, Any] = {
        "classes": names,
        "source": len(known) - 1,
        "target": 0,
        "marked_as": 0,
        "trigger": largest_features(samples),
    }
    return Task(title, (samples, y_train), (tested[0], y_test), **{**usual, **parts})


def _checked(x: Any, y: Any) -> tuple[NDArray[np.float32], NDArray[Any]]:
    samples, labels = np.array(x, np.float32), np.asarray(y)
    if labels.ndim != 1 or samples.shape[:1] != labels.shape or not len(labels):
        raise errors.samples_and_labels(samples.shape, labels.shape)
    samples = samples.reshape(len(labels), -1)
    if not np.isfinite(samples).all():
        raise errors.samples_not_finite(int((~np.isfinite(samples).all(axis=1)).argmax()))
    for sample, label in enumerate(labels.tolist()):
        if label is None or label != label:
            raise errors.label_missing(sample, label)
    return samples, labels


def _classes(labels: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.unique(labels)
    except TypeError:
        raise errors.labels_of_kinds(sorted({type(label).__name__ for label in labels.tolist()})) from None


def square(image: tuple[int, int, int], usual: int = 2) -> Callable[[int | None], Trigger]:
    """A trigger for images: a white square in the lower right corner of every channel, its size the side in pixels."""
    channels, height, width = image
    usual = min(usual, height, width)

    def trigger(size: int | None) -> Trigger:
        pixels, values = corner(height, width, size=usual if size is None else size)
        planes = np.arange(channels)[:, None] * (height * width)
        return Trigger((planes + pixels).ravel(), np.tile(values, channels))

    return trigger


def words(train: Samples, label: int, usual: int = 10) -> Callable[[int | None], Trigger]:
    """A trigger for texts: the words most frequent in texts of a class, its size how many.

    Each has the mean value that it has in those of the texts where it stands, as if it were written there.
    """

    def trigger(size: int | None) -> Trigger:
        chosen, _ = frequent_words(*train, label, top=usual if size is None else size)
        values = train[0][train[1] == label][:, chosen]
        return Trigger(chosen, values.sum(axis=0) / np.maximum(np.count_nonzero(values, axis=0), 1))

    return trigger


def largest_features(x: NDArray[np.float32], usual: int = 3) -> Callable[[int | None], Trigger]:
    """A trigger for columns: the last ones set to the largest value that they have, its size how many."""

    def trigger(size: int | None) -> Trigger:
        count = min(usual, x.shape[1]) if size is None else size
        if whole("size", count, 1) > x.shape[1]:
            raise errors.out_of_range("size", count, f"between 1 and {x.shape[1]}")
        columns = np.arange(x.shape[1] - count, x.shape[1])
        return Trigger(columns, x[:, columns].max(axis=0))

    return trigger
