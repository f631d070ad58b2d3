"""Who sent what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.names import LONGEST_ID
from robustagg.protocol import Client


def listed(updates: Any, clients: Iterable[Client] | None) -> tuple[Iterable[Client] | None, list[Any]]:
    """Who is said to have sent what, of a mapping or of whatever can be gone through."""
    if isinstance(updates, Mapping):
        if clients is not None:
            raise errors.clients_twice()
        return updates.keys(), list(updates.values())
    if hasattr(updates, "columns"):
        raise errors.frame_of_updates(updates)
    if isinstance(updates, memoryview):
        updates = np.asarray(updates)
    if isinstance(updates, Iterable) and not isinstance(updates, (str, bytes)):
        return clients, list(updates)
    raise errors.not_updates(updates)


def client_ids(clients: Iterable[Client] | None, n: int) -> tuple[Client, ...]:
    """Checked ids of n clients."""
    if clients is None:
        return tuple(range(n))
    if isinstance(clients, (str, bytes)) or not isinstance(clients, Iterable):
        raise errors.not_client_ids(clients)
    names = tuple(c if type(c) is str or type(c) is int else _plain(c) for c in clients)
    if len(names) != n:
        raise errors.client_count(len(names), n)
    seen: dict[tuple[type, Client], int] = {}
    for i, name in enumerate(names):
        if (len(name) if isinstance(name, str) else -(-name.bit_length() // 4)) > LONGEST_ID:
            raise errors.long_client_id(name)
        first = seen.setdefault((type(name), name), i)
        if first != i:
            raise errors.duplicate_client(name, first, i)
    return names


def _plain(client: Any) -> Client:
    """An id of a kind of one's own, an Enum's say, as the text or the number that it is."""
    if isinstance(client, str):
        return str.__str__(client)  # where str() may say something else
    if isinstance(client, (int, np.integer)) and not isinstance(client, bool):
        return int(client)
    raise errors.bad_client_id(client)
