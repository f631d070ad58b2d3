"""What strategies of both of Flower's APIs share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any, TypeVar

import robustagg as ra

log = logging.getLogger("flwr")
K = TypeVar("K")


class Around:
    """What both kinds of strategy have around their own: a rule, and an intake that lives as long as they do."""

    def __init__(
        self,
        rule: Any,
        *,
        ledger: Any = None,
        identity: str | None = None,
        count_cap: float | None = 4.0,
        weigh: bool = True,
        policy: ra.Policy | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        rule = rule if isinstance(rule, ra.Rule) else ra.rule(rule)
        self._intake_for = partial(ra.Intake, rule, ledger=ledger, count_cap=count_cap, weigh=weigh, policy=policy)
        self._differences = rule.differences
        self._identity, self._cap = identity, count_cap
        self._intake: ra.Intake | None = None
        self.result: ra.Result | None = None

    def _begin(self, model: Any) -> None:
        """Take the first round's model for what replies have to be like, and each round's for where clients begin."""
        if self._intake is None:
            self._model, self._intake = model, self._intake_for(like=model, reference=False)
        if self._differences:  # Flower's clients send whole models
            self._intake.reference = model

    def _take(self, client: Any, sender: Any, read: Callable[[], Any], count: Any) -> None:
        """A reply: whose it is, if it says so; whom it came from; how to read it; its sample count."""
        assert self._intake is not None, "a round is configured before it is aggregated"
        if client is None:
            self._intake.refuse(sender, f"no {self._identity!r} in the reply")
        else:
            self._intake.add(client, read, count)

    def _closed(self, server_round: int) -> set[Any]:
        """Aggregate; the clients that take part, none where there is no result. The log hears of the others."""
        assert self._intake is not None
        self.result = self._intake.close()
        if self.result is None:
            log.warning("robustagg: no update in round %s: %s", server_round, self._intake.why)
            return set()
        standing = list(zip(self.result.clients, self.result.admitted, self.result.reasons, strict=True))
        for client, admitted, reason in standing:
            if not admitted:
                log.warning("robustagg: round %s: client %r: %s", server_round, client, reason)
        return {client for client, admitted, _ in standing if admitted}


def sound(records: Mapping[K, Mapping[str, Any]], count: str, cap: float | None) -> dict[K, dict[str, Any]]:
    """Metrics are claims too: those with finite numbers and the names that most have, by client; counts are capped."""
    shapes = {client: _shape(record, count) for client, record in records.items()}
    votes = Counter(shape for shape in shapes.values() if shape is not None)
    common = max(votes, key=lambda shape: (votes[shape], shape), default=None)
    kept = sorted((c for c in shapes if shapes[c] is not None and shapes[c] == common), key=lambda c: (str(type(c)), c))
    counts = ra.capped_counts({client: records[client][count] for client in kept}, cap)
    if not any(counts.values()):
        counts = dict.fromkeys(kept, 1.0)
    return {client: {**records[client], count: counts[client]} for client in kept}


def _shape(record: Mapping[str, Any], count: str) -> tuple[tuple[str, str, int], ...] | None:
    """Name, kind and length of each entry; None where the record cannot be averaged."""
    weight = record.get(count)
    if not isinstance(weight, (int, float)) or weight < 0:
        return None
    values = [v for value in record.values() for v in (value if isinstance(value, list) else [value])]
    if not all(isfinite(v) for v in values if isinstance(v, (int, float))):
        return None
    kinds = {name: "number" if isinstance(v, (int, float)) else type(v).__name__ for name, v in record.items()}
    return tuple(sorted((name, kinds[name], len(v) if isinstance(v, list) else 0) for name, v in record.items()))
