"""Rules that look at each coordinate on its own and weigh nobody: mean, median, trimmed mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import Rule, equal, shares
from robustagg.rules.checks import number
from robustagg.rules.component import Needs, Withstanding


@dataclass(eq=False)
class Mean(Rule[Verdict]):
    """The mean of the updates, weighted by `sample_counts` where given (FedAvg).

    Not robust: a single client moves it anywhere. The baseline.

    Parameters
    ----------
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Notes
    -----
    Breakdown point 0. O(nd), one pass. Accumulated in float64 in the order of the clients.

    References
    ----------
    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Mean().aggregate(np.array([[1.0, 2.0], [3.0, 6.0]]), sample_counts=[1, 3]).update
    array([2.5, 5. ])
    """

    isometric = True
    weighs_samples = True
    linear = True

    def decide(self, evidence: Any, round: Round) -> Verdict:
        counts = round.counts()
        if counts is None:
            return equal(len(round.kept))
        return Verdict(shares(np.ones(len(counts)), counts), ["weighted by samples"] * len(counts))

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return kernels.active().weighted_mean(block.rows, verdict.weights)


def added_exactly(counts: Floats) -> Floats:
    """Counts in proportion to these, of which at least one is positive, whose sums are exact: whole numbers."""
    if counts.sum() < 2**53 and (counts == np.rint(counts)).all():
        return counts
    return np.asarray(np.rint(np.ldexp(counts / counts.max(), 52 - len(counts).bit_length())))


@dataclass(frozen=True)
class Counted(Verdict):
    """A verdict by samples, whose sums are not rounded: half of them is exactly half, in any order."""

    counts: Floats = field(kw_only=True)


@dataclass(eq=False)
class Median(Rule[Verdict]):
    """The coordinate-wise median; of an even number of clients, the mean of the two middle values.

    With `sample_counts` the weighted median: the least value up to which half of the samples lie, and where that is
    exactly half, the mean of it and the next.

    Parameters
    ----------
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Notes
    -----
    Breakdown point 1/2. O(n log n) per coordinate.

    References
    ----------
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Median()(np.array([[1.0, 2.0], [1.5, 2.5], [900.0, -900.0]]))
    array([1.5, 2. ])
    """

    weighs_samples = True

    def decide(self, evidence: None, round: Round) -> Verdict:
        counts = round.counts()
        if counts is None:
            return equal(len(round.kept))
        weights = shares(np.ones_like(counts), counts)
        return Counted(weights, ["weighted by samples"] * len(counts), counts=added_exactly(counts))

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        if isinstance(verdict, Counted):
            return kernels.active().weighted_median(block.rows, verdict.counts)
        return kernels.active().median(block.rows)


@dataclass(eq=False)
class TrimmedMean(Withstanding, Rule[Verdict]):
    """The coordinate-wise mean without the k lowest and k highest values.

    Parameters
    ----------
    f : int, optional
        Drop k = f values at each end: withstands f Byzantine clients.
    beta : float, optional
        Drop k = floor(beta * n) values at each end, n the clients admitted in the round; 0.2 where neither is given.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If both are given, or out of range; in a round, if not n > 2k.

    Notes
    -----
    Breakdown point k/n. O(n log n) per coordinate. k = 0 is the mean.

    References
    ----------
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.TrimmedMean(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.5])
    """

    f: int | None = None  # type: ignore[assignment]
    beta: float | None = None

    def __post_init__(self) -> None:
        if self.f is not None and self.beta is not None:
            raise errors.exclusive("f", "beta")
        if self.f is not None:
            super().__post_init__()
            return
        Rule.__post_init__(self)
        if self.beta is not None:
            self.beta = number("beta", self.beta, "at least 0 and below 0.5", lambda v: 0 <= v < 0.5)

    def needed(self) -> Needs | None:
        return None if self.f is None else self.needs

    def withstood(self, m: int) -> int:
        """Also how many values are dropped at each end of m."""
        if self.f is not None:
            return super().withstood(m)
        return math.floor((0.2 if self.beta is None else self.beta) * m + 1e-9)  # 0.2 * 15 is 3, not 2.9999

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return kernels.active().trimmed_mean(block.rows, self.withstood(len(block.rows)))
