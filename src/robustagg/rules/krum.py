"""Krum and its kin: whoever lies close to enough others is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.checks import one_of, whole
from robustagg.rules.component import Needs, Withstanding
from robustagg.rules.distance import DistanceRule, SelectionRule, selection
from robustagg.rules.evidence.geometry import Geometry, blurred, parts

VARIANTS = ("paper", "byzfl")


def ranking(distances: Floats, neighbours: int, variant: str = "paper") -> tuple[NDArray[np.integer], Floats]:
    """Rows from the best score to the worst, and each row's score: its summed squared distance to its nearest others.

    Of equal scores the one nearer to all ("byzfl" does not ask), then the first: mixed rows (NNM) often tie. Numbers
    that agree in 40 bits are equal, lest rounding chooses.
    """
    last = min(neighbours, len(distances) - 1)  # 0 is the row itself, at distance 0
    nearest = (np.partition(distances[part], last, axis=1)[:, : last + 1] for part in parts(len(distances)))
    score = np.concatenate([those.sum(axis=1) for those in nearest])
    if variant == "byzfl":
        return np.argsort(blurred(score), kind="stable"), score
    return np.lexsort((blurred(distances.sum(axis=1)), blurred(score))), score


@dataclass(eq=False)
class Krum(Withstanding, SelectionRule):
    r"""The update with the least summed squared distance to its n - f - 2 nearest others,

    .. math:: \arg\min_i \sum_{j \in N_i} \lVert x_i - x_j \rVert^2.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    variant : {"paper", "byzfl"}
        "byzfl" sums over n - f - 1 others, as ByzFL does, takes the first of equal scores, and needs n > 2f only.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, unless n >= 2f + 3.

    Notes
    -----
    Breakdown point (n - 3) / 2n. O(n^2 d). Distances are of centred rows in float64: a large common offset does not
    blur them. Of equal scores, the update nearer to all others is taken, then the first.

    References
    ----------
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NIPS 2017.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Krum(f=1)(np.array([[1.0, 2.0], [1.1, 2.0], [1.2, 2.1], [1.0, 2.1], [900.0, -900.0]]))
    array([1., 2.])
    """

    isometric = True

    needs: ClassVar[Needs] = (2, 3)

    variant: str = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("variant", self.variant, VARIANTS)

    def neighbours(self, n: int) -> int:
        """How many others count for a score among n."""
        return n - self.withstood(n) - (1 if self.variant == "byzfl" else 2)

    def taken(self, n: int) -> int:
        """How many of n clients make the result."""
        return 1

    def needed(self) -> Needs:
        return (2, 1) if self.variant == "byzfl" else self.needs

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        order, score = ranking(geometry.distances, self.neighbours(geometry.n), self.variant)
        return np.sort(order[: self.taken(geometry.n)]), [f"Krum score {value:.4g}" for value in score.tolist()]


@dataclass(eq=False)
class MultiKrum(Krum):
    """The mean of the m updates with the best scores of :class:`Krum`, weighted by `sample_counts` where given.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    m : int, optional
        Updates in the mean; n - f - 2 where not given.
    variant : {"paper", "byzfl"}
        "byzfl" sums over n - f - 1 others, means n - f updates where `m` is not given, and needs n > 2f only.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, unless n >= 2f + 3 and n >= m.

    Notes
    -----
    Breakdown point (n - 3) / 2n. O(n^2 d). Ties as in :class:`Krum`. Public codes disagree on m: AggregaThor n - f - 2,
    ByzFL n - f, the package krum n - 2f - 3.

    References
    ----------
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NIPS 2017.
    Damaskinos et al., "AggregaThor: Byzantine Machine Learning via Robust Gradient Aggregation", SysML 2019.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.MultiKrum(f=1)(np.array([[1.0], [2.0], [3.0], [4.0], [900.0]]))
    array([2.5])
    """

    isometric = True

    m: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m is not None:
            self.m = whole("m", self.m, 1)

    def check(self, round: Round) -> None:
        super().check(round)
        if self.m is not None and len(round.kept) < self.m:
            raise errors.too_few_clients(
                type(self).__name__, len(round.kept), round.lost, f"at least m = {self.m} clients"
            )

    def taken(self, n: int) -> int:
        return self.m or n - self.withstood(n) - (0 if self.variant == "byzfl" else 2)


@dataclass(eq=False)
class Bulyan(Withstanding, DistanceRule):
    """Per coordinate, the mean of the values nearest the median, among clients that Krum has chosen one by one.

    Krum picks theta = n - 2f clients, run again after each pick on those that are left; per coordinate the
    theta - 2f values nearest the median of theirs are averaged.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n >= 4f + 3.

    Notes
    -----
    Breakdown point (n - 3) / 4n. O(n^2 d + n^3). When few are left, a score is of one neighbour at least. The weights
    of the result are equal among the chosen: which of their values count is decided per coordinate.

    References
    ----------
    El Mhamdi et al., "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML 2018.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Bulyan(f=1)(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [900.0]]))
    array([4.])
    """

    needs: ClassVar[Needs] = (4, 3)
    linear = False  # which of the chosen clients' values count is decided per coordinate

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        n, f = geometry.n, self.withstood(geometry.n)
        left, distances, chosen = np.arange(n), geometry.distances, []
        for _ in range(n - 2 * f):
            winner = ranking(distances, max(1, len(left) - f - 2))[0][0]
            chosen.append(int(left[winner]))
            left = np.delete(left, winner)
            distances = np.delete(np.delete(distances, winner, axis=0), winner, axis=1)
        order = {client: place + 1 for place, client in enumerate(chosen)}
        why = [f"pick {order[i]} of Krum" if i in order else "left over by Krum" for i in range(n)]
        return selection(np.array(chosen), why, round)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        rows = [block.rows[i] for i in np.flatnonzero(verdict.weights).tolist()]
        return kernels.active().mean_around_median(rows, len(rows) - 2 * self.withstood(len(block.rows)))
