"""AlignIns: who goes along with the global model and with the others' signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import positive, share
from robustagg.rules.distance import Combination, combined, scaled, selection, shortened
from robustagg.rules.evidence.geometry import Relation, shortening, usual
from robustagg.rules.evidence.gram import Related
from robustagg.rules.evidence.magnitudes import Search

MODEL = "global_model"  # an argument of the call


@dataclass(frozen=True)
class Aligned:
    """Evidence of one reading."""

    related: Related
    """To the global model; complete after the first reading."""
    search: Search
    counts: NDArray[np.int64]

    def __add__(self, other: Aligned) -> Aligned:
        related = self.related if self.search.readings else self.related + other.related
        return Aligned(related, self.search, self.counts + other.counts)


@dataclass(frozen=True)
class Reading(Verdict):
    """A verdict that the updates are to be read once more."""

    related: Related = field(kw_only=True)
    search: Search = field(kw_only=True)


@dataclass(eq=False)
class AlignIns(Rule[Verdict]):
    r"""The mean of the updates whose direction and signs lie where most others' do, clipped to their median length.

    A client's direction is :math:`\cos(u_i, w)`, w the global model; its sign agreement the share of its largest
    magnitudes whose sign is that of :math:`\sum_j \mathrm{sign}\, u_j`. Of both it is kept where the value is less than
    `lambda_` standard deviations off the median. The global model is an argument of the call:
    ``rule.aggregate(updates, global_model=w)``.

    Parameters
    ----------
    sparsity : float
        Share of the coordinates, those of the largest magnitudes, whose signs count.
    lambda_direction, lambda_sign : float
        Standard deviations off the median that are allowed.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round without `global_model`, or with one that holds a NaN or an infinity.

    Notes
    -----
    Updates must be differences from the global model. O(nd), four passes: three readings find the k-th largest
    magnitude of each client, 32 KiB of counts per client. Magnitudes are told apart exactly, those of float64 to a
    relative 2^-20; of those as large as the k-th, their share counts (the authors' code takes any). Where nobody is
    kept, the result is zero and so are all weights. Weighted by `sample_counts` where given. The attack A3FL is
    reported to reach a success of 100 % against it.

    References
    ----------
    Xu, Zhang and Hu, "Detecting Backdoor Attacks in Federated Learning via Direction Alignment Inspection", CVPR 2025.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [-900.0, -9.0]])
    >>> ra.AlignIns(sparsity=1)(updates, global_model=np.array([1.0, 1.0])).round(3)
    array([1., 2.])
    """

    readings = 3
    differences = True
    weighs_samples = True
    linear = True
    extras = frozenset({MODEL})

    sparsity: float = 0.3
    lambda_direction: float = 1.0
    lambda_sign: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sparsity = share("sparsity", self.sparsity)
        self.lambda_direction = positive("lambda_direction", self.lambda_direction)
        self.lambda_sign = positive("lambda_sign", self.lambda_sign)

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Search.nbytes(n)

    # --- the verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        if MODEL not in round.extras:
            raise errors.missing_argument("AlignIns", MODEL)

    def references(self, round: Round) -> Mapping[str, Any]:
        return {name: tree for name, tree in round.extras.items() if name in self.extras}

    def largest(self, d: int) -> int:
        """How many of d magnitudes count."""
        return min(max(int(self.sparsity * d), 1), d)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Aligned, None]:
        m = len(round.kept)
        rows = block.rows[:m]
        if isinstance(verdict, Reading):
            related, search = verdict.related, verdict.search
        else:
            related, search = Related.of(block.rows, m), Search.of(m, self.largest(round.d))
        signs = kernels.active().majority(rows, 1)
        return Aligned(related, search, search.counts(rows, signs, round.dtype)), None

    def decide(self, evidence: Aligned, round: Round) -> Verdict:
        search, m = evidence.search.refined(evidence.counts), len(round.kept)
        if not search.done:
            return Reading(
                np.full(m, 1 / m), ["to be read again"] * m, again=True, related=evidence.related, search=search
            )
        return self._judged(evidence.related.relation(m), search.agreeing / max(self.largest(round.d), 1), round)

    def _judged(self, relation: Relation, agreement: Floats, round: Round) -> Verdict:
        direction, norms = relation.cosines()[:-1], relation.norms[:-1]
        aligned = usual(direction, self.lambda_direction) & usual(agreement, self.lambda_sign)
        longest = float(np.median(norms[aligned])) if aligned.any() else 0.0
        told = f"median {np.median(direction):.2f}", f"median {np.median(agreement):.2f}"
        why = [
            f"direction {c:.2f}, {told[0]}; sign agreement {s:.2f}, {told[1]}{shortened(norm, longest) if one else ''}"
            for c, s, norm, one in zip(direction.tolist(), agreement.tolist(), norms.tolist(), aligned, strict=True)
        ]
        if not aligned.any():
            nothing = np.zeros(len(norms))
            return Combination(nothing, [f"nobody is kept: {w}" for w in why], coefficients=np.append(nothing, 0.0))
        verdict = selection(np.flatnonzero(aligned), why, round)
        coefficients = np.append(verdict.weights * shortening(norms, longest), 0.0)
        return scaled(Combination(**vars(verdict), coefficients=coefficients), relation.scale)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)
