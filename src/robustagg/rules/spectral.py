"""Rules that look for the direction in which the updates differ most: attackers who pull together make it theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import not_negative, whole
from robustagg.rules.component import Withstanding
from robustagg.rules.distance import DistanceRule, combined, selection, smallest
from robustagg.rules.evidence.geometry import Geometry, times
from robustagg.rules.evidence.gram import Gram


@dataclass(eq=False)
class CAF(Withstanding, DistanceRule):
    r"""Covariance-bound agnostic filter: a mean whose weights fall along the direction of greatest variance.

    From equal weights c, again and again: the weighted mean, the top eigenvector v of the weighted covariance, and

    .. math:: c_i \leftarrow c_i \Bigl(1 - \tau_i / \max_j \tau_j\Bigr), \qquad \tau_i = \langle x_i - \mu, v\rangle^2,

    until the weights sum to n - 2f or less; the mean with the least top eigenvalue is the result.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n > 2f.

    Notes
    -----
    Breakdown point 1/2. O(n^2 d + f n^3). Eigenvectors are exact, of the n x n Gram matrix; ByzFL takes one step of
    power iteration from a random vector, and has no result for f = 0. The maximum is over clients that still have
    weight, so that each step takes the weight of one.

    References
    ----------
    Allouah et al., "Towards Trustworthy Federated Learning with Untrusted Participants", ICML 2025.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.CAF(f=1)(np.array([[1.0], [1.0], [1.0], [900.0]]))
    array([1.])
    """

    isometric = True

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        weights = min(filtering(geometry, self.withstood(geometry.n)), key=lambda step: step[0])[1]
        why = ["weighed" if weight else "no weight along the top eigenvectors" for weight in weights.tolist()]
        return Verdict(weights, why)


def filtering(geometry: Geometry, f: int) -> Iterator[tuple[float, Floats]]:
    """Top eigenvalue and weights of each step of CAF."""
    left = np.ones(geometry.n)
    while True:
        weights = left / left.sum()
        inner = geometry.scatter(weights)
        root = np.sqrt(weights)
        value, vector = kernels.active().top_eigenpair(root[:, None] * inner * root)
        yield value, weights
        along = np.abs(times(inner, root * vector))
        most = along[left > 0].max()
        if not most > 0:
            return
        left = left * np.maximum(1 - (along / most) ** 2, 0)
        if left.sum() <= geometry.n - 2 * f:
            return


def outlying(geometry: Geometry) -> Floats:
    """Squared coordinates of the rows, less their mean, along their top right singular vector, up to a factor."""
    n = geometry.n
    value, vector = kernels.active().top_eigenpair(geometry.scatter(np.full(n, 1 / n)))
    return np.asarray(vector**2 if value > 0 else np.zeros(n))


@dataclass(frozen=True)
class Sample:
    """The clients' values at a few coordinates of the model: evidence of DnC."""

    columns: list[list[Rows]]
    """For each draw, the pieces of it, n rows each."""

    def __add__(self, other: Sample) -> Sample:
        return Sample([ours + theirs for ours, theirs in zip(self.columns, other.columns, strict=True)])


@dataclass(eq=False)
class DnC(Withstanding, Rule[Verdict]):
    """Divide and conquer: the mean of the clients that never lie far out along the direction of greatest variance.

    In each iteration some coordinates are drawn, the clients' values there centred on their mean, projected on their
    top right singular vector, and the filter_frac * f clients with the largest squared projections dropped. The result
    is the mean of the clients that all iterations keep.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    iterations : int
        Draws of coordinates.
    sub_dim : int
        Coordinates of a draw; all of them where the model has no more.
    filter_frac : float
        Clients dropped by an iteration, in units of f.
    seed : int
        Of the draws, together with the number of the round.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, unless n > 2f and n > filter_frac * f.

    Notes
    -----
    O(nd + iterations (n^2 sub_dim + n^3)). Where the iterations agree on nobody, the clients that most of them keep are
    taken. Weighted by `sample_counts` where given. Memory beyond the updates: iterations * n * sub_dim values.

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning", NDSS 2021.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.DnC(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    weighs_samples = True
    linear = True

    iterations: int = 5
    sub_dim: int = 10_000
    filter_frac: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.iterations = whole("iterations", self.iterations, 1)
        self.sub_dim = whole("sub_dim", self.sub_dim, 1)
        self.filter_frac = not_negative("filter_frac", self.filter_frac)
        self.seed = whole("seed", self.seed)

    def dropped(self, n: int) -> int:
        """Clients of n that an iteration drops."""
        return int(self.filter_frac * self.withstood(n))

    def check(self, round: Round) -> None:
        super().check(round)
        n = len(round.kept)
        dropped = self.dropped(n)
        if n <= dropped:
            raise errors.too_few_clients("DnC", n, round.lost, f"more than filter_frac * f = {dropped} clients")

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        drawn = min(self.sub_dim, d) * (n * itemsize + 8)  # values of a draw, and their places
        return (2 * self.iterations + 1) * drawn + Gram.nbytes(n)  # in arrays so small that they take as much again

    def prepare(self, round: Round) -> list[NDArray[np.int64]]:
        """The coordinates of each iteration, ascending."""
        rng = np.random.default_rng([self.seed, round.number])
        size = min(self.sub_dim, round.d)
        return [np.sort(rng.choice(round.d, size, replace=False, shuffle=False)) for _ in range(self.iterations)]

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Sample, None]:
        stop = block.start + block.rows[0].size
        cuts = [(draw, np.searchsorted(draw, (block.start, stop))) for draw in round.prepared]
        places = [draw[begin:end] - block.start for draw, (begin, end) in cuts]
        return Sample([[kernels.active().take(block.rows, place)] for place in places]), None

    def decide(self, evidence: Sample, round: Round) -> Verdict:
        kernel, n = kernels.active(), len(round.kept)
        votes = np.zeros(n, np.int64)
        for pieces in evidence.columns:
            rows = [
                kernel.join([kernel.widen(piece, round.dtype) for piece in row]) for row in zip(*pieces, strict=True)
            ]
            geometry = Gram.of(rows).geometry()
            votes[smallest(outlying(geometry), n - self.dropped(n))] += 1
        why = [f"kept by {count} of {self.iterations} draws" for count in votes.tolist()]
        return selection(np.flatnonzero(votes == votes.max()), why, round)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)
