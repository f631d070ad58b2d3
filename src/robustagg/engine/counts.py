"""How many samples each client says it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import islice
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.names import Client, Floats, labelled

_HUGE = 2.0**896


def checked_counts(counts: Iterable[float] | Mapping[Any, float] | None, clients: Sequence[Client]) -> Floats | None:
    """(n,) what `aggregate` was given as sample counts, each of which is finite and not negative."""
    if counts is None:
        return None
    if isinstance(counts, Mapping) or labelled(counts):
        for client in clients:
            if client not in counts:
                raise errors.sample_count_missing(client)
        given = [counts[client] for client in clients]
    else:
        given = _listed(counts, len(clients))
    values = np.array([checked_count(client, count) for client, count in zip(clients, given, strict=True)])
    # Only ratios matter: huge counts are scaled, exactly, so that sums of them stay finite.
    return values if values.max() < _HUGE else np.ldexp(values, -128)


def _listed(counts: Any, n: int) -> list[Any]:
    try:
        unordered = isinstance(counts, (str, bytes, bytearray, Set))
        values = iter(() if unordered else counts)
    except TypeError:  # no iterable at all, a number or an array without axes, say
        unordered = True
    if unordered:
        raise errors.no_sample_counts(counts)
    given = list(islice(values, n))
    more = sum(1 for _ in islice(values, 10 * n + 10))  # a generator may never end
    if len(given) + more != n:
        raise errors.sample_count_length(len(given) + more, n)
    return given


def _number(client: object, count: Any) -> Any:
    """What a tensor without axes holds."""
    if count is np.ma.masked:
        raise errors.sample_count_no_number(client, count)
    try:
        return count.item() if hasattr(count, "item") else float(count)
    except Exception as fault:  # whatever a framework has for a tensor without values
        raise errors.sample_count_no_number(client, count) from fault


def checked_count(client: object, count: Any) -> float:
    """One client's count as a finite number that is not negative."""
    if getattr(count, "ndim", None) == 0:  # an array's or a tensor's number
        count = _number(client, count)
    if isinstance(count, bool) or not isinstance(count, Real):
        raise errors.sample_count_no_number(client, count)
    try:
        value = float(count)
    except OverflowError:
        value = inf
    if not 0 <= value < inf:
        raise errors.bad_sample_count(client, count)
    return value
