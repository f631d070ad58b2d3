"""Multi-Metrics: how far each client is from the others by three measures at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import share
from robustagg.rules.distance import combined, scaled, selection, smallest
from robustagg.rules.evidence.geometry import Geometry, blurred, cosines
from robustagg.rules.evidence.gram import Gram, batches
from robustagg.rules.evidence.sums import Sum


@dataclass(frozen=True)
class Apart:
    """How rows lie to each other: their inner products, and sums of absolute differences."""

    gram: Gram
    differences: Sum

    @classmethod
    def of(cls, rows: Rows) -> Apart:
        """Those of one block. O(n^2 d)."""
        differences = (Sum.sum(kernels.active().manhattan(part)) for part in batches(rows))
        return cls(Gram.of(rows), reduce(add, differences))

    def __add__(self, other: Apart) -> Apart:
        return Apart(self.gram + other.gram, self.differences + other.differences)


@dataclass(eq=False)
class MultiMetrics(Rule[Verdict]):
    r"""The mean of the clients that are least far from all others, in angle, in coordinates and in length together.

    With :math:`t_i` the sums over j of :math:`(1 - \cos(u_i, u_j))^2`, :math:`\lVert u_i - u_j\rVert_1` and
    :math:`|\lVert u_i\rVert - \lVert u_j\rVert|`, and :math:`\Sigma` the covariance of the :math:`t_i`, a client's
    score is :math:`\sqrt{t_i^\top \Sigma^{-1} t_i}`; those of the lowest are meant.

    Parameters
    ----------
    keep : float
        Share of the clients that are kept, rounded up.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If the share is out of range.

    Notes
    -----
    Updates must be differences from the global model; the authors take whole models. O(n^2 d), two passes. Where the
    covariance is singular its pseudo-inverse stands in, of distances in units of the greatest of each kind, and the
    reasons say so. The authors keep floor(keep * n). Equal scores: the first. Weighted by `sample_counts` where given.
    A3FL is reported to reach a success of 76 % against it.

    References
    ----------
    Huang et al., "Multi-metrics Adaptively Identifies Backdoors in Federated Learning", ICCV 2023.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[1.0, 2.0], [1.0, 2.1], [1.1, 2.0], [1.2, 1.9], [-900.0, 9.0]])
    >>> ra.MultiMetrics().aggregate(updates).weights
    array([0.5, 0. , 0.5, 0. , 0. ])
    """

    differences = True
    weighs_samples = True
    linear = True

    keep: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keep = share("keep", self.keep)

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return 2 * Gram.nbytes(n)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Apart, None]:
        return Apart.of(block.rows), None

    def decide(self, evidence: Apart, round: Round) -> Verdict:
        geometry, m = evidence.gram.geometry(), len(round.kept)
        scores, singular = outlyingness(metrics(geometry, evidence.differences.value()))
        chosen = smallest(blurred(scores), math.ceil(self.keep * m - 1e-9))
        more = ", of a singular covariance" if singular else ""
        why = [f"score {score:.4g}{more}" for score in scores.tolist()]
        return scaled(selection(chosen, why, round), geometry.scale)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)


def metrics(geometry: Geometry, differences: Floats) -> Floats:
    """(n, 3) summed distances of each client to all others, each kind in units of the greatest."""
    norms = geometry.relation().norms / geometry.unit
    angles = np.maximum(1 - cosines(geometry), 0) ** 2
    np.fill_diagonal(angles, 0)
    apart = np.abs(norms[:, None] - norms)
    sums = np.stack([(each / max(each.max(), 1e-300)).sum(axis=1) for each in (angles, differences, apart)], axis=1)
    return np.asarray(sums)


def outlyingness(values: Floats) -> tuple[Floats, bool]:
    """(n,) lengths of the rows in units of their covariance, and whether that is singular."""
    centred = values - values.mean(axis=0)
    covariance = centred.T @ centred / max(len(values) - 1, 1)
    singular = np.linalg.matrix_rank(covariance, tol=1e-12 * np.trace(covariance), hermitian=True) < len(covariance)
    inverse = np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
    return np.sqrt(np.maximum(((values @ inverse) * values).sum(axis=1), 0)), bool(singular)
