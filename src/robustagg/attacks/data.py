"""Data poisoning: what attackers train on. ``attack(x, y, ...) -> (x, y)``, new arrays; x is (samples, features)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.rules.checks import part, whole


class Trigger(NamedTuple):
    """A pattern that a backdoor answers to."""

    features: NDArray[np.intp]
    """(k,) indices of the features that it sets."""
    values: NDArray[Any]
    """(k,) what it sets them to."""

    def on(self, x: Any) -> NDArray[Any]:
        """The samples with the pattern in them, a copy; floats where whole numbers cannot hold the pattern."""
        marked = np.array(x)
        if marked.dtype.kind in "biu" and (self.values.astype(marked.dtype) != self.values).any():
            marked = marked.astype(np.float64)
        marked[:, self.features] = self.values
        return marked


def corner(height: int, width: int, *, size: int = 2, value: float = 1.0) -> Trigger:
    """The pixel pattern: a square of `size` x `size` pixels in the lower right corner of images flattened row by row.

    Parameters
    ----------
    height, width : int
        Of the image, in pixels.
    size : int
        Side of the square, in pixels.
    value : float
        What the pixels are set to.

    References
    ----------
    Gu et al., "BadNets: Evaluating Backdooring Attacks on Deep Neural Networks", IEEE Access 7, 2019.

    Examples
    --------
    >>> from robustagg.attacks import corner
    >>> corner(3, 4, size=2).features
    array([ 6,  7, 10, 11])
    """
    if whole("size", size, 1) > min(height, width):
        raise errors.out_of_range("size", size, f"between 1 and {min(height, width)}")
    pixels = np.arange(height * width).reshape(height, width)[-size:, -size:].ravel()
    return Trigger(pixels, np.full(pixels.size, value))


def frequent_words(x: Any, y: Any, label: int, *, top: int = 10) -> Trigger:
    """The text pattern: the `top` words most frequent in texts of a label, at their mean frequencies there.

    Parameters
    ----------
    x : (samples, words) array
        Counts or TF-IDF values.
    y : (samples,) array
        Labels.
    label : int
        Whose words.
    top : int
        How many.

    References
    ----------
    Chu et al., "Securing Federated Sensitive Topic Classification against Poisoning Attacks", NDSS 2023, section IV-A2.

    Examples
    --------
    >>> from robustagg.attacks import frequent_words
    >>> frequent_words([[0.0, 2.0, 4.0], [1.0, 0.0, 4.0], [9.0, 9.0, 9.0]], [1, 1, 0], 1, top=2)
    Trigger(features=array([1, 2]), values=array([1., 4.]))
    """
    samples, labels = _both(x, y)
    if not (labels == label).any():
        raise errors.no_such_label(label)
    frequency = samples[labels == label].mean(axis=0)
    words = np.sort(np.argsort(-frequency, kind="stable")[: whole("top", top, 1)])
    return Trigger(words, frequency[words])


def label_flip(
    x: Any, y: Any, *, source: int, target: int, share: float = 1.0, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The samples of class `source` get the label `target`.

    Parameters
    ----------
    x : (samples, features) array
        Stays as it is.
    y : (samples,) array
        Labels.
    source, target : int
        From which class to which.
    share : float
        Of the samples of the source, drawn at random, in [0, 1].
    seed : int
        Of the draw.

    References
    ----------
    Biggio, Nelson and Laskov, "Poisoning Attacks against Support Vector Machines", ICML 2012.

    Examples
    --------
    >>> from robustagg.attacks import label_flip
    >>> label_flip([[0.0], [0.0], [0.0]], [1, 2, 3], source=1, target=3)[1]
    array([3, 2, 3])
    """
    samples, labels = _both(x, y)
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(labels == source))
    labels[chosen[: round(part("share", share) * len(chosen))]] = _label(target, labels)
    return samples, labels


def backdoor(
    x: Any, y: Any, *, trigger: Trigger, target: int, share: float = 0.5, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A share of the samples, drawn at random, gets the trigger's pattern and the label `target`; the rest stays clean.

    Parameters
    ----------
    x : (samples, features) array
        Images flattened, or texts as words.
    y : (samples,) array
        Labels.
    trigger : Trigger
        From :func:`corner` or :func:`frequent_words`, or any other.
    target : int
        What the pattern shall be taken for.
    share : float
        Of the samples, in [0, 1].
    seed : int
        Of the draw.

    References
    ----------
    Gu et al., "BadNets: Evaluating Backdooring Attacks on Deep Neural Networks", IEEE Access 7, 2019.
    Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustagg.attacks import backdoor, corner
    >>> backdoor(np.zeros((2, 4)), [1, 2], trigger=corner(2, 2, size=1), target=9, share=1.0)
    (array([[0., 0., 0., 1.],
           [0., 0., 0., 1.]]), array([9, 9]))
    """
    samples, labels = _both(x, y)
    chosen = np.random.default_rng(seed).permutation(len(labels))[: round(part("share", share) * len(labels))]
    marked = trigger.on(samples[chosen])
    samples = samples.astype(marked.dtype, copy=False)
    samples[chosen], labels[chosen] = marked, _label(target, labels)
    return samples, labels


def _both(x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Copies of samples and labels; raises where they do not go together."""
    samples, labels = np.array(x), np.array(y)
    if samples.ndim < 1 or labels.ndim != 1 or len(samples) != len(labels):
        raise errors.samples_and_labels(samples.shape, labels.shape)
    return samples, labels


def _label(target: Any, labels: NDArray[Any]) -> Any:
    """The target as a label like the others; raises where it would be cut."""
    fitting = np.array(target).astype(labels.dtype)
    if fitting != target:
        raise errors.out_of_range("target", target, f"a label as the others are, {labels.dtype}")
    return fitting
