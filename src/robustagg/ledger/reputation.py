"""The reputations of all clients, in memory: what each was seen to do, and what it counts for now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from robustagg import errors
from robustagg.ledger.histories import Places, history
from robustagg.memory.states import checked_name
from robustagg.protocol import ROUNDS, Client, Floats

WINDOW = 10_000  # rounds at most: a client's memory takes 16 bytes for each


class Ledger:
    r"""The memory of reputations: the decayed mean of what each client was observed to do.

    .. math:: \tilde R(t) = \frac{\sum_j \theta_j R_j}{\sum_j \theta_j}, \qquad \theta_j = e^{-c (t - t_j)}

    over the client's observations :math:`R_j` of rounds :math:`t_j` with :math:`t - t_j < s`.

    Parameters
    ----------
    decay : float
        c, the loss of weight per round of age, at least 0.
    window : int or None
        s, the number of rounds that count, at least 1; None: all of them.
    newcomer : float or None
        Value of one observation more that every score counts, as if of this round; None: of none.

    Notes
    -----
    Rounds need not be consecutive: a client that sat out decays by true age, one that returns after `window`
    rounds starts anew. Ids are distinct str or int; 1 and ``"1"`` are two clients. Memory per client is
    16 * window bytes, 24 without a window, and the id; a round of n clients costs O(n * window), however many
    are known.

    References
    ----------
    Chu et al., "Securing Federated Sensitive Topic Classification against Poisoning Attacks", NDSS 2023,
    equations 11 and 12.
    """

    def __init__(self, decay: float, window: int | None, newcomer: float | None = None) -> None:
        if window is not None and not 1 <= window <= WINDOW:
            raise errors.out_of_range("window", window, f"an integer of 1 to {WINDOW}, or None")
        self.decay = decay
        self.window = window
        self.newcomer = newcomer
        self._round: int | None = None
        self._rows: dict[Client, int] = {}  # in the order of the rows
        self._latest: tuple[tuple[Client, ...], Places] = ((), np.empty(0, np.int64))  # whom a round finds again
        self._history = history(decay, window, newcomer)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def round(self) -> int | None:
        """The last completed round."""
        return self._round

    def score(self, clients: Sequence[Client], observed: ArrayLike, round: int) -> Floats:
        """The clients' reputations if this round's observations are counted in. Changes nothing.

        Parameters
        ----------
        clients : sequence of n distinct str or int
        observed : (n,) float64
            R of this round, between 0 and 1.
        round : int
            Later than the last completed round.

        Returns
        -------
        (n,) float64
            The decayed scores, between 0 and 1.

        Raises
        ------
        TypeError
            If `round` is not a non-negative integer.
        ValueError
            If it is not later than the last completed round, or 2**62 or more.
        """
        self._check_later(round)
        return self._history.score(self._find(clients), np.asarray(observed, np.float64), round)

    def commit(self, clients: Sequence[Client], observed: ArrayLike, round: int) -> None:
        """Complete a round: remember its observations. Parameters and errors as in :meth:`score`."""
        self._check_later(round)
        known = self._latest if clients == self._latest[0] else self._reserved(clients)
        self._history.record(known[1], np.asarray(observed, np.float64), round)
        if known is not self._latest:
            self._rows.update(zip(clients, known[1].tolist(), strict=True))
            self._latest = known
        self._round = round

    def _reserved(self, clients: Sequence[Client]) -> tuple[tuple[Client, ...], Places]:
        """The clients and their rows, new ones where they have none: nobody's yet."""
        rows = self._find(clients)
        new = rows < 0
        rows[new] = np.arange(len(self), len(self) + np.count_nonzero(new))
        self._history.reserve(len(self) + np.count_nonzero(new))
        return tuple(clients), rows

    def reputation(self, client: Client, round: int | None = None) -> float | None:
        """The reputation of one client, as it stands in a round, by default the last completed one.

        Parameters
        ----------
        client : str or int
        round : int, optional
            Not before the last completed round: what has left the window since then is forgotten.

        Returns
        -------
        float or None
            None if nothing that the client did counts any more.

        Raises
        ------
        LookupError
            If the client was never seen.
        """
        if client not in self._rows or self._round is None:
            raise errors.unknown_client(client)
        if round is not None and round < self._round:
            raise errors.round_not_later(round, self._round)
        return self._history.look(self._rows[client], self._round if round is None else round)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the ledger remembers: parameters, round, clients, and copies of its arrays."""
        return {
            "decay": self.decay,
            "window": self.window,
            "round": self._round,
            "clients": list(self._rows),
            **self._history.arrays(len(self)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that :meth:`state_dict` gave; checked in full before anything changes.

        Raises
        ------
        InvalidLedger
            If the state was written with another `decay` or `window`, or is none of a ledger; a ValueError.
        """
        names = {"decay", "window", "round", "clients", *self._history.arrays(0)}
        if set(state) != names:
            raise errors.bad_ledger_state(f"it must hold {sorted(names)}, not {sorted(state)}")
        pairs = [(name, state[name], getattr(self, name)) for name in ("decay", "window")]
        if differences := [pair for pair in pairs if pair[1] != pair[2]]:
            raise errors.other_parameters(differences)
        clients, round = list(state["clients"]), state["round"]
        past = history(self.decay, self.window, self.newcomer)
        try:
            _check_clients(clients)
            past.restore(state, len(clients), -1 if round is None else checked_round(round))
            if (int(past.last(len(clients)).max()) if clients else None) != round:
                raise ValueError(f"nobody took part in round {round}, the last one")
        except (TypeError, ValueError) as fault:
            raise errors.bad_ledger_state(str(fault)) from fault
        self._history, self._round = past, round
        self._rows = {client: row for row, client in enumerate(clients)}
        self._latest = (), np.empty(0, np.int64)

    def pack(self, since: int | None) -> tuple[list[int], list[Client], list[int], list[bytes]]:
        """Rows, ids, last rounds and packed memories of the clients seen after round `since` (None: all)."""
        last = self._history.last(len(self))
        rows = np.flatnonzero(last > (-1 if since is None else since))
        clients = list(self._rows)
        chosen = rows.tolist()
        return chosen, [clients[row] for row in chosen], last[rows].tolist(), self._history.pack(rows)

    def unpack(self, round: int | None, clients: Sequence[Client], packed: Sequence[bytes]) -> None:
        """Take over all rows of a packed ledger; errors as in :meth:`load_state_dict`."""
        try:
            arrays = self._history.unpack(packed)
        except ValueError as fault:
            raise errors.bad_ledger_state(str(fault)) from fault
        own = {"decay": self.decay, "window": self.window}
        self.load_state_dict({**own, "round": round, "clients": clients, **arrays})

    def _find(self, clients: Sequence[Client]) -> Places:
        known, rows = self._latest
        if clients == known:
            return rows
        return np.fromiter(map(self._rows.get, clients, repeat(-1)), np.int64, len(clients))

    def _check_later(self, round: int) -> None:
        last = -1 if self._round is None else self._round
        if type(round) is int and last < round < ROUNDS:
            return
        if checked_round(round) <= last:
            raise errors.round_not_later(round, last)


def checked_round(round: Any) -> int:
    """The number of a round; raises if it is none."""
    if isinstance(round, bool) or not isinstance(round, int) or round < 0:
        raise errors.bad_round(round)
    if round >= ROUNDS:
        raise errors.out_of_range("round", round, f"less than {ROUNDS}")
    return round


def _check_clients(clients: Sequence[Any]) -> None:
    for client in clients:
        checked_name(client)
    if len(set(clients)) < len(clients):
        raise ValueError("a client is listed twice")
