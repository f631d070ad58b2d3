"""The audit trail of any rule: who was given which weight in each round, why, and what the rule had seen."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.ledger.database import AnyPath, Table, client_of, reading, stored
from robustagg.protocol import Client, Floats, Outcome

ROUND = ("round", "finished", "rule", "clients", "admitted")
FACTS = ("accepted", "rejected", "observed", "reputation")
"""What a rule may tell of each client besides its weight."""
_LINES = {
    1: f"SELECT round, client, admitted, weight, reason, {', '.join(FACTS)} FROM observations",
    2: "SELECT round, client, admitted, weight, reason, facts FROM trail",
}
_RESERVED = frozenset({"round", "client", "admitted", "weight", "reason"})
UNSAVED_ROUNDS, UNSAVED_LINES = 1000, 2**17
"""How much of the trail waits in memory to be saved at most, the last round besides."""


def _date(seconds: float | None = None) -> str:
    """Some seconds after the epoch, or now, as ISO 8601 writes it."""
    return datetime.fromtimestamp(int(time.time() if seconds is None else seconds), timezone.utc).isoformat()


@dataclass(eq=False)
class RoundRecord:
    """A finished round as the audit trail keeps it, with all of its n clients, the excluded ones included."""

    round: int
    rule: str
    clients: Sequence[Client]
    admitted: NDArray[np.bool_]
    weights: Floats
    reasons: Sequence[str]
    facts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """(n,) columns by name: what the rule has seen of each client."""
    finished: str = field(default_factory=_date)
    """UTC, ISO 8601."""

    @classmethod
    def of(cls, told: Outcome) -> RoundRecord:
        """What an outcome tells."""
        facts = {name: column for name in FACTS if (column := getattr(told, name)) is not None}
        columns = told.admitted, told.weights, told.reasons, facts
        return cls(told.round, told.rule, told.clients, *columns, _date(told.finished))


class Past:
    """What becomes of a rule's rounds: the files that hold some of them, and the records that no file may hold yet.

    Attributes
    ----------
    stamps : set of str
        The stamps of the files that hold an earlier state of this very memory.
    records : deque of RoundRecord or Outcome
        The last rounds, for files that do not have them.
    """

    def __init__(self, stamps: set[str] | None = None) -> None:
        self.stamps = stamps or set()
        self.records: deque[RoundRecord | Outcome] = deque()
        self._lines = 0

    def add(self, record: RoundRecord | Outcome) -> None:
        """One more round; the oldest ones go where there are too many."""
        records = self.records
        records.append(record)
        self._lines += len(record.clients)
        while (self._lines > UNSAVED_LINES and len(records) > 1) or len(records) > UNSAVED_ROUNDS:
            self._lines -= len(records.popleft().clients)


# --- written --------------------------------------------------------------------------------------------------------


def write_record(connection: sqlite3.Connection, record: RoundRecord | Outcome) -> None:
    """Add a round to the trail."""
    if isinstance(record, Outcome):
        record = RoundRecord.of(record)
    admitted = record.admitted.tolist()
    summary = (record.round, record.finished, record.rule, len(record.clients), sum(admitted))
    connection.execute("INSERT INTO rounds VALUES (?, ?, ?, ?, ?)", summary)
    # A reason may quote a file name that is no valid Unicode.
    reasons = (reason.encode("utf-8", "backslashreplace").decode() for reason in record.reasons)
    facts = _texts({name: column.tolist() for name, column in record.facts.items()})
    lines = zip(map(stored, record.clients), admitted, record.weights.tolist(), reasons, facts, strict=False)
    _insert(connection, ((record.round, *line) for line in lines))


def _insert(connection: sqlite3.Connection, lines: Iterator[Any]) -> None:
    connection.executemany("INSERT INTO trail VALUES (?, ?, ?, ?, ?, ?)", lines)


def _texts(columns: Mapping[str, Sequence[float | None]]) -> Iterator[str]:
    """A JSON object for each line of some columns of numbers; endless empty ones for no column."""
    if not columns:
        return repeat("{}")
    form = "{" + ",".join(f"{json.dumps(name)}:%s" for name in columns) + "}"
    words = ([repr(v) if v is not None and math.isfinite(v) else "null" for v in column] for column in columns.values())
    return map(form.__mod__, zip(*words, strict=True))


def take_over(table: Table) -> None:
    """Move the trail of version 1 to where it is now."""
    table.again()
    told = ((line[:5], {n: [v] for n, v in zip(FACTS, line[5:], strict=True)}) for line in table.rows(_LINES[1]))
    _insert(table.connection, ((*head, *_texts(facts)) for head, facts in told))
    table.connection.execute("DROP TABLE observations")


# --- read -----------------------------------------------------------------------------------------------------------


def history(path: AnyPath, client: Client | None = None, round: int | None = None) -> list[dict[str, Any]]:
    """What was observed and decided, client by client: why was lima's weight 0 in round 7?

    Parameters
    ----------
    path : path
    client : str or int, optional
        This client only; 1 and ``"1"`` are two clients.
    round : int, optional
        This round only.

    Returns
    -------
    list of dict
        round, client, admitted, weight (None if it was no number) and reason, and where the rule tells them accepted,
        rejected, observed and reputation; oldest round first.

    Raises
    ------
    FileNotFoundError, InvalidLedger, OSError
        As :func:`robustagg.load`.
    """
    # The key is (round, client): a client's lines are looked up round by round, not searched for among all.
    rounds = "SELECT round FROM rounds" if round is None else ":round"
    clients = "" if client is None else "AND client = :client"
    where = f" WHERE round IN ({rounds}) {clients} ORDER BY round, client"
    if round is not None and not -(2**63) <= round < 2**63:
        return []
    values = {"round": round, "client": None if client is None else stored(client)}
    with reading(path) as table:
        try:
            return [_line(row) for row in table.rows(_LINES[table.version] + where, values)]
        except (ValueError, TypeError, RecursionError) as fault:
            raise errors.damaged_ledger(path, fault) from fault


def _line(row: Sequence[Any]) -> dict[str, Any]:
    round, client, admitted, weight, reason = row[:5]
    facts = json.loads(row[5]) if len(row) == 6 else dict(zip(FACTS, row[5:], strict=True))
    plain = isinstance(facts, dict) and all(v is None or isinstance(v, (int, float, str)) for v in facts.values())
    number = weight is None or isinstance(weight, (int, float))
    if not (plain and number and isinstance(round, int) and admitted in (0, 1) and isinstance(reason, str)):
        raise errors.bad_trail(round)
    if not _RESERVED.isdisjoint(facts) or any(isinstance(facts.get(name), str) for name in FACTS):
        raise errors.bad_trail(round)
    head = {"round": round, "client": client_of(client), "admitted": bool(admitted)}
    return {**head, **facts, "weight": weight, "reason": reason}


def rounds(path: AnyPath) -> list[dict[str, Any]]:
    """The recorded rounds, oldest first: round, finished (UTC), rule, and numbers of clients and of admitted.

    Raises
    ------
    FileNotFoundError, InvalidLedger, OSError
        As :func:`robustagg.load`.
    """
    with reading(path) as table:
        found = [
            dict(zip(ROUND, row, strict=True))
            for row in table.rows(f"SELECT {', '.join(ROUND)} FROM rounds ORDER BY round")
        ]
    kinds = (int, str, str, int, int)
    if not all(isinstance(line[name], kind) for line in found for name, kind in zip(ROUND, kinds, strict=True)):
        raise errors.damaged_ledger(path, "a round that is none")
    return found
