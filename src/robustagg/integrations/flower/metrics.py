"""Metrics are claims too: what clients say of themselves, before anybody averages it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

import robustagg as ra

K = TypeVar("K")


def sound(records: Mapping[K, Mapping[str, Any]], count: str, cap: float | None) -> dict[K, dict[str, Any]]:
    """Those with finite numbers and the names that most have, by client; the entry `count` is capped."""
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
