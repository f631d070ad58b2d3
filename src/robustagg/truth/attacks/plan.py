"""Who attacks what: the malicious workers' places among honest answers, and how their answers are put there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels.interface_truth import Codes, Reals
from robustagg.truth.claims import Claims, build
from robustagg.truth.estimators import Method


@dataclass(frozen=True, eq=False)
class Plan:
    """Malicious workers, the items that each answers, and the range of their answers."""

    claims: Claims
    targets: NDArray[np.int64]
    items: Codes
    workers: Codes
    names: list[str]
    low: float
    high: float

    def poisoned(self, values: Reals) -> Claims:
        """All answers together."""
        return self.claims.joined(self.claims.items, self.names, (self.items, self.workers), values)

    def clip(self, values: Reals) -> Reals:
        return np.clip(values, self.low, self.high)


def plan(
    claims: Any, *, workers: int, items: Sequence[Any] | None, answers: int | None, low: float, high: float, seed: int
) -> Plan:
    """Draws what each malicious worker answers: as many attacked items as an honest worker answers on average."""
    claims = Claims.of(claims)
    if claims.categories is not None:
        raise errors.no_attack_on("categories")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise errors.out_of_range("workers", workers, "an integer of at least 0")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise errors.out_of_range("low and high", (low, high), "finite, the first below the second")
    targets = claims.positions(None if items is None else list(dict.fromkeys(items)))
    each = round(claims.size / claims.workers.size) if answers is None else answers
    if each < 1:
        raise errors.out_of_range("answers", answers, "at least 1")
    names = [f"malicious-{k + 1}" for k in range(workers)]
    for name in names:
        if name in claims.workers.tolist():
            raise errors.worker_exists(name)
    rng = np.random.default_rng(seed)
    drawn = [np.sort(rng.permutation(targets.size)[: min(each, targets.size)]) for _ in names]
    places = targets[np.concatenate(drawn)] if drawn else np.empty(0, np.int64)
    owners = np.repeat(np.arange(workers), [part.size for part in drawn])
    return Plan(claims, targets, places.astype(np.int32), owners.astype(np.int32), names, float(low), float(high))


class Scene:
    """The items that malicious workers answer, with all their answers: what an attack changes.

    Truth discovery is run on these alone, with the workers' losses on all other items as honest answers have left them:
    a search does not pass over all answers at every step. Where every item is answered, nothing is left out.
    """

    def __init__(self, plan: Plan, method: Method) -> None:
        claims, self.method = plan.claims, method
        self.items = np.unique(plan.items)
        begin, end = claims.answers.starts[self.items], claims.answers.starts[self.items + 1]
        own = np.repeat(np.arange(self.items.size), end - begin)
        rows = np.arange(own.size) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin) + begin[own]
        self._honest = own.astype(np.int32), claims.answers.workers[rows], claims.answers.values[rows]
        self._mine = (
            np.searchsorted(self.items, plan.items).astype(np.int32),
            plan.workers + np.int32(claims.workers.size),
        )
        self.count = claims.workers.size + len(plan.names)
        self.counts = np.r_[claims.per_worker, np.bincount(plan.workers, minlength=len(plan.names))]
        self.elsewhere = np.r_[self._elsewhere(claims), np.zeros(len(plan.names))]

    def _elsewhere(self, claims: Claims) -> Reals:
        """(K,): the honest workers' losses on the other items."""
        part = self.method.part(claims)
        found = self.method.discover([part], claims.per_worker)
        here = build(self.items, claims.workers, *self._honest)
        again = self.method.discover([self.method.part(here)], claims.per_worker, found.weights).losses[0]
        losses: Reals = found.losses[0] * self.method.unit(claims) - again * self.method.unit(here)
        return np.maximum(losses, 0.0)

    def claims(self, values: Reals) -> Claims:
        """All answers to these items, the malicious ones as given."""
        items, workers, what = (np.concatenate(pair) for pair in zip(self._honest, (*self._mine, values), strict=True))
        return build(self.items, np.arange(self.count), items, workers, what)

    def mine(self, claims: Claims) -> NDArray[np.int64]:
        """Where each malicious answer is among the claims' answers."""
        cells = claims.item_of.astype(np.int64) * self.count + claims.answers.workers
        wanted = self._mine[0].astype(np.int64) * self.count + self._mine[1]
        order = np.argsort(cells)
        places: NDArray[np.int64] = order[np.searchsorted(cells, wanted, sorter=order)]
        return places
