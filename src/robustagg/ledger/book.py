"""Any rule's memory on disk, to continue from.

A save is one transaction: a process killed at any moment leaves the last complete round. Each save stamps the
file with a fresh random word, and the memory remembers the stamps that it read or wrote: a file with another
stamp has been written by someone else, and is not overwritten.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.ledger import database
from robustagg.ledger.database import AnyPath, Table, client_of, stored
from robustagg.ledger.pieces import read_vectors, write_vectors
from robustagg.ledger.reputation import Ledger, checked_round
from robustagg.ledger.trail import Past, take_over, write_record
from robustagg.memory import states
from robustagg.memory.publish import Draft
from robustagg.memory.vectors import Vector
from robustagg.names import Client

REPUTATION = "Reputation"  # the rule of every file of version 1
LEDGER = "ledger"  # in a rule's own memory: how it remembers reputations

_REMEMBER = """INSERT INTO clients VALUES (?, ?, ?, ?) ON CONFLICT (row)
    DO UPDATE SET last_round = excluded.last_round, memory = excluded.memory"""


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


# --- saving ---------------------------------------------------------------------------------------------------------


@contextmanager
def saving(path: AnyPath, state: State, past: Past) -> Iterator[None]:
    """Save a rule's state: written before the block, in force after it; what fails in the block undoes it.

    Parameters
    ----------
    path : path
        The ledger's file; created if nothing is there.
    state : State
    past : Past
        The stamps it may continue, and the records for the trail: those of rounds that the file does not have.

    Raises
    ------
    InvalidLedger
        If the file is not a ledger, is damaged, of a newer version or written with other parameters, or has
        been written by someone else since the state was loaded from it or saved to it; a ValueError.
    OSError
        If the file cannot be written: no space, no permission, locked by another process for half a minute.

    Notes
    -----
    After an error, file and memory are as they were. Of reputations, O(clients seen since the last save) is written;
    vectors are written anew.
    """
    if not os.path.lexists(path):
        way = _created(path, state, past)
    elif _is_archive(path):
        way = _replaced(path, state, past)
    else:
        way = _updated(path, state, past)
    with way:
        yield


def _is_archive(path: AnyPath) -> bool:
    return os.path.isfile(path) and states.is_archive(path)


@contextmanager
def _created(path: AnyPath, state: State, past: Past) -> Iterator[None]:
    """A new file, which appears whole or not at all, and in nobody's place."""
    with _draft(path) as draft:
        stamp = _write_new(draft.path, state, past)
        yield
        past.stamps.add(stamp)
        try:
            draft.publish(replace=False)
            return
        except FileExistsError:
            past.stamps.discard(stamp)
    with _updated(path, state, past):  # says whose it is
        pass


@contextmanager
def _replaced(path: AnyPath, state: State, past: Past) -> Iterator[None]:
    """A file of version 0.1 gives way to one of today."""
    with _draft(path) as draft, _alone(path):
        replaced = archive_stamp(path)
        if replaced not in past.stamps:
            raise errors.ledger_written_since(path, None, state.round)
        stamp = _write_new(draft.path, state, past)
        yield
        if archive_stamp(path) != replaced:
            raise errors.ledger_written_since(path, None, state.round)
        past.stamps.add(stamp)
        draft.publish()
        past.stamps.discard(replaced)


@contextmanager
def _draft(path: AnyPath) -> Iterator[Draft]:
    """A draft beside the file; in words of ours where there cannot be one."""
    try:
        draft = Draft(path)
    except OSError as fault:
        raise errors.unusable_ledger(path, f"unable to open: {fault.strerror}") from fault
    with draft:
        yield draft


@contextmanager
def _alone(path: AnyPath) -> Iterator[None]:
    """Nobody else of us replaces the file meanwhile, where files can be locked."""
    with open(path, "rb") as file:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def archive_stamp(path: AnyPath) -> str:
    """What a file of version 0.1 has for a stamp."""
    found = os.stat(path)
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _write_new(path: Path, state: State, past: Past) -> str:
    with database.opened(path, "rwc") as connection, database.told(path):
        connection.execute("PRAGMA journal_mode = OFF")  # a draft that fails is thrown away
        connection.execute("BEGIN IMMEDIATE")
        database.initialise(connection)
        stamp = _write(connection, state, past, None)
        connection.execute("COMMIT")
    return stamp


@contextmanager
def _updated(path: AnyPath, state: State, past: Past) -> Iterator[None]:
    """The file, which may hold earlier rounds of this memory, and does after the block hold all of them."""
    database.check_file(path)
    before = _identity(path)
    with database.opened(path) as connection:
        with database.told(path):
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("BEGIN IMMEDIATE")
            table = database.checked(connection, path)
            replaced, last = ("", None) if table is None else _continued(table, state, past)
            if table is not None and last == state.round:
                stamp = replaced
            else:
                if table is None:
                    database.initialise(connection)
                elif table.version == 1:
                    _modernise(table)
                stamp = _write(connection, state, past, last)
        yield
        past.stamps.add(stamp)  # first: interrupted after the commit, the file is still ours
        try:
            with database.told(path):
                connection.execute("COMMIT")
        except (OSError, errors.InvalidLedger):
            past.stamps.difference_update({stamp} - {replaced})
            raise
    if _identity(path) != before:
        raise errors.ledger_written_since(path, None, state.round)
    past.stamps.difference_update({replaced} - {stamp})


def _identity(path: AnyPath) -> tuple[int, int] | None:
    """Which file has the name now."""
    with suppress(FileNotFoundError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _continued(table: Table, state: State, past: Past) -> tuple[str, int | None]:
    """The file's stamp and last round, once it is found to be an earlier state of this memory."""
    rule, theirs = _rule(table)[0], _parameters(table)
    if rule != state.rule:
        raise errors.other_rule(state.rule, rule)
    ours = json.loads(json.dumps(dict(state.parameters)))
    pairs = [(name, value, ours.get(name, "absent")) for name, value in sorted(theirs.items())]
    if differences := [pair for pair in pairs if pair[1] != pair[2]]:
        raise errors.other_parameters(differences)
    stamp, last = _stamp(table)
    if stamp not in past.stamps:
        raise errors.ledger_written_since(table.path, last, state.round)
    return stamp, last


def _modernise(table: Table) -> None:
    """Make a file of version 1 one of today."""
    for statement in database.NEW_TABLES:
        table.connection.execute(statement)
    take_over(table)
    table.connection.execute(f"PRAGMA user_version = {database.VERSION}")


def _write(connection: sqlite3.Connection, state: State, past: Past, last: int | None) -> str:
    """Everything of the state that the file, whose last round is given, does not have; its new stamp."""
    stamp = secrets.token_hex(8)
    connection.execute("DELETE FROM parameters")
    named = [(name, json.dumps(value)) for name, value in state.parameters.items()]
    connection.executemany("INSERT INTO parameters VALUES (?, ?)", named)
    connection.execute("DELETE FROM state")
    connection.execute("INSERT INTO state VALUES (?, ?)", (stamp, state.round))
    connection.execute("DELETE FROM rule")
    own, memory = dict(state.own), state.reputation
    if memory is not None:
        own[LEDGER] = {"decay": memory.decay, "window": memory.window, "newcomer": memory.newcomer}
        rows, clients, rounds, packed = memory.pack(last)
        connection.executemany(_REMEMBER, zip(rows, map(stored, clients), rounds, packed, strict=True))
    connection.execute("INSERT INTO rule VALUES (?, ?)", (state.rule, json.dumps(own)))
    write_vectors(connection, state.vectors)
    for record in past.records:
        if last is None or record.round > last:
            write_record(connection, record)
    return stamp


# --- loading --------------------------------------------------------------------------------------------------------


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
    if _is_archive(path):
        stamp = archive_stamp(path)
        own = states.read(path)
        return State(own.pop("rule"), own.pop("parameters"), own.pop("round"), own), Past({stamp})
    with database.reading(path) as table:
        try:
            rule, own = _rule(table)
            parameters = _parameters(table)
            stamp, round = _stamp(table)
            vectors = read_vectors(table) if table.version > 1 else {}
            state = State(rule, parameters, round, own, vectors)
            state.reputation = _reputation(table, state)
        except states.FAULTS as fault:
            raise _fault(path, fault) from fault
    return state, Past({stamp})


def _fault(path: AnyPath, fault: BaseException) -> BaseException:
    """InvalidLedger, whatever was found to be wrong; SQLite's own faults are told elsewhere."""
    return fault if isinstance(fault, errors.InvalidLedger) else errors.damaged_ledger(path, fault)


def summary(path: AnyPath) -> dict[str, Any]:
    """What a ledger is of: rule, parameters, last round, and how many clients it knows."""
    with database.reading(path) as table:
        count = "SELECT count(*) FROM (SELECT client FROM clients UNION SELECT DISTINCT client FROM "
        count += f"{'observations' if table.version == 1 else 'trail'})"
        try:
            ((clients,),) = table.rows(count)
            (_, round), (rule, own) = _stamp(table), _rule(table)
            told = {"rule": rule, "parameters": _parameters(table), "round": round, "clients": clients}
            return {**told, "policy": own.get("policy")}
        except states.FAULTS as fault:
            raise _fault(path, fault) from fault


def _rule(table: Table) -> tuple[str, dict[str, Any]]:
    """Label, and the kind's own memory."""
    if table.version == 1:
        return REPUTATION, {}
    for label, own in table.rows("SELECT label, own FROM rule"):
        known = json.loads(own)
        if isinstance(label, str) and isinstance(known, dict):
            return label, known
    raise errors.damaged_ledger(table.path, "it names no rule")


def _parameters(table: Table) -> dict[str, Any]:
    """The parameters, at least one: every rule has some."""
    try:
        found = {name: json.loads(value) for name, value in table.rows("SELECT name, value FROM parameters")}
    except states.FAULTS as fault:
        raise _fault(table.path, fault) from fault
    if not found:
        raise errors.damaged_ledger(table.path, "its parameters are missing")
    return found


def _stamp(table: Table) -> tuple[str, int | None]:
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
