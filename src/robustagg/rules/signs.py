"""Rules that look at the signs of the updates: whether clients agree where to go, not how far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import Rule, shares
from robustagg.rules.checks import not_negative, one_of, positive, share, whole
from robustagg.rules.distance import clipped, combined, scaled, selection, shortened, weighted_sum
from robustagg.rules.evidence.clusters import shifted
from robustagg.rules.evidence.gram import Related

AGGREGATE = "aggregate"  # what is remembered


@dataclass(eq=False)
class RLR(Rule[Verdict]):
    r"""Robust learning rate: the mean, reversed in each coordinate on whose sign too few clients agree,

    .. math:: \eta \, \bar u_j \cdot
        \begin{cases} 1 & |\sum_i \mathrm{sign}\, u_{ij}| \ge \theta \\ -1 & \text{otherwise.} \end{cases}

    Parameters
    ----------
    theta : int
        How many more clients must go one way than the other; the authors take 4 of 10, ``RLR.threshold(0.4, n)``.
    server_lr : float
        What the result is multiplied by.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Updates must be differences from the global model. O(nd), one pass. Among fewer clients than theta, all of them must
    agree. The mean is weighted by `sample_counts` where given, the vote is not, as in the authors' code.

    References
    ----------
    Ozdayi, Kantarcioglu and Gel, "Defending against Backdoors in Federated Learning with Robust Learning Rate", AAAI
    2021.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.RLR(theta=2)(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, -1.0], [1.0, -8.0]]))
    array([1. , 1.5])
    """

    differences = True
    weighs_samples = True

    theta: int
    server_lr: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.theta = whole("theta", self.theta, 1)
        self.server_lr = positive("server_lr", self.server_lr)

    @staticmethod
    def threshold(share: float, n: int) -> int:
        """The theta that is a share of n clients, rounded up.

        Examples
        --------
        >>> import robustagg as ra
        >>> ra.RLR.threshold(0.4, 33)
        14
        """
        return max(math.ceil(share * n - 1e-9), 1)

    def decide(self, evidence: None, round: Round) -> Verdict:
        m = len(round.kept)
        why = f"{min(self.theta, m)} more of {m} clients must go one way"
        return Verdict(shares(np.ones(m), round.counts()), [why] * m)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        kernel = kernels.active()
        mean = weighted_sum(block.rows, self.server_lr * verdict.weights)
        return kernel.flip(mean, kernel.majority(block.rows, min(self.theta, len(block.rows))))


@dataclass(frozen=True)
class Signs:
    """Evidence of SignGuard."""

    related: Related
    """To the last result, where there is one, else to zero."""
    counts: NDArray[np.int64]
    """(n, 2) positive and negative values among the drawn coordinates."""

    def __add__(self, other: Signs) -> Signs:
        return Signs(self.related + other.related, self.counts + other.counts)


@dataclass(eq=False)
class SignGuard(Rule[Verdict]):
    """The mean of the updates of usual length whose signs are like most others', clipped to the median length.

    Kept are who is neither shorter nor longer than the median length S allows, and, of the clients' shares of positive,
    zero and negative values among some neighbouring coordinates, in the largest cluster that mean shift finds.

    Parameters
    ----------
    lower, upper : float
        Lengths that are allowed, in units of S.
    share : float
        Share of the coordinates that are looked at, from a random one on.
    seed : int
        Of the first coordinate, together with the number of the round.
    variant : {"plain", "sim"}
        "sim" clusters also by the cosine to the last result.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, if the model's size is not that of the round before ("sim").
    ImportError
        In a round, without scikit-learn (``robustagg[cluster]``).

    Notes
    -----
    Updates must be differences from the global model. O(nd), two passes; "sim" remembers its result. The bandwidth is
    the mean distance to half of the clients; every client is a seed (the authors bin and sample them),
    and who is near no centre is in no cluster. Where nobody is both of usual length and in the cluster, the cluster is
    kept. The authors' "sim" takes the median cosine to the others for two rounds, and caps and divides it. Weighted by
    `sample_counts` where given.

    References
    ----------
    Xu et al., "Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering", ICDCS 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [-2.0, -1.0]])
    >>> ra.SignGuard(share=1)(updates).round(3)
    array([1.333, 1.667])
    """

    differences = True
    weighs_samples = True
    linear = True

    lower: float = 0.1
    upper: float = 3.0
    share: float = 0.1
    seed: int = 0
    variant: str = field(default="plain", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lower = not_negative("lower", self.lower)
        self.upper = positive("upper", self.upper)
        self.share = share("share", self.share)
        self.seed = whole("seed", self.seed)
        one_of("variant", self.variant, ("plain", "sim"))

    @property
    def remembers(self) -> bool:
        return self.variant == "sim"

    @property
    def further_rows(self) -> int:
        return int(self.remembers)

    # --- the verbs ---

    def prepare(self, round: Round) -> tuple[int, int]:
        """First of the coordinates that are looked at, and their end."""
        width = min(max(int(self.share * round.d), 1), round.d)
        first = int(np.random.default_rng([self.seed, round.number]).integers(round.d - width + 1))
        return first, first + width

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Signs, None]:
        first, end = np.clip(np.array(round.prepared) - block.start, 0, block.rows[0].size).tolist()
        drawn = kernels.active().window(block.rows, first, end)
        rows = self._with_last(block)
        related = Related.of(rows, len(block.rows) if len(rows) > len(block.rows) else None)
        return Signs(related, kernels.active().sign_counts(drawn)), None

    def decide(self, evidence: Signs, round: Round) -> Verdict:
        m, last = len(round.kept), AGGREGATE in self._vectors
        relation = evidence.related.relation(m if last else None)
        norms = relation.norms[:m]
        width = round.prepared[1] - round.prepared[0]
        positive, negative = evidence.counts.T
        features = [column / max(column.max(), 1) for column in (positive, width - positive - negative, negative)]
        if last:
            features.append(relation.cosines()[:m])
        inside, usual = shifted(np.stack(features, axis=1)), float(np.median(norms))
        fits = (self.lower * usual <= norms) & (norms <= self.upper * usual)
        kept = inside & fits if (inside & fits).any() else inside
        signs = [f"{p} positive and {q} negative of {width}" for p, q in evidence.counts.tolist()]
        why = self._reasons(signs, inside, fits, norms, usual)
        verdict = scaled(clipped(selection(np.flatnonzero(kept), why, round), norms, usual), relation.scale)
        return replace(verdict, learns=[AGGREGATE]) if self.remembers else verdict

    def _reasons(
        self, signs: list[str], inside: NDArray[np.bool_], fits: NDArray[np.bool_], norms: Floats, usual: float
    ) -> list[str]:
        size = f"the cluster of {np.count_nonzero(inside)} of {len(inside)}"
        where = [f"in {size}" if one else f"outside {size}" for one in inside.tolist()]
        lengths = [
            shortened(norm, usual) if fit else f", length {norm:.4g} beside {usual:.4g}"
            for fit, norm in zip(fits.tolist(), norms.tolist(), strict=True)
        ]
        return [f"{place}{length}; {sign}" for place, length, sign in zip(where, lengths, signs, strict=True)]

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)

    def learn(self, block: Block, piece: Array, verdict: Verdict) -> Array:
        return kernels.active().stack([piece])

    def _with_last(self, block: Block) -> Rows:
        """The rows, and the last result, where it is asked for."""
        if AGGREGATE not in self._vectors:
            return block.rows
        piece = self._vectors[AGGREGATE][block.start : block.start + block.rows[0].size]
        return [*block.rows, kernels.active().narrow(piece, block.rows[0].dtype)]
