"""Relatives of the median, each coordinate on its own: the mean around it, the middle of the repeated-median line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robustagg import kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import one_of
from robustagg.rules.component import Withstanding
from robustagg.rules.reputation import INTERCEPTS


@dataclass(eq=False)
class MeaMed(Withstanding, Rule[Verdict]):
    """The coordinate-wise mean of the n - f values nearest the median.

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
    Breakdown point 1/2. O(n log n) per coordinate. Of two values equally far from the median, the smaller is the
    nearer. f = 0 is the mean.

    References
    ----------
    Xie, Koyejo and Gupta, "Generalized Byzantine-tolerant SGD", arXiv:1802.10116, 2018.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.MeaMed(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return kernels.active().mean_around_median(block.rows, len(block.rows) - self.withstood(len(block.rows)))


@dataclass(eq=False)
class RepeatedMedian(Rule[Verdict]):
    """The value at the middle rank of Siegel's repeated-median line through each coordinate's sorted values.

    Parameters
    ----------
    intercept : {"separate", "hierarchical", "median_point"}
        How the line's intercept is found. With "median_point" the line goes through the median, which is the result
        then.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If there is no such intercept.

    Notes
    -----
    Breakdown point (n - 2) / 2n: f clients of n >= 2f + 2, as half of the slopes of an honest client, of n - 1 an even
    count, may not be bad. At most O(n^2) per coordinate.

    References
    ----------
    Siegel, "Robust regression using repeated medians", Biometrika 69, 1982.
    Fu et al., "Attack-Resistant Federated Learning with Residual-based Reweighting", arXiv:1912.11464, 2019.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.RepeatedMedian()(np.array([[1.0], [2.0], [3.0], [4.0], [900.0]]))
    array([3.])
    """

    intercept: str = "separate"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("intercept", self.intercept, INTERCEPTS)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return kernels.active().middle_of_line(block.rows, self.intercept)
