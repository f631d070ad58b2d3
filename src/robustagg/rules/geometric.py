"""Rules that pull every client's update towards a centre: the geometric median, centered clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from robustagg import errors, kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import Memory, Vector, in_memory, kept
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import shares
from robustagg.rules.distance import Combination, DistanceRule, check_whole, combined
from robustagg.rules.evidence.geometry import Geometry
from robustagg.rules.evidence.gram import Gram, Related

CENTER = "center"  # an argument of the call, and what is remembered


@dataclass(eq=False)
class GeometricMedian(DistanceRule):
    r"""The point with the least (sample-weighted) sum of distances to the updates, by Weiszfeld's iteration,

    .. math:: z \leftarrow \frac{\sum_i \beta_i x_i}{\sum_i \beta_i}, \qquad
        \beta_i = \frac{a_i}{\max(\nu, \lVert z - x_i\rVert)}.

    Parameters
    ----------
    nu : float
        Distances below it count as this.
    max_iter : int
        Iterations at most.
    tol : float
        Iterations end when one improves the sum of distances by less than this part of it.
    variant : {"rfa", "byzfl"}
        Where the iteration begins: at the (weighted) mean or the coordinate-wise median, whichever is better; or at
        zero, as in ByzFL, whose result is that of ``nu=0.1, max_iter=3, tol=0``.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Breakdown point 1/2. O(n^2 d), one pass: the iteration needs the Gram matrix only, O(n^2) a step. Public codes stop
    after three steps.

    References
    ----------
    Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning", IEEE Trans. Signal Processing 70, 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.GeometricMedian()(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [900.0, -900.0]])).round(3)
    array([1., 2.])
    """

    weighs_samples: ClassVar[bool] = True

    nu: float = 1e-6
    max_iter: int = 1000
    tol: float = 1e-10
    variant: str = field(default="rfa", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("nu", self.nu)
        check_whole("max_iter", self.max_iter, 1)
        if not 0 <= self.tol < 1:
            raise errors.out_of_range("tol", self.tol, "at least 0 and below 1")
        if self.variant not in ("rfa", "byzfl"):
            raise errors.not_one_of("variant", self.variant, ("rfa", "byzfl"))

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        alpha = shares(np.ones(geometry.n), round.counts())
        distances = self._start(geometry, alpha)
        for _ in range(self.max_iter):
            weights = alpha / np.maximum(distances, self.nu)
            weights /= weights.sum()
            before, distances = distances, geometry.distances_to(geometry.coordinates(weights))
            if alpha @ before - alpha @ distances <= self.tol * (alpha @ before) and self.tol:
                break
        return Verdict(weights, [f"{distance:.4g} from the median" for distance in distances.tolist()])

    def _start(self, geometry: Geometry, alpha: Floats) -> Floats:
        """Distances of the rows to where the iteration begins."""
        nowhere = np.zeros(geometry.n)
        if self.variant == "byzfl":
            return geometry.distances_to(geometry.coordinates(nowhere))
        mean = geometry.distances_to(geometry.coordinates(alpha))
        median = geometry.distances_to(np.append(nowhere, 0.0))
        # On a row the iteration would stay, even where the others pull harder than it holds and it is no minimum.
        on = median <= self.nu
        pull = np.where(on, 0.0, alpha / np.maximum(median, self.nu))
        if on.any() and pull @ geometry.products[:-1, :-1] @ pull > alpha[on].sum() ** 2:
            return mean
        return median if alpha @ median < (1 - 1e-9) * (alpha @ mean) else mean


def check_positive(name: str, value: Any) -> None:
    """Raise unless a parameter is a positive number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise errors.out_of_range(name, value, "positive and finite")


@dataclass(frozen=True)
class Clipped(Combination):
    """A verdict of centered clipping, and the place of the result, which will be the next round's centre."""

    memory: Memory = field(kw_only=True)


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

    extras: ClassVar[frozenset[str]] = frozenset({CENTER})
    linear: ClassVar[bool] = False  # it must see its result

    tau: float = 10.0
    iterations: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("tau", self.tau)
        check_whole("iterations", self.iterations, 1)
        self._center: Vector | None = None

    @property
    def remembers(self) -> bool:
        return True

    def check(self, round: Round) -> None:
        super().check(round)
        if CENTER not in round.extras and self._center is not None and self._center.size != round.d:
            raise errors.other_size(self._center.size, round.d)

    def references(self, round: Round) -> Mapping[str, Any]:
        return {name: tree for name, tree in round.extras.items() if name in self.extras}

    def rows(self, block: Block, round: Round) -> Rows:
        return block.rows if round.extras or self._center is None else self._with_center(block)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Gram | Related, None]:
        rows, m = self.rows(block, round), len(round.kept)
        if self.iterations > 1:
            return Gram.of(rows), None
        return Related.of(rows, m if len(rows) > m else None), None

    def decide(self, evidence: Gram | Related, round: Round) -> Verdict:
        if isinstance(evidence, Gram):
            return self.judge(evidence.geometry(), round)
        distances = evidence.relation().distances
        return self._clipped(len(distances), lambda center: distances, round)

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        return self._clipped(geometry.n, lambda c: geometry.distances_to(geometry.coordinates(c)), round)

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
        words = " from the centre", " from the centre, clipped"
        why = [f"{far:.4g}{words[far > self.tau]}" for far in distances.tolist()]
        memory = round.remember({}, [CENTER])
        return Clipped(factors / factors.sum(), why, coefficients=center, memory=memory)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        assert isinstance(verdict, Clipped)
        if len(block.rows) < len(verdict.coefficients):
            block = Block(self._with_center(block), block.start)
        piece = combined(block, verdict)
        verdict.memory.add(piece[None])
        return piece

    def commit(self, verdict: Verdict, round: Round) -> None:
        super().commit(verdict, round)
        assert isinstance(verdict, Clipped)
        self._center = verdict.memory.vectors()[CENTER]

    def _with_center(self, block: Block) -> Rows:
        """The rows, and the previous result in their dtype, as it was sent."""
        assert self._center is not None
        piece = self._center[block.start : block.start + block.rows[0].size]
        return [*block.rows, kernels.active().narrow(piece, block.rows[0].dtype)]

    # --- memory ---

    def state_dict(self) -> dict[str, Any]:
        """Parameters and the previous result, for :meth:`load_state_dict`."""
        return {**super().state_dict(), CENTER: None if self._center is None else in_memory(self._center)}

    def _state(self) -> dict[str, Any]:
        return {**super().state_dict(), CENTER: self._center}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that a CenteredClipping with the same parameters has saved.

        Raises
        ------
        ValueError
            If the state is another rule's, or was reached with other parameters; nothing is changed then.
        """
        super().load_state_dict(state)
        self._center = None if state[CENTER] is None else kept(state[CENTER])
