"""The audit trail on disk: what was observed of each client in each round, and what was decided."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg.ledger.database import AnyPath, reading
from robustagg.protocol import Client, Floats

ROUND = ("round", "finished", "rule", "clients", "admitted")
OBSERVATION = ("round", "client", "admitted", "accepted", "rejected", "observed", "reputation", "weight", "reason")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RoundRecord:
    """A finished round as the audit trail keeps it, with all of its n clients, the excluded ones included."""

    round: int
    rule: str
    clients: Sequence[Client]
    admitted: NDArray[np.bool_]
    accepted: NDArray[np.int64]
    rejected: NDArray[np.int64]
    observed: Floats
    reputation: Floats
    weights: Floats
    reasons: Sequence[str]
    finished: str = field(default_factory=_now)
    """UTC, ISO 8601."""


def write_record(connection: sqlite3.Connection, record: RoundRecord) -> None:
    """Add a round to the trail."""
    admitted = record.admitted.tolist()
    summary = (record.round, record.finished, record.rule, len(record.clients), sum(admitted))
    connection.execute("INSERT INTO rounds VALUES (?, ?, ?, ?, ?)", summary)
    numbers = (record.accepted, record.rejected, record.observed, record.reputation, record.weights)
    columns = [record.clients, admitted, *(column.tolist() for column in numbers)]
    # A reason may quote a file name that is no valid Unicode.
    reasons = (reason.encode("utf-8", "backslashreplace").decode() for reason in record.reasons)
    lines = zip(repeat(record.round, len(admitted)), *columns, reasons, strict=True)
    connection.executemany("INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", lines)


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
        round, client, admitted, accepted, rejected, observed, reputation, weight, reason; oldest round first.

    Raises
    ------
    FileNotFoundError, InvalidLedger, OSError
        As :func:`robustagg.ledger.load`.
    """
    # The key is (round, client): a client's lines are looked up round by round, not searched for among all.
    rounds = "SELECT round FROM rounds" if round is None else ":round"
    clients = "" if client is None else "AND client = :client"
    where = f"WHERE round IN ({rounds}) {clients} ORDER BY round, client"
    try:
        lines = _select(path, "observations", OBSERVATION, where, {"round": round, "client": client})
    except (OverflowError, UnicodeEncodeError):  # no ledger can hold that client, or that round
        return []
    return [{**line, "admitted": bool(line["admitted"])} for line in lines]


def rounds(path: AnyPath) -> list[dict[str, Any]]:
    """The recorded rounds, oldest first: round, finished (UTC), rule, and numbers of clients and of admitted.

    Raises
    ------
    FileNotFoundError, InvalidLedger, OSError
        As :func:`robustagg.ledger.load`.
    """
    return _select(path, "rounds", ROUND, "ORDER BY round", {})


def _select(
    path: AnyPath, table: str, columns: Sequence[str], where: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    with reading(path) as connection:
        lines = connection.execute(f"SELECT {', '.join(columns)} FROM {table} {where}", values)
        return [dict(zip(columns, line, strict=True)) for line in lines]
