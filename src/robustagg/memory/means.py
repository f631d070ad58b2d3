"""Means over rounds of what was seen of clients, or of pairs: of all rounds alike, and of the last ones most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robustagg import errors
from robustagg.memory import states
from robustagg.names import Client, Floats

if TYPE_CHECKING:
    from typing_extensions import Self


class Means:
    """What was seen of N clients so far, never changed once made.

    Parameters
    ----------
    clients : sequence of ids
        All that were ever seen.
    table : (4, N, columns) array, or (4, N, N) of pairs
        Sums and weights of all rounds, then those of the last ones.
    """

    def __init__(self, clients: Sequence[Client], table: Floats) -> None:
        self.clients, self.table = list(clients), table

    @classmethod
    def of(cls, columns: int) -> Self:
        """Nothing seen yet of clients; of pairs where there are no columns."""
        return cls([], np.zeros((4, 0, columns)))

    def after(self, clients: Sequence[Client], seen: Floats, retention: float, pairs: bool = False) -> Self:
        """The means with a further round, in which this was seen of these clients; `retention` ages the last ones'."""
        known = dict.fromkeys([*self.clients, *clients])
        new = len(known) - len(self.clients)
        table = np.pad(self.table, ((0, 0), (0, new), (0, new if pairs else 0)))
        part = self._part(list(known), clients, pairs)
        before = table[part]
        before[2:] *= retention
        table[part] = before + np.stack([seen, np.ones_like(seen)] * 2)
        return type(self)(list(known), table)

    def told(self, clients: Sequence[Client], pairs: bool = False) -> Floats:
        """(2, n, columns or n): of these clients, each seen once at least, the means of all rounds and of the last."""
        part = self.table[self._part(self.clients, clients, pairs)]
        return np.asarray(part[::2] / part[1::2])

    def rounds(self, clients: Sequence[Client]) -> Floats:
        """(n,) in how many rounds these clients were seen."""
        return np.asarray(self.table[self._part(self.clients, clients, False)][1, :, 0])

    @staticmethod
    def _part(known: Sequence[Client], clients: Sequence[Client], pairs: bool) -> tuple[Any, ...]:
        """Where in a table of the known clients what is said of some of them stands."""
        index = {client: k for k, client in enumerate(known)}
        rows = [index[client] for client in clients]
        return np.ix_(range(4), rows, rows) if pairs else (slice(None), rows)

    # --- saved ---

    def state(self) -> dict[str, Any]:
        return {"clients": self.clients, "table": self.table}

    @classmethod
    def restored(cls, state: Mapping[str, Any], columns: int | None) -> Self:
        """What :meth:`state` gave; raises where it is not sound. `columns` is None of pairs."""
        clients, table = [states.checked_name(name) for name in state["clients"]], states.restored(state["table"])
        shape = (4, len(clients), len(clients) if columns is None else columns)
        if len(set(clients)) < len(clients) or table.shape != shape or table.dtype != np.float64:
            raise errors.bad_record("table", f"float64 numbers {shape}")
        if not np.isfinite(table).all() or (table[1::2] < 0).any():
            raise errors.bad_record("table", "finite, and weights not negative")
        return cls(clients, table)
