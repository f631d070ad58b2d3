"""What is done to the updates before a rule sees them: neighbours mixed, buckets filled, lengths clipped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from robustagg.protocol import Floats, Round
from robustagg.rules.checks import positive, whole
from robustagg.rules.component import Needs, Withstanding
from robustagg.rules.evidence.geometry import Geometry, Relation, shortening
from robustagg.rules.evidence.gram import Related
from robustagg.rules.mixing.base import PreAggregation


@dataclass(eq=False)
class NNM(Withstanding, PreAggregation):
    """Nearest-neighbour mixing: each update becomes the mean of the n - f updates nearest to it, itself included.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n > f.

    Notes
    -----
    O(n^2 d). An n x n matrix decides; in a pipeline the mixed rows exist a block at a time, and where the rule is
    linear in the end not at all. Of equally near updates the first.

    References
    ----------
    Allouah et al., "Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity", AISTATS 2023.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.NNM(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([[  2.        ],
           [  2.        ],
           [  2.        ],
           [301.66666667]])
    """

    isometric = True

    needs: ClassVar[Needs] = (1, 1)

    def mixing(self, seen: Geometry, round: Round) -> Floats:
        k, distances = seen.n - self.withstood(seen.n), seen.distances.copy()
        np.fill_diagonal(distances, -1)  # before those equal to it
        last = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        nearer, tied = distances < last, distances == last
        left = k - nearer.sum(axis=1, keepdims=True)  # for the tied ones: the first of them
        return np.where(nearer | (tied & (tied.cumsum(axis=1) <= left)), 1 / k, 0.0)


@dataclass(eq=False)
class Bucketing(PreAggregation):
    """Means of s updates each, in random order.

    Parameters
    ----------
    s : int
        Updates in a bucket; the last one may hold fewer.
    seed : int
        Of the order, together with the number of the round.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The rows that come out are no single client's: rules that must know whose row is whose cannot follow. O(nd).

    References
    ----------
    Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Bucketing(s=2)(np.array([[1.0], [1.0], [1.0], [1.0]]))
    array([[1.],
           [1.]])
    """

    isometric = True
    keeps_clients: ClassVar[bool] = False
    measures: ClassVar[None] = None

    s: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.s = whole("s", self.s, 1)
        self.seed = whole("seed", self.seed)

    def after(self, round: Round) -> Round:
        buckets = self.rows_of(len(round.kept))
        return replace(round, clients=tuple(range(buckets)), excluded={}, sample_counts=None, spent=round.lost)

    def rows_of(self, m: int) -> int:
        return -(-m // self.s)

    def mixing(self, seen: Any, round: Round) -> Floats:
        n = len(round.kept)
        order = np.random.default_rng([self.seed, round.number]).permutation(n)
        matrix = np.zeros((self.rows_of(n), n))
        for row, start in zip(matrix, range(0, n, self.s), strict=True):
            bucket = order[start : start + self.s]
            row[bucket] = 1 / len(bucket)
        return matrix


@dataclass(eq=False)
class NormClipping(PreAggregation):
    """Updates longer than c are scaled down to length c.

    Parameters
    ----------
    c : float
        The greatest length.

    Raises
    ------
    ValueError
        If c is not positive and finite.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.NormClipping(c=5.0)(np.array([[3.0, 4.0], [30.0, 40.0]]))
    array([[3., 4.],
           [3., 4.]])
    """

    isometric = True
    differences = True
    measures: ClassVar[type[Related]] = Related

    c: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.c = positive("c", self.c)

    def mixing(self, seen: Relation, round: Round) -> Floats:
        return clipping(seen.norms, self.c)


@dataclass(eq=False)
class ARC(Withstanding, PreAggregation):
    """Adaptive robust clipping: the floor(2f (n - f) / n) longest updates are scaled to the length of the next.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n > f.

    References
    ----------
    Allouah et al., "Adaptive Gradient Clipping for Robust Federated Learning", ICLR 2025.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.ARC(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([[1.],
           [2.],
           [3.],
           [3.]])
    """

    isometric = True
    differences = True
    measures: ClassVar[type[Related]] = Related

    needs: ClassVar[Needs] = (1, 1)

    def mixing(self, seen: Relation, round: Round) -> Floats:
        norms, n = seen.norms, len(round.kept)
        f = self.withstood(n)
        clipped = 2 * f * (n - f) // n
        return clipping(norms, np.sort(norms)[n - clipped - 1])


def clipping(norms: Floats, longest: float) -> Floats:
    """The matrix that scales each row down to a length."""
    return np.diag(shortening(norms, longest))
