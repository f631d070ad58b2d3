"""Defences around a truth discovery: medians over groups of workers, and removing the most influential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels import truth as kernels
from robustagg.truth.claims import Claims
from robustagg.truth.estimators import Estimator, Method
from robustagg.truth.estimators.base import positions, tried
from robustagg.truth.results import Result


@dataclass(eq=False)
class MWA(Estimator):
    """Median of weighted averages: workers in groups, the weighted mean of an item in each, and the median of those.

    Parameters
    ----------
    method : Method
        Whose weights.
    groups : int
        K, drawn for each worker by its id; the same for all items. Groups whose answers to an item have no weight are
        skipped.
    seed : int
        Of the grouping.

    Raises
    ------
    ValueError
        If `groups` is not at least 1.

    Notes
    -----
    With K groups of some weight for an item, of which at most (K - 1) / 2 hold malicious workers, its estimate lies
    within the range of the other groups' means. Weights come from all answers, the malicious ones included. O(A) beyond
    the method's own cost.

    References
    ----------
    Fang et al., "Data poisoning attacks and defenses to crowdsourcing systems", WWW 2021.

    Examples
    --------
    >>> from robustagg import truth
    >>> items, workers = ["a"] * 6, ["ada", "bob", "cem", "dan", "fay", "eve"]
    >>> answers = (items, workers, [1.0, 1.1, 0.9, 1.0, 1.0, 900.0])
    >>> round(truth.MWA(truth.CRH(), groups=3).fit(answers)["a"])
    1
    """

    method: Method
    groups: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.groups, bool) or not isinstance(self.groups, int) or self.groups < 1:
            raise errors.out_of_range("groups", self.groups, "an integer of at least 1")

    def fit(self, claims: Any, **columns: Any) -> Result:
        claims = self.accept(claims, columns)
        inner = self.method.fit(claims)
        group = split(claims.workers, self.groups, self.seed)
        z = kernels.active().group_medians(claims.answers, claims.scale(), inner.weights, group, self.groups)
        return replace(inner, method=str(self), estimates=claims.median + z * claims.spread[1])


def split(workers: NDArray[Any], groups: int, seed: int) -> NDArray[np.int32]:
    """(K,): the group of each worker, drawn from its id, so that it does not depend on who else has answered."""
    key = seed.to_bytes(8, "little", signed=True)
    draws = [blake2b(f"{type(w).__name__} {w}".encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
             for w in workers.tolist()]  # fmt: skip
    return np.array([int.from_bytes(draw, "little") % groups for draw in draws], np.int32)


@dataclass(eq=False)
class MIE(Estimator):
    r"""Maximum influence of estimation: the workers whose removal changes the estimates most are removed.

    One after the other; a worker's influence, with the weights held, is

    .. math:: \sum_n \Bigl| \frac{w_k}{W_n - w_k} M_{kn} (x_{kn} - t_n) \Bigr|

    over the items; `exact` runs truth discovery without the worker instead.

    Parameters
    ----------
    method : Method
    malicious : int
        How many workers to remove.
    items : sequence of ids, optional
        The items that count, where the server knows which are attacked; all by default.
    exact : bool
        One truth discovery per worker and removal: for few workers.

    Raises
    ------
    ValueError
        If `malicious` is not an integer of at least 0, or leaves no worker.

    Notes
    -----
    A worker who alone answered an item has no influence there that could be told. An item left without answers keeps
    the estimate it had with all. The frozen form is O(malicious * A) and two truth discoveries.

    References
    ----------
    Fang et al., "Data poisoning attacks and defenses to crowdsourcing systems", WWW 2021.

    Examples
    --------
    >>> from robustagg import truth
    >>> items, workers = ["a"] * 6, ["ada", "bob", "cem", "dan", "fay", "eve"]
    >>> answers = (items, workers, [1.0, 1.1, 0.9, 1.0, 1.0, 900.0])
    >>> result = truth.MIE(truth.Mean(), malicious=1).fit(answers)
    >>> round(result["a"], 1), float(result.weights[4])
    (1.0, 0.0)
    """

    method: Method
    malicious: int = 1
    items: Sequence[Any] | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.malicious, bool) or not isinstance(self.malicious, int) or self.malicious < 0:
            raise errors.out_of_range("malicious", self.malicious, "an integer of at least 0")

    def fit(self, claims: Any, **columns: Any) -> Result:
        claims = self.accept(claims, columns)
        if self.malicious >= claims.workers.size:
            raise errors.out_of_range("malicious", self.malicious, f"less than the {claims.workers.size} workers")
        targets = np.zeros(claims.items.size, np.bool_)
        targets[claims.positions(self.items)] = True
        if not self.malicious:
            return replace(self.method.fit(claims), method=str(self))
        whole = tried(self.method, claims)
        removed = self._exactly(claims, whole, targets) if self.exact else self._frozen(claims, whole, targets)
        inner = self.method.fit(claims.only(~np.isin(claims.answers.workers, removed)))
        return without(claims, whole, inner, str(self), removed)

    def _frozen(self, claims: Claims, whole: Result, targets: NDArray[np.bool_]) -> list[int]:
        who, x, n = claims.answers.workers, claims.answers.values, claims.item_of
        kept, size = targets[n], claims.items.size
        who, x, n = who[kept], x[kept], n[kept]
        weight, estimates = whole.weights[who], whole.estimates.copy()
        total = np.bincount(n, weight, size)
        removed: list[int] = []
        left = np.ones(who.size, np.bool_)
        for _ in range(self.malicious):
            rest = total[n] - weight
            counts = left & (rest > 1e-9 * total[n])
            moved = np.divide(weight * np.abs(x - estimates[n]), rest, out=np.zeros_like(rest), where=counts)
            influence = np.bincount(who, moved, claims.workers.size)
            influence[removed] = -1.0
            removed.append(int(influence.argmax()))
            gone = left & (who == removed[-1])
            shift = np.divide(weight * (estimates[n] - x), rest, out=np.zeros_like(rest), where=counts & gone)
            estimates[n[gone]] += shift[gone]
            total[n[gone]] -= weight[gone]
            left &= ~gone
        return removed

    def _exactly(self, claims: Claims, whole: Result, targets: NDArray[np.bool_]) -> list[int]:
        removed: list[int] = []
        now = whole
        for _ in range(self.malicious):
            best, found, without_best = -1.0, -1, now
            for k in np.setdiff1d(np.arange(claims.workers.size), removed).tolist():
                kept = ~np.isin(claims.answers.workers, [*removed, k])
                after = without(claims, now, tried(self.method, claims.only(kept)), "", [*removed, k])
                change = float(np.abs(after.estimates - now.estimates)[targets].sum())
                if change > best:
                    best, found, without_best = change, k, after
            removed.append(found)
            now = without_best
        return removed


def without(claims: Claims, whole: Result, inner: Result, method: str, removed: Sequence[int]) -> Result:
    """The result of the workers left, among all: who is removed weighs nothing, an item without answers stays."""
    weights, estimates = np.zeros(claims.workers.size), whole.estimates.copy()
    weights[positions(claims.workers, inner.workers)] = inner.weights
    estimates[positions(claims.items, inner.items)] = inner.estimates
    gone = set(removed)
    reasons = tuple("removed: most influential" if k in gone else "" for k in range(claims.workers.size))
    return replace(
        whole, method=method, weights=weights, estimates=estimates, reasons=reasons,
        iterations=inner.iterations, converged=inner.converged,
    )  # fmt: skip
