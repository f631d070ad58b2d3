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
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from robustagg import errors
from robustagg.ledger import database
from robustagg.ledger.database import AnyPath, Table, stored
from robustagg.ledger.pieces import PIECE, write_vectors
from robustagg.ledger.reading import LEDGER, State, archive_stamp, is_archive, parameters_of, rule_of, stamp_of
from robustagg.ledger.trail import Past, take_over, write_record
from robustagg.memory.publish import Draft

_REMEMBER = """INSERT INTO clients VALUES (?, ?, ?, ?) ON CONFLICT (row)
    DO UPDATE SET last_round = excluded.last_round, memory = excluded.memory"""


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
    elif is_archive(path):
        way = _replaced(path, state, past)
    else:
        way = _updated(path, state, past)
    with way:
        yield


@contextmanager
def _created(path: AnyPath, state: State, past: Past) -> Iterator[None]:
    """A new file, which appears whole or not at all, and in nobody's place."""
    with _draft(path) as draft:
        stamp = _write_new(draft, state, past)
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
        stamp = _write_new(draft, state, past)
        yield
        if archive_stamp(path) != replaced:
            raise errors.ledger_written_since(path, None, state.round)
        past.stamps.add(stamp)
        draft.publish()
        past.stamps.discard(replaced)


@contextmanager
def _draft(path: AnyPath) -> Iterator[Draft]:
    """A draft beside the file, in whose place it shall come; in words of ours where there cannot be one."""
    journal = f"{os.fspath(path)}-journal"
    if os.path.lexists(journal) and (not os.path.lexists(path) or is_archive(path)):
        raise errors.others_journal(path, journal)  # SQLite would undo the new file with it
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


def _write_new(draft: Draft, state: State, past: Past) -> str:
    with database.opened(draft.path, "rwc") as connection, database.told(draft.target):
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
    rule, theirs = rule_of(table)[0], parameters_of(table)
    if rule != state.rule:
        raise errors.other_rule(state.rule, rule)
    ours = json.loads(json.dumps(dict(state.parameters)))
    pairs = [(name, value, ours.get(name, "absent")) for name, value in sorted(theirs.items())]
    if differences := [pair for pair in pairs if pair[1] != pair[2]]:
        raise errors.other_parameters(differences)
    stamp, last = stamp_of(table)
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
    text = json.dumps(own)
    connection.executemany(
        "INSERT INTO rule VALUES (?, ?)", ((state.rule, text[k : k + PIECE]) for k in range(0, len(text), PIECE))
    )
    write_vectors(connection, state.vectors)
    for record in past.records:
        if last is None or record.round > last:
            write_record(connection, record)
    return stamp
