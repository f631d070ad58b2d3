"""The ledger on disk: the memory of a rule, to continue from.

A save is one transaction: a process killed at any moment leaves the last complete round. Each save stamps the
file with a fresh random word, and the memory remembers the stamps that it read or wrote: a file with another
stamp has been written by someone else, and is not overwritten.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from robustagg import errors
from robustagg.ledger.database import AnyPath, initialise, is_blank, reading, transaction
from robustagg.ledger.memory import Ledger
from robustagg.ledger.trail import RoundRecord, write_record
from robustagg.protocol import Client

Stamps: TypeAlias = tuple[str | None, str]  # the one that a file had, and the one that it has now

_REMEMBER = """INSERT INTO clients VALUES (?, ?, ?, ?) ON CONFLICT (row)
    DO UPDATE SET last_round = excluded.last_round, memory = excluded.memory"""


def save(path: AnyPath, parameters: Mapping[str, Any], ledger: Ledger, record: RoundRecord | None) -> None:
    """Write what the memory has learnt since the file's last round, in one transaction.

    Parameters
    ----------
    path : path
        The ledger's file; created if nothing is there.
    parameters : mapping
        The rule's parameters, ready for JSON; `decay` and `window` are among them.
    ledger : Ledger
    record : RoundRecord or None
        The ledger's last round, for the audit trail; None if it is not known. When several rounds have passed
        since the last save, the memory is complete all the same, but the trail holds only the last of them.

    Raises
    ------
    InvalidLedger
        If the file is not a ledger, is damaged, of a newer version or written with other parameters, or has
        been written by someone else since `ledger` was loaded from it or saved to it; a ValueError.
    ValueError
        If a client id cannot be stored.
    OSError
        If the file cannot be written: no space, no permission, locked by another process for half a minute.

    Notes
    -----
    After an error, file and memory are as they were. Writes O(clients seen since), whatever the number known.
    """
    stamps = None if os.path.lexists(path) else _create(path, parameters, ledger, record)
    replaced, stamp = stamps or _update(path, parameters, ledger, record)
    ledger.stamps = ledger.stamps - {replaced} | {stamp}


def load(path: AnyPath) -> tuple[dict[str, Any], Ledger]:
    """The parameters that a ledger was written with, and its memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidLedger
        If it is not a ledger, is damaged or of a newer version; a ValueError.
    OSError
        If it cannot be read.
    """
    with reading(path) as connection:
        parameters = _parameters(connection, path)
        stamp, round = _state(connection, path)
        clients, packed = _memories(connection, path)
    try:
        ledger = Ledger(parameters["decay"], parameters["window"])
        ledger.unpack(round, clients, packed)
    except (KeyError, TypeError, ValueError) as fault:
        raise errors.damaged_ledger(path, fault) from fault
    ledger.stamps = {stamp}
    return parameters, ledger


def _create(path: AnyPath, parameters: Mapping[str, Any], ledger: Ledger, record: RoundRecord | None) -> Stamps | None:
    """Save to a new file, which appears whole or not at all; None if someone else's appeared first."""
    draft = f"{os.fspath(path)}.{secrets.token_hex(4)}.draft"
    try:
        stamps = _update(draft, parameters, ledger, record)
        os.link(draft, path)  # unlike a renaming, never replaces
    except FileExistsError:
        return None
    finally:
        for leftover in (draft, f"{draft}-journal"):
            Path(leftover).unlink(missing_ok=True)
    return stamps


def _update(path: AnyPath, parameters: Mapping[str, Any], ledger: Ledger, record: RoundRecord | None) -> Stamps:
    """Save to a file that may hold earlier rounds of this memory."""
    with transaction(path, "rwc", "PRAGMA synchronous = EXTRA", "BEGIN IMMEDIATE") as connection:
        replaced: str | None = None
        last: int | None = None
        if is_blank(connection, path):
            initialise(connection, parameters)
        else:
            _check_parameters(connection, path, parameters)
            replaced, last = _state(connection, path)
            if replaced not in ledger.stamps:
                raise errors.ledger_written_since(path, last, ledger.round)
            if last == ledger.round:
                return replaced, replaced
        stamp = secrets.token_hex(8)
        connection.execute("UPDATE state SET stamp = ?, round = ?", (stamp, ledger.round))
        _write_memory(connection, ledger, last)
        if record is not None:
            write_record(connection, record)
    return replaced, stamp


def _parameters(connection: sqlite3.Connection, path: AnyPath) -> dict[str, Any]:
    try:
        return {name: json.loads(value) for name, value in connection.execute("SELECT * FROM parameters")}
    except (TypeError, ValueError) as fault:
        raise errors.damaged_ledger(path, fault) from fault


def _check_parameters(connection: sqlite3.Connection, path: AnyPath, parameters: Mapping[str, Any]) -> None:
    theirs, ours = _parameters(connection, path), json.loads(json.dumps(dict(parameters)))
    names = sorted(theirs.keys() | ours.keys())
    pairs = [(name, theirs.get(name, "absent"), ours.get(name, "absent")) for name in names]
    if differences := [pair for pair in pairs if pair[1] != pair[2]]:
        raise errors.other_parameters(differences)


def _state(connection: sqlite3.Connection, path: AnyPath) -> tuple[str, int | None]:
    """The file's stamp, and its last round."""
    for stamp, round in connection.execute("SELECT stamp, round FROM state"):
        return stamp, round
    raise errors.damaged_ledger(path, "its state is missing")


def _memories(connection: sqlite3.Connection, path: AnyPath) -> tuple[list[Client], list[bytes]]:
    """Ids and packed memories in the order of their rows."""
    clients: list[Client] = []
    packed: list[bytes] = []
    for row, client, memory in connection.execute("SELECT row, client, memory FROM clients ORDER BY row"):
        if row != len(clients):
            raise errors.damaged_ledger(path, f"client {len(clients)} is missing")
        clients.append(client)
        packed.append(memory)
    return clients, packed


def _write_memory(connection: sqlite3.Connection, ledger: Ledger, since: int | None) -> None:
    rows, clients, last, packed = ledger.pack(since)
    try:
        connection.executemany(_REMEMBER, zip(rows, clients, last, packed, strict=True))
    except (OverflowError, UnicodeEncodeError) as fault:
        raise errors.unstorable_client(next(filter(_is_unstorable, clients))) from fault


def _is_unstorable(client: Client) -> bool:
    if isinstance(client, int):
        return not -(2**63) <= client < 2**63
    return any("\ud800" <= character <= "\udfff" for character in client)
