"""FoundationFL: copies of the update that lies farthest from the extremes stand beside the updates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from robustagg import kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import not_negative, number, one_of
from robustagg.rules.evidence.extremes import Extremes
from robustagg.rules.mixing.base import PreAggregation

ROBUST_MEANS = ("median", "trimmed-mean")


def copies(share: float, n: int) -> int:
    """How many copies stand beside n updates."""
    return math.floor(share * n + 1e-9)


@dataclass(eq=False)
class Synthesis(PreAggregation):
    r"""Copies of the update farthest from the extremes stand beside the updates.

    With M and m the greatest and least value of each coordinate, the update that is copied is

    .. math:: \arg\max_i \min(\lVert u_i - M\rVert, \lVert u_i - m\rVert).

    Parameters
    ----------
    share : float
        Copies per update: floor(share * n).

    Raises
    ------
    ValueError
        If the share is negative; in a :class:`Pipeline`, where it does not come first or a later pre-aggregation
        measures rows too.

    Notes
    -----
    O(nd). What FoundationFL puts before the coordinate-wise rules; here it goes before any. The rows that come out are
    no longer one per client. No breakdown point is known: where one attacker sends something huge, another that sends
    less can be the one that is copied, and a rule that looks for updates close together, as Krum, then takes it.

    References
    ----------
    Fang et al., "Do We Really Need to Design New Byzantine-robust Aggregation Rules?", NDSS 2025.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Synthesis()(np.array([[1.0], [2.0], [3.0], [9.0]])).ravel()
    array([1., 2., 3., 9., 3., 3.])
    """

    keeps_clients: ClassVar[bool] = False
    measures: ClassVar[type[Extremes]] = Extremes

    share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.share = not_negative("share", self.share)

    def after(self, round: Round) -> Round:
        rows = tuple(range(self.rows_of(len(round.kept))))
        return replace(round, clients=rows, excluded={}, sample_counts=None, spent=round.lost)

    def rows_of(self, m: int) -> int:
        return m + copies(self.share, m)

    def mixing(self, seen: Floats, round: Round) -> Floats:
        n = len(seen)
        copied = np.zeros((copies(self.share, n), n))
        copied[:, seen.argmax()] = 1
        return np.vstack([np.eye(n), copied])


@dataclass(frozen=True)
class Copied(Verdict):
    """A verdict that some row stands there more than once."""

    row: int = field(kw_only=True)
    times: int = field(kw_only=True)


@dataclass(eq=False)
class FoundationFL(Rule[Copied]):
    """The coordinate-wise median, or trimmed mean, of the updates and of copies of the one farthest from the extremes.

    The copied update is the one whose distance to the nearer of two vectors is greatest: that of each coordinate's
    greatest value, and that of its least.

    Parameters
    ----------
    rule : {"median", "trimmed-mean"}
        What is made of the rows.
    share : float
        Copies per update: floor(share * n).
    beta : float
        Share of the rows, copies included, that the trimmed mean drops at each end.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    O(nd + n log n per coordinate), two passes; the copies take no memory. An attacker whose update is copied gains: no
    breakdown point is known. With other rules: ``Pipeline(Synthesis(), Krum(f=2))``.

    References
    ----------
    Fang et al., "Do We Really Need to Design New Byzantine-robust Aggregation Rules?", NDSS 2025.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.FoundationFL()(np.array([[1.0], [2.0], [3.0], [4.0], [900.0]]))
    array([4.])
    """

    rule: str = "median"
    share: float = 0.5
    beta: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("rule", self.rule, ROBUST_MEANS)
        self.share = not_negative("share", self.share)
        self.beta = number("beta", self.beta, "at least 0 and below 0.5", lambda v: 0 <= v < 0.5)

    def observe(self, block: Block, round: Round, verdict: Copied | None) -> tuple[Extremes, None]:
        return Extremes.of(block.rows), None

    def decide(self, evidence: Extremes, round: Round) -> Copied:
        nearness = evidence.nearness()
        row, n = int(nearness.argmax()), len(nearness)
        times = copies(self.share, n)
        weights = np.ones(n)
        weights[row] += times
        why = [f"{far:.4g} from the nearer extreme" for far in nearness.tolist()]
        why[row] += f", the farthest: copied {times} times"
        return Copied(weights / weights.sum(), why, row=row, times=times)

    def combine(self, block: Block, note: Any, verdict: Copied) -> Array:
        rows = [*block.rows, *[block.rows[verdict.row]] * verdict.times]
        if self.rule == "median":
            return kernels.active().median(rows)
        return kernels.active().trimmed_mean(rows, math.floor(self.beta * len(rows) + 1e-9))
