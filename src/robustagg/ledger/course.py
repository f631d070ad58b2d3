"""How the clients fared over all rounds, in the few numbers that a picture needs, however many they are."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.ledger.database import AnyPath, Table, client_of, reading
from robustagg.memory.states import FAULTS
from robustagg.names import Client, Floats

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NAMED = 10  # clients, the last ones by their last value
CROWD = 200  # clients whose lines can be told apart


_OF_CLIENT = "round IN (SELECT round FROM rounds) AND client = ?"


@dataclass(frozen=True)
class Course:
    """A value of each client over the rounds."""

    measure: str
    """ "reputation", or "weight" where the rule keeps no reputation."""
    clients: int
    rounds: list[int]
    bands: Floats
    """(rounds, 7) the quantiles SHARES of the round's clients."""
    lines: dict[Client, list[tuple[int, float]]]
    """(round, value) of the clients with the least last values, worst first; of all, where there are at most CROWD."""


def course(path: AnyPath) -> Course:
    """Read a ledger's trail once, in the memory of one round and of the ids."""
    with reading(path) as table:
        try:
            return _course(table)
        except errors.InvalidLedger:
            raise
        except FAULTS as fault:
            raise errors.damaged_ledger(path, fault) from fault


def _course(table: Table) -> Course:
    rounds = [round for (round,) in table.rows("SELECT round FROM rounds ORDER BY round DESC")]
    measure = _measure(table)
    least: list[tuple[float, int, Any]] = []
    known: set[Any] = set()
    lines: dict[Any, list[tuple[int, float]]] = defaultdict(list)
    bands = np.full((len(rounds), len(SHARES)), np.nan)
    for k, round in enumerate(rounds):  # from the last one back: the first value met of a client is its last
        clients, values = _told(table, "client", "round = ?", round, measure)
        if clients:
            bands[k] = np.quantile(values, SHARES)
        new = np.flatnonzero(np.fromiter((client not in known for client in clients), np.bool_, len(clients)))
        first = new[np.argsort(values[new], kind="stable")[:CROWD]].tolist()
        least = sorted([*least, *((float(values[i]), len(known) + i, clients[i]) for i in first)])[:CROWD]
        known.update(clients)
        if len(known) <= CROWD:
            for client, value in zip(clients, values.tolist(), strict=True):
                lines[client].append((round, value))
    chosen = [client for _, _, client in least]
    if len(known) > CROWD:
        chosen = chosen[:NAMED]
        table.again()
        told = ((client, *_told(table, "round", _OF_CLIENT, client, measure)) for client in chosen)
        lines = defaultdict(list, {client: list(zip(at, v.tolist(), strict=True)) for client, at, v in told})
    drawn = {client_of(client): sorted(lines[client]) for client in chosen}
    return Course(measure, len(known), rounds[::-1], bands[::-1], drawn)


def _measure(table: Table) -> str:
    """Reputation where the last line has one."""
    if table.version == 1:
        return "reputation"
    for (facts,) in table.rows("SELECT facts FROM trail ORDER BY round DESC LIMIT 1"):
        return "reputation" if "reputation" in json.loads(facts) else "weight"
    return "weight"


def _told(table: Table, key: str, where: str, value: Any, measure: str) -> tuple[list[Any], Floats]:
    """A column, and the number beside it; lines without one are left out."""
    column = "reputation FROM observations" if table.version == 1 else f"{_HELD[measure]} FROM trail"
    rows = list(table.rows(f"SELECT {key}, {column} WHERE {where}", (value,)))
    numbers = np.fromiter((np.nan if number is None else number for _, number in rows), np.float64, len(rows))
    kept = np.isfinite(numbers)
    return [row[0] for row, whole in zip(rows, kept.tolist(), strict=True) if whole], numbers[kept]


# SQLite finds the number in our own text of facts faster than Python, and need not have been built with JSON for that.
_HELD = {
    "reputation": """CASE WHEN instr(facts, '"reputation":null') OR NOT instr(facts, '"reputation":') THEN NULL
        ELSE CAST(substr(facts, instr(facts, '"reputation":') + 13) AS REAL) END""",
    "weight": "weight",
}
