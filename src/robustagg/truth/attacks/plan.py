"""Who attacks what: the malicious workers' places among honest answers, and how their answers are put there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels import truth as kernels
from robustagg.kernels.interface_truth import Codes, Reals
from robustagg.truth.claims import Claims


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
    """Draws what each malicious worker answers: as many of the attacked items as an honest worker answers on average."""
    claims = Claims.of(claims)
    if claims.categories is not None:
        raise errors.no_attack_on("categories")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise errors.out_of_range("workers", workers, "an integer of at least 0")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise errors.out_of_range("low and high", (low, high), "finite, the first below the second")
    targets = claims.positions(items)
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
    """The poisoned answers of a plan, whose malicious answers can be changed without building everything anew.

    Only the rows of the items that they answer are sorted again: an attack of a thousand answers costs a pass over all
    answers per iteration of truth discovery, and little besides.
    """

    def __init__(self, plan: Plan, values: Reals) -> None:
        self.plan = plan
        self.claims = plan.poisoned(values)
        self.claims.median, self.claims.spread  # noqa: B018 - cached: changed in place from here on
        self.items = np.unique(plan.items)
        starts = self.claims.answers.starts
        counts = starts[self.items + 1] - starts[self.items]
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.item = np.repeat(np.arange(self.items.size), counts)  # of each touched answer, among self.items
        self.rows = np.arange(self.item.size) - self.starts[self.item] + starts[self.items[self.item]]
        ids = {name: k for k, name in enumerate(self.claims.workers.tolist())}
        own = np.array([ids[name] for name in plan.names], np.int64)[plan.workers]
        self.honest = ~np.isin(self.claims.answers.workers[self.rows], own)
        honest_rows = self.rows[self.honest]
        self._who = np.concatenate([self.claims.answers.workers[honest_rows], own.astype(np.int32)])
        self._honest_values = self.claims.answers.values[honest_rows]
        self._where = np.concatenate([self.item[self.honest], np.searchsorted(self.items, plan.items)])
        self.mine = np.empty(0, np.int64)  # where each malicious answer is among the touched
        self.write(values)

    def write(self, values: Reals) -> None:
        """Puts the malicious answers in place."""
        what = np.concatenate([self._honest_values, values]) + 0.0
        order = np.lexsort((self._who, what, self._where))
        place = np.empty(order.size, np.int64)
        place[order] = np.arange(order.size)
        self.mine = place[self._honest_values.size :]
        self.who, self.values = self._who[order], what[order]
        answers, (mean, deviation) = self.claims.answers, self.claims.spread
        answers.workers[self.rows], answers.values[self.rows] = self.who, self.values
        counts = np.diff(self.starts)
        first = self.starts[:-1]
        self.claims.median[self.items] = (
            0.5 * self.values[first + (counts - 1) // 2] + 0.5 * self.values[first + counts // 2]
        )
        mean[self.items], deviation[self.items] = kernels.active().spread_answers(self.starts, self.values)
