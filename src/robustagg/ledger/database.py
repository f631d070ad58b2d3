"""The ledger's file: an SQLite database of our own format, and transactions on it.

It keeps SQLite's rollback journal, not its write-ahead log: at rest a ledger is a single file.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from robustagg import errors

AnyPath: TypeAlias = "str | os.PathLike[str]"

APPLICATION_ID = 0x5261_4C67  # "RaLg"
VERSION = 1
BUSY_TIMEOUT = 30.0  # seconds to wait for another process's transaction

# `client` has no declared type: so SQLite keeps 1 and "1" apart.
SCHEMA = (
    "CREATE TABLE parameters (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE state (stamp TEXT NOT NULL, round INTEGER)",
    """CREATE TABLE clients (
        row INTEGER PRIMARY KEY, client NOT NULL UNIQUE, last_round INTEGER NOT NULL, memory BLOB NOT NULL
    )""",
    """CREATE TABLE rounds (
        round INTEGER PRIMARY KEY, finished TEXT NOT NULL, rule TEXT NOT NULL, clients INTEGER NOT NULL,
        admitted INTEGER NOT NULL
    )""",
    """CREATE TABLE observations (
        round INTEGER NOT NULL, client NOT NULL, admitted INTEGER NOT NULL, accepted INTEGER NOT NULL,
        rejected INTEGER NOT NULL, observed REAL NOT NULL, reputation REAL NOT NULL, weight REAL NOT NULL,
        reason TEXT NOT NULL, PRIMARY KEY (round, client)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


@contextmanager
def transaction(path: AnyPath, mode: str, *statements: str) -> Iterator[sqlite3.Connection]:
    """A connection in the transaction that the last statement begins: committed at the end, or undone."""
    uri = f"{Path(path).absolute().as_uri()}?mode={mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
        with closing(connection):
            for statement in statements:
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as fault:
        raise errors.unusable_ledger(path, fault) from fault
    except sqlite3.ProgrammingError:  # tells of a bug, not of the file
        raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as fault:
        raise errors.damaged_ledger(path, fault) from fault


@contextmanager
def reading(path: AnyPath) -> Iterator[sqlite3.Connection]:
    """A consistent view of a ledger. Creates nothing.

    Not by SQLite's read-only mode, which stops at the journal that a killed writer has left: here the
    half-written round is undone first.
    """
    if not os.path.exists(path):
        raise errors.no_ledger(path)
    with transaction(path, "rw", "PRAGMA query_only = ON", "BEGIN") as connection:
        if is_blank(connection, path):
            raise errors.not_a_ledger(path)
        yield connection


def is_blank(connection: sqlite3.Connection, path: AnyPath) -> bool:
    """Whether the file holds nothing at all; an error if it holds anything but a ledger that we can read."""
    application, version, pages, page_size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "page_count", "page_size")
    )
    if application != APPLICATION_ID:
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application or version or objects:
            raise errors.not_a_ledger(path)
        return True
    if version > VERSION:
        raise errors.newer_ledger(path, version, VERSION)
    if os.path.getsize(path) < pages * page_size:  # of a last page cut short, SQLite reads the rest as zeros
        raise errors.damaged_ledger(path, f"it ends before its {pages} pages of {page_size} bytes")
    return False


def initialise(connection: sqlite3.Connection, parameters: Mapping[str, Any]) -> None:
    """Make a blank file a ledger of no rounds."""
    for statement in SCHEMA:
        connection.execute(statement)
    lines = [(name, json.dumps(value)) for name, value in parameters.items()]
    connection.executemany("INSERT INTO parameters VALUES (?, ?)", lines)
    connection.execute("INSERT INTO state VALUES ('', NULL)")
