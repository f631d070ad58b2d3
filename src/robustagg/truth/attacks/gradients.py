"""How estimates move with a malicious worker's answer, to first order: the gradients of CRH and GTM.

The truths that losses are taken beside are held as they are, and so are the items' medians and deviations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg.kernels.interface_truth import Reals
from robustagg.truth.estimators import CRH, GTM, Method
from robustagg.truth.estimators.base import sum_of


class Local(NamedTuple):
    """The answers to the items that malicious workers answer, and where truth discovery has ended."""

    item: NDArray[np.int32]
    """(a,): of each answer, 0 .. m - 1."""
    worker: NDArray[np.int32]
    x: Reals
    truth: Reals
    """(m,): the estimates."""
    deviation: Reals
    """(m,): standard deviation of the item's answers."""
    direction: Reals
    """(m,): what a rise of the estimate is worth: 1, -1, or 0 where the item is no target."""
    weights: Reals
    """(K,)."""
    losses: Reals
    """(K,): sums of (x - t)^2 / deviation (CRH) or of its square (GTM)."""
    counts: NDArray[np.int64]
    """(K,): answers of each worker."""


def gradient(method: Method, local: Local, mine: NDArray[np.int64]) -> Reals:
    """Of the sum over items of direction times estimate, by the answers at the places `mine`."""
    return _gtm(method, local, mine) if isinstance(method, GTM) else _crh(method, local, mine)  # type: ignore[arg-type]


def has_gradient(method: object) -> bool:
    """Whether :func:`gradient` knows it: CRH with squared loss, GTM without its outlier step."""
    return (isinstance(method, CRH) and method.loss == "squared") or (isinstance(method, GTM) and not method.outliers)


def _crh(method: CRH, local: Local, mine: NDArray[np.int64]) -> Reals:
    item, k = local.item[mine], local.worker[mine]
    total = np.bincount(local.item, local.weights[local.worker], local.truth.size)
    worth = np.divide(local.direction, total, out=np.zeros_like(total), where=total > 0)
    off = local.x - local.truth[local.item]
    # what a rise of each worker's weight is worth
    of_weight = np.bincount(local.worker, worth[local.item] * off, local.weights.size)
    own = local.losses / local.counts if method.normalize == "count" else local.losses
    share = 1.0 / local.counts[k] if method.normalize == "count" else 1.0
    if method.variant == "sum":
        of_all = np.full(k.size, of_weight.sum() / max(sum_of(own), np.finfo(float).tiny))
    else:
        of_all = np.where(k == own.argmax(), of_weight.sum() / max(own.max(), np.finfo(float).tiny), 0.0)
    of_own = np.divide(of_weight, own, out=np.zeros_like(own), where=own > 0)[k]
    slope = np.divide(2 * off[mine], local.deviation[item], out=np.zeros(k.size), where=local.deviation[item] > 0)
    result: Reals = worth[item] * local.weights[k] + share * slope * (of_all - of_own)
    return result


def _gtm(method: GTM, local: Local, mine: NDArray[np.int64]) -> Reals:
    item, k = local.item[mine], local.worker[mine]
    total = method.prior + np.bincount(local.item, local.weights[local.worker], local.truth.size)
    worth = local.direction / total
    off = local.x - local.truth[local.item]  # deviation times (z - mu)
    of_weight = np.bincount(local.worker, worth[local.item] * off, local.weights.size)
    square = local.deviation[item] ** 2
    slope = np.divide(off[mine], square, out=np.zeros(k.size), where=square > 0)
    fall = -2 * local.weights[k] ** 2 * slope / (2 * (method.alpha + 1) + local.counts[k])
    result: Reals = worth[item] * local.weights[k] + fall * of_weight[k]
    return result
