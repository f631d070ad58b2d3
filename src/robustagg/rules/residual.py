"""Residual-based re-weighting (Fu et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Residual
from robustagg.protocol import Block, Round, Verdict
from robustagg.rules.base import Rule, shares
from robustagg.rules.checks import not_negative, one_of, positive, share

VARIANTS = {
    "authors": ("median_point", True),
    "paper": ("separate", False),
}


@dataclass(eq=False)
class ResidualReweighting(Rule[Verdict]):
    r"""The mean weighted by how well clients fit each coordinate's repeated-median line, outliers pulled onto it.

    Confidences :math:`C_{in}` as in :class:`Reputation`, without its rescale. A value whose confidence is below the
    threshold is replaced by the line's; a client's weight is

    .. math:: w_i \propto \Bigl(q_i / \max_j q_j\Bigr)^2, \qquad
        q_i = \sum_n C_{in} \, \operatorname{std}_j C_{jn}.

    Parameters
    ----------
    interval_width : float
        Width of the confidence interval.
    confidence_threshold : float
        Confidence below which a value is replaced, in (0, 1].
    scale_floor : float
        Added to the residual scale: differences below it are not outliers.
    variant : {"authors", "paper"}
        "authors" follows their published code, whose line goes through the median and whose residual scale leaves the
        smallest residual out; "paper" takes the line and the scale of :class:`Reputation`.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Breakdown point (n - 2) / 2n per coordinate, that of the lines. At most O(n^2) per coordinate, two passes. Agrees
    with the authors' code where no two clients send the same value; equal values are treated equally here, by the order
    of the clients there. With one or two clients, or where all values lie on their lines, the weights are equal.
    Multiplied by `sample_counts` where given. The clients' sums are of whole numbers: same bits for any number of
    threads and any cut into blocks.

    References
    ----------
    Fu et al., "Attack-Resistant Federated Learning with Residual-based Reweighting", arXiv:1912.11464, 2019.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> honest = np.random.default_rng(0).normal(0, 0.01, (9, 100))
    >>> result = ra.ResidualReweighting().aggregate([*honest, np.ones(100)])
    >>> bool(result.weights[9] < 0.01), bool(abs(result.update).max() < 0.05)
    (True, True)
    """

    weighs_samples = True

    interval_width: float = 2.0
    confidence_threshold: float = 0.1
    scale_floor: float = 1e-7
    variant: str = field(default="authors", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.interval_width = positive("interval_width", self.interval_width)
        self.confidence_threshold = share("confidence_threshold", self.confidence_threshold)
        self.scale_floor = not_negative("scale_floor", self.scale_floor)
        one_of("variant", self.variant, VARIANTS)

    @property
    def _line(self) -> Residual:
        """Which line, and which values lie off it, as the kernels are told."""
        intercept, leave_smallest = VARIANTS[self.variant]
        return Residual(intercept, self.interval_width, self.scale_floor, leave_smallest)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[NDArray[np.int64], None]:
        return kernels.active().residual_weights(block.rows, self._line), None

    def decide(self, evidence: NDArray[np.int64], round: Round) -> Verdict:
        fit = evidence / max(evidence.max(), 1)
        return Verdict(shares(fit**2, round.counts()), [f"confidence {part:.3f} of the highest" for part in fit])

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return kernels.active().residual_mean(block.rows, verdict.weights, self._line, self.confidence_threshold)
