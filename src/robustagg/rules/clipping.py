"""Centered clipping: the previous result, moved by clipped differences from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Floats, Round, Verdict, Words
from robustagg.rules.checks import positive, whole
from robustagg.rules.distance import Combination, DistanceRule, combined, scaled
from robustagg.rules.evidence.geometry import Geometry
from robustagg.rules.evidence.gram import Gram, Related

CENTER = "center"  # an argument of the call, and what is remembered


@dataclass(eq=False)
class CenteredClipping(DistanceRule):
    r"""The previous result, moved by the mean of the clients' differences from it, each clipped to length tau,

    .. math:: v \leftarrow v + \frac1n \sum_i (x_i - v)\,\min(1, \tau / \lVert x_i - v\rVert).

    Parameters
    ----------
    tau : float
        Length that differences are clipped to.
    iterations : int
        Steps of a round.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, if the model's size is not that of the round before.

    Notes
    -----
    The centre of the first round is zero, fit for gradients; ``aggregate(updates, center=tree)`` gives another, in any
    round. Remembers its result, a vector of the model's size: in memory, after a round over files on disk beside the
    round's `out`. No client moves the result by more than tau / n per iteration; breakdown point 1/2 for a fitting tau.
    O(nd), with several iterations O(n^2 d), one pass. The weights of the result are the clients' clip factors.

    References
    ----------
    Karimireddy, He and Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> rule = ra.CenteredClipping(tau=1.0)
    >>> rule(np.array([[0.1], [0.2], [0.3], [900.0]]))
    array([0.4])
    >>> rule(np.array([[0.5], [0.5], [0.5], [-900.0]]))
    array([0.225])
    """

    differences = True
    extras = frozenset({CENTER})
    linear = False  # it must see its result

    tau: float = 10.0
    iterations: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tau = positive("tau", self.tau)
        self.iterations = whole("iterations", self.iterations, 1)

    @property
    def remembers(self) -> bool:
        return True

    def check_size(self, round: Round) -> None:
        if CENTER not in round.extras:
            super().check_size(round)

    def references(self, round: Round) -> Mapping[str, Any]:
        return {name: tree for name, tree in round.extras.items() if name in self.extras}

    def rows(self, block: Block, round: Round) -> Rows:
        return block.rows if round.extras or not self._vectors else self._with_center(block)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Gram | Related, None]:
        rows, m = self.rows(block, round), len(round.kept)
        if self.iterations > 1:
            return Gram.of(rows), None
        return Related.of(rows, m if len(rows) > m else None), None

    def decide(self, evidence: Gram | Related, round: Round) -> Verdict:
        if isinstance(evidence, Gram):
            return super().decide(evidence, round)
        n = len(evidence.value())
        relation = evidence.relation(n - 1 if n > len(round.kept) else None)
        return scaled(self._clipped(n, lambda center: relation.distances, round), relation.scale)

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        def distances_to(center: Floats) -> Floats:
            return np.asarray(geometry.distances_to(geometry.coordinates(center)) * geometry.unit)

        return self._clipped(geometry.n, distances_to, round)

    def _clipped(self, n: int, distances_to: Callable[[Floats], Floats], round: Round) -> Verdict:
        """The verdict on n rows, given their distances to any sum of rows."""
        m = len(round.kept)
        center = np.zeros(n)
        center[m:] = 1  # the row after the clients', if there is one; else the vector 0
        for _ in range(self.iterations):
            distances = distances_to(center)[:m]
            factors = np.divide(self.tau, distances, out=np.ones(m), where=distances > self.tau)
            center = center * (1 - factors.sum() / m)
            center[:m] += factors / m
        why = Words(_told, distances, self.tau)
        return Combination(factors / factors.sum(), why, coefficients=center, learns=[CENTER])

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        assert isinstance(verdict, Combination)
        if len(block.rows) < len(verdict.coefficients):
            block = Block(self._with_center(block), block.start)
        return combined(block, verdict)

    def learn(self, block: Block, piece: Array, verdict: Verdict) -> Array:
        return kernels.active().stack([piece])

    def _with_center(self, block: Block) -> Rows:
        """The rows, and the previous result in their dtype, as it was sent."""
        piece = self._vectors[CENTER][block.start : block.start + block.rows[0].size]
        return [*block.rows, kernels.active().narrow(piece, block.rows[0].dtype)]

    def _restore(self, state: Mapping[str, Any]) -> None:
        if CENTER in state:  # as 0.1 wrote it
            center = {} if state[CENTER] is None else {CENTER: state[CENTER]}
            state = {**state, "vectors": center}
        super()._restore(state)


def _told(distances: Floats, tau: float) -> list[str]:
    words = " from the centre", " from the centre, clipped"
    return [f"{far:.4g}{words[far > tau]}" for far in distances.tolist()]
