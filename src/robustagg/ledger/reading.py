"""Any rule's memory from disk: what a ledger holds, of whatever version it is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robustagg import errors
from robustagg.ledger import database
from robustagg.ledger.database import AnyPath, Table, client_of
from robustagg.ledger.pieces import read_vectors
from robustagg.ledger.reputation import Ledger, checked_round
from robustagg.ledger.trail import Past
from robustagg.memory import states
from robustagg.memory.vectors import Vector
from robustagg.names import Client

REPUTATION = "Reputation"  # the rule of every file of version 1
LEDGER = "ledger"  # in a rule's own memory: how it remembers reputations


@dataclass
class State:
    """What a file holds of a rule."""

    rule: str
    """Its label."""
    parameters: Mapping[str, Any]
    """Ready for JSON."""
    round: int | None
    own: dict[str, Any] = field(default_factory=dict)
    """What only this kind of rule remembers, small and ready for JSON."""
    vectors: Mapping[Client, Vector] = field(default_factory=dict)
    reputation: Ledger | None = None

    def whole(self) -> dict[str, Any]:
        """All of it but the parameters; of version 0.1, as it was."""
        vectors = {"vectors": self.vectors} if self.vectors else {}
        memory = {} if self.reputation is None else {LEDGER: self.reputation}
        return {"rule": self.rule, "round": self.round, **self.own, **vectors, **memory}


def load(path: AnyPath) -> tuple[State, Past]:
    """What a file holds of a rule, of whatever version it is.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidLedger
        If it is not a ledger, is damaged or of a newer version; a ValueError.
    OSError
        If it cannot be read.
    """
    if is_archive(path):
        stamp = archive_stamp(path)
        own = states.read(path)
        return State(own.pop("rule"), own.pop("parameters"), own.pop("round"), own), Past({stamp})
    with database.reading(path) as table:
        try:
            rule, own = rule_of(table)
            parameters = parameters_of(table)
            stamp, round = stamp_of(table)
            vectors = read_vectors(table) if table.version > 1 else {}
            state = State(rule, parameters, round, own, vectors)
            state.reputation = _reputation(table, state)
        except states.FAULTS as fault:
            raise _fault(path, fault) from fault
    return state, Past({stamp})


def begun(path: AnyPath) -> bool:
    """Whether there is something to continue: an empty file is none yet."""
    return os.path.exists(path) and (not os.path.isfile(path) or os.path.getsize(path) > 0)


def summary(path: AnyPath) -> dict[str, Any]:
    """What a ledger is of: rule, parameters, last round, and how many clients it knows."""
    with database.reading(path) as table:
        count = "SELECT count(*) FROM (SELECT client FROM clients UNION SELECT DISTINCT client FROM "
        count += f"{'observations' if table.version == 1 else 'trail'})"
        try:
            ((clients,),) = table.rows(count)
            (_, round), (rule, own) = stamp_of(table), rule_of(table)
            told = {"rule": rule, "parameters": parameters_of(table), "round": round, "clients": clients}
            return {**told, "policy": own.get("policy")}
        except states.FAULTS as fault:
            raise _fault(path, fault) from fault


def _fault(path: AnyPath, fault: BaseException) -> BaseException:
    """InvalidLedger, whatever was found to be wrong; SQLite's own faults are told elsewhere."""
    return fault if isinstance(fault, errors.InvalidLedger) else errors.damaged_ledger(path, fault)


def is_archive(path: AnyPath) -> bool:
    return os.path.isfile(path) and states.is_archive(path)


def archive_stamp(path: AnyPath) -> str:
    """What a file of version 0.1 has for a stamp."""
    found = os.stat(path)
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def rule_of(table: Table) -> tuple[str, dict[str, Any]]:
    """Label, and the kind's own memory."""
    if table.version == 1:
        return REPUTATION, {}
    rows = list(table.rows("SELECT label, own FROM rule ORDER BY rowid"))
    if rows and all(isinstance(text, str) for row in rows for text in row):
        known = json.loads("".join(own for _, own in rows))
        if isinstance(known, dict):
            return rows[0][0], known
    raise errors.damaged_ledger(table.path, "it names no rule")


def parameters_of(table: Table) -> dict[str, Any]:
    """The parameters, at least one: every rule has some."""
    try:
        found = {name: json.loads(value) for name, value in table.rows("SELECT name, value FROM parameters")}
    except states.FAULTS as fault:
        raise _fault(table.path, fault) from fault
    if not found:
        raise errors.damaged_ledger(table.path, "its parameters are missing")
    return found


def stamp_of(table: Table) -> tuple[str, int | None]:
    """The file's stamp, and its last round."""
    for stamp, round in table.rows("SELECT stamp, round FROM state"):
        if isinstance(stamp, str):
            return stamp, None if round is None else checked_round(round)
    raise errors.damaged_ledger(table.path, "its state is missing")


def _reputation(table: Table, state: State) -> Ledger | None:
    """The memory of reputations, where the rule has one, in the order of its rows."""
    meant = state.parameters if table.version == 1 else state.own.pop(LEDGER, None)
    if meant is None:
        return None
    clients: list[Client] = []
    packed: list[bytes] = []
    for row, client, memory in table.rows("SELECT row, client, memory FROM clients ORDER BY row"):
        if row != len(clients):
            raise errors.damaged_ledger(table.path, f"client {len(clients)} is missing")
        clients.append(client_of(client))
        packed.append(memory)
    memory = Ledger(meant["decay"], meant["window"], meant.get("newcomer"))
    memory.unpack(state.round, clients, packed)
    return memory
