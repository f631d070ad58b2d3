"""The geometric median, by Weiszfeld's iteration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robustagg.kernels.interface import Rows
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import shares
from robustagg.rules.checks import number, one_of, positive, whole
from robustagg.rules.distance import DistanceRule, scaled
from robustagg.rules.evidence.geometry import Geometry, Relation, times
from robustagg.rules.evidence.gram import Gram, Related

WORTH = 32  # clients whose Gram matrix costs as much as a reading of the updates, be it from a file


@dataclass(frozen=True)
class Step(Verdict):
    """One of Weiszfeld's steps, before it is seen where it leads."""

    number: int = field(kw_only=True)
    distances: Floats = field(kw_only=True)
    """Of the rows, from where it begins."""
    scale: Floats | None = field(kw_only=True)
    """What the rows were multiplied by, where some are too long to be counted as they are."""


@dataclass(frozen=True)
class Reading:
    """How the rows lie to where a step leads; to zero, before the first. Adds up over blocks."""

    related: Related
    step: Step | None

    @classmethod
    def of(cls, rows: Rows, step: Step | None) -> Reading:
        if step is None:
            return cls(Related.of(rows), None)
        return cls(Related.to_sum(rows, step.weights if step.scale is None else step.weights * step.scale), step)

    def __add__(self, other: Reading) -> Reading:
        return Reading(self.related + other.related, self.step)

    def relation(self, m: int) -> Relation:
        return self.related.relation(None if self.step is None else m)


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
        Iterations end when one improves the mean distance by less than this part of the median distance.
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
    after three steps. As "byzfl", of n >= 32 (max_iter + 1) clients, each step reads the updates anew, O(nd), and
    measures distances from a point in the compute dtype.

    References
    ----------
    Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning", IEEE Trans. Signal Processing 70, 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.GeometricMedian()(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [900.0, -900.0]])).round(3)
    array([1., 2.])
    """

    isometric = True
    weighs_samples = True

    nu: float = 1e-6
    max_iter: int = 1000
    tol: float = 1e-10
    variant: str = field(default="rfa", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.nu = positive("nu", self.nu)
        self.max_iter = whole("max_iter", self.max_iter, 1)
        self.tol = number("tol", self.tol, "at least 0 and below 1", lambda v: 0 <= v < 1)
        one_of("variant", self.variant, ("rfa", "byzfl"))

    @property
    def differences(self) -> bool:
        return self.variant == "byzfl"  # begins at zero, and ends early

    @property
    def further_rows(self) -> int:
        return int(self.variant == "byzfl")  # halves in float32

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return super().evidence_bytes(n if self.variant == "rfa" else min(n, self._fewest), d, itemsize)

    @property
    def _fewest(self) -> int:
        """From so many clients on a reading of the updates for each step, and one to tell where the last has led, is
        less than the Gram matrix."""
        return WORTH * (self.max_iter + 1)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Any, None]:
        if self.variant == "rfa" or len(round.kept) < self._fewest:
            return super().observe(block, round, verdict)
        assert verdict is None or isinstance(verdict, Step)
        return Reading.of(block.rows, verdict), None

    def decide(self, evidence: Gram | Reading, round: Round) -> Verdict:
        if isinstance(evidence, Gram):
            return super().decide(evidence, round)
        alpha, m, step = self._alpha(round), len(round.kept), evidence.step
        relation = evidence.relation(m)
        distances = relation.distances[:m]
        if step is not None and (
            step.number == self.max_iter or self._settled(alpha, step.distances, step.distances - distances, self.nu)
        ):
            return scaled(Verdict(step.weights, told(distances)), step.scale)
        weights, number = pulls(alpha, distances, self.nu), 1 if step is None else step.number + 1
        scale = None if relation.scale is None else relation.scale[:m]
        return Step(weights, [""] * m, again=True, number=number, distances=distances, scale=scale)

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        alpha = self._alpha(round)
        nu = self.nu / geometry.unit
        excess = geometry.excess(self._start(geometry, alpha, nu))
        distances = geometry.distances_of(excess)
        for _ in range(self.max_iter):
            weights = pulls(alpha, distances, nu)
            before, far = excess, distances
            excess = geometry.excess(geometry.coordinates(weights))
            distances = geometry.distances_of(excess)
            # What far - distances would be, if those of a row very far away were not the same number.
            nearer = np.divide(before - excess, far + distances, out=np.zeros_like(far), where=far + distances > 0)
            if self._settled(alpha, far, nearer, nu):
                break
        return Verdict(weights, told(distances * geometry.unit))

    def _alpha(self, round: Round) -> Floats:
        return shares(np.ones(len(round.kept)), round.counts())

    def _settled(self, alpha: Floats, far: Floats, nearer: Floats, nu: float) -> bool:
        """Whether a step that led nearer to the rows, which were so far away, has improved too little for another.

        Too little for the client in the middle: a minority says how far away it is, and would say when to stop.
        """
        return bool(self.tol) and bool(alpha @ nearer <= self.tol * max(middle(far, alpha), nu))

    def _start(self, geometry: Geometry, alpha: Floats, nu: float) -> Floats:
        """Coordinates of where the iteration begins."""
        nowhere, mean = np.zeros(geometry.n), geometry.coordinates(alpha)
        if self.variant == "byzfl":
            return geometry.coordinates(nowhere)
        median = np.append(nowhere, 0.0)
        distances = geometry.distances_to(median)
        # On a row the iteration would stay, even where the others pull harder than it holds and it is no minimum: then
        # it begins where they pull it, less what it holds (Vardi and Zhang, PNAS 97, 2000).
        on = distances <= nu
        pull = np.where(on, 0.0, alpha / np.maximum(distances, nu))
        force, hold = float(np.sqrt(pull @ times(geometry.products[:-1, :-1], pull))), float(alpha[on].sum())
        if on.any() and force > hold:
            return np.append(pull / pull.sum() * (1 - hold / force), 0.0)
        return median if alpha @ distances < (1 - 1e-9) * (alpha @ geometry.distances_to(mean)) else mean


def pulls(alpha: Floats, distances: Floats, nu: float) -> Floats:
    """The weights of a step from where the rows are so far away."""
    weights = alpha / np.maximum(distances, nu)
    return np.asarray(weights / weights.sum())


def middle(values: Floats, alpha: Floats) -> float:
    """The lower median of values that weigh alpha, which sums to 1."""
    order = np.argsort(values)
    below = np.cumsum(alpha[order])
    return float(values[order[np.searchsorted(below, below[-1] / 2)]])


def told(distances: Floats) -> list[str]:
    return [f"{far:.4g} from the median" for far in distances.tolist()]
