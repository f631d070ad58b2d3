"""The ledger's file: an SQLite database of our own format, transactions on it, and distrust of what is in it.

It keeps SQLite's rollback journal, not its write-ahead log: at rest a ledger is a single file. A file from a stranger
is read within memory and time that its size bounds, and only if its tables are exactly ours: no view, no trigger, no
expression of somebody else's is ever evaluated.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from robustagg import errors
from robustagg.names import Client

AnyPath: TypeAlias = "str | os.PathLike[str]"

APPLICATION_ID = 0x5261_4C67  # "RaLg"
VERSION = 2
BUSY_TIMEOUT = 30.0  # seconds to wait for another process's transaction
LONGEST = 2**25  # bytes of a value, or of a row
STEPS = 10_000  # of SQLite's machine, between two looks at how many there were

# `client` and `name` have no declared type: so SQLite keeps 1 and "1" apart.
_COMMON = (
    "CREATE TABLE parameters (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE state (stamp TEXT NOT NULL, round INTEGER)",
    """CREATE TABLE clients (
        row INTEGER PRIMARY KEY, client NOT NULL UNIQUE, last_round INTEGER NOT NULL, memory BLOB NOT NULL
    )""",
    """CREATE TABLE rounds (
        round INTEGER PRIMARY KEY, finished TEXT NOT NULL, rule TEXT NOT NULL, clients INTEGER NOT NULL,
        admitted INTEGER NOT NULL
    )""",
)
_OBSERVATIONS = """CREATE TABLE observations (
        round INTEGER NOT NULL, client NOT NULL, admitted INTEGER NOT NULL, accepted INTEGER NOT NULL,
        rejected INTEGER NOT NULL, observed REAL NOT NULL, reputation REAL NOT NULL, weight REAL NOT NULL,
        reason TEXT NOT NULL, PRIMARY KEY (round, client)
    ) WITHOUT ROWID"""
NEW_TABLES = (
    "CREATE TABLE rule (label TEXT NOT NULL, own TEXT NOT NULL)",
    """CREATE TABLE trail (
        round INTEGER NOT NULL, client NOT NULL, admitted INTEGER NOT NULL, weight REAL, reason TEXT NOT NULL,
        facts TEXT NOT NULL, PRIMARY KEY (round, client)
    ) WITHOUT ROWID""",
    """CREATE TABLE vectors (
        vector INTEGER PRIMARY KEY, name NOT NULL UNIQUE, dtype TEXT NOT NULL, size INTEGER NOT NULL
    )""",
    "CREATE TABLE pieces (piece INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)
SCHEMAS = {1: (*_COMMON, _OBSERVATIONS), 2: (*_COMMON, *NEW_TABLES)}
"""The tables of each version; version 1 held the reputation rule's memory only."""


class Table:
    """A connection whose rows are counted against the bytes of the file: what is read cannot be more than there is."""

    def __init__(self, connection: sqlite3.Connection, path: AnyPath, version: int) -> None:
        self.connection, self.path, self.version = connection, path, version
        self._left = _bytes_of(path)
        self._steps = 1000 + self._left // 500

    def rows(self, statement: str, values: Any = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query."""
        for row in self.connection.execute(statement, values):
            self._left -= 2
            for value in row:
                if value.__class__ is str or value.__class__ is bytes:
                    self._left -= len(value)
            if self._left < 0:
                raise errors.damaged_ledger(self.path, "it says more than its bytes can hold")
            yield row

    def require(self, count: int) -> None:
        """Raise unless so many more bytes can be there."""
        if count > self._left:
            raise errors.damaged_ledger(self.path, "it says more than its bytes can hold")

    def again(self) -> None:
        """Begin to count anew, for another pass over the file."""
        self._left = _bytes_of(self.path)

    def patience(self) -> int:
        """For SQLite's progress handler: not 0 once more was done than any sound file of the size asks for."""
        self._steps -= 1
        return self._steps < 0


@contextmanager
def told(path: AnyPath) -> Iterator[None]:
    """SQLite's faults in our words."""
    try:
        yield
    except sqlite3.ProgrammingError:  # tells of a bug, not of the file
        raise
    except sqlite3.OperationalError as fault:
        if str(fault).startswith(_READ_ONLY) and os.path.exists(f"{os.fspath(path)}-journal"):
            raise errors.cut_short(path) from fault
        if str(fault).startswith(_PASSING):
            raise errors.unusable_ledger(path, fault) from fault
        raise errors.damaged_ledger(path, fault) from fault
    except (sqlite3.Error, UnicodeDecodeError) as fault:
        raise errors.damaged_ledger(path, fault) from fault


_READ_ONLY = "attempt to write a readonly"
_PASSING = (
    *("database is locked", "database table is locked", "unable to open", "disk I/O error", "locking protocol"),
    *(_READ_ONLY, "database or disk is full", "access permission denied", "authorization denied"),
)
"""How SQLite's messages begin where the file is sound and cannot be used now."""


@contextmanager
def opened(path: AnyPath, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    """A connection without a transaction; closed, and what is not committed undone, at the end."""
    uri = f"{Path(path).absolute().as_uri()}?mode={mode}"
    with told(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    with closing(connection):
        category = getattr(sqlite3, "SQLITE_LIMIT_LENGTH", None)  # since Python 3.11
        if category is not None:
            connection.setlimit(category, LONGEST)  # type: ignore[attr-defined]
        with told(path):
            for name in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
                connection.execute(f"PRAGMA {name}")
        yield connection


@contextmanager
def reading(path: AnyPath) -> Iterator[Table]:
    """A consistent view of a ledger. Creates nothing.

    Not by SQLite's read-only mode, which stops at the journal that a killed writer has left: here the
    half-written round is undone first.
    """
    if not os.path.exists(path):
        raise errors.no_ledger(path)
    check_file(path)
    with opened(path) as connection, told(path):
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        table = checked(connection, path)
        if table is None:
            raise errors.not_a_ledger(path)
        connection.set_progress_handler(table.patience, STEPS)
        yield table


def check_file(path: AnyPath) -> None:
    """Raise for what is no file, or for one whose first page cannot be a ledger's: SQLite does not see it then."""
    if not os.path.exists(path):
        raise errors.unusable_ledger(path, "unable to open: nothing is there, or a link to nothing")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise errors.unusable_ledger(path, "unable to open: it is not a regular file")
    if os.path.exists(f"{os.fspath(path)}-journal"):
        return  # a writer was killed, and SQLite will first put back what was there
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head:
        return
    if len(head) < HEAD or not head.startswith(b"SQLite format 3\0"):
        raise errors.damaged_ledger(path, "it is no SQLite database")
    application, version, cells = head[68:72], head[60:64], head[103:105]
    if int.from_bytes(application, "big") != APPLICATION_ID and any(application + version + cells):
        raise errors.not_a_ledger(path)
    if head[100] != LEAF or head[56:60] not in (UTF_8, bytes(4)):
        raise errors.damaged_ledger(path, "its tables are not those of a ledger")


HEAD = 105  # bytes of a database's first page that are looked at
LEAF = 0x0D  # the kind of that page: our few tables need no second one to be listed on
UTF_8 = bytes([0, 0, 0, 1])


def checked(connection: sqlite3.Connection, path: AnyPath) -> Table | None:
    """The ledger, if it is one that we can read, in every table; None for a file that holds nothing at all."""
    application, version, pages, page_size, journal = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "page_count", "page_size", "journal_mode")
    )
    if application != APPLICATION_ID:
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application or version or objects:
            raise errors.not_a_ledger(path)
        return None
    if version not in SCHEMAS:
        raise errors.newer_ledger(path, version, VERSION)
    table = Table(connection, path, version)
    listed = list(table.rows("SELECT type, name, tbl_name, sql FROM sqlite_master"))
    tables = sorted(_one_line(sql) for kind, name, owner, sql in listed if kind == "table" and name == owner and sql)
    own = [row for row in listed if row[0] == "index" and row[3] is None]
    if len(tables) + len(own) < len(listed) or tables != sorted(map(_one_line, SCHEMAS[version])):
        raise errors.damaged_ledger(path, "its tables are not those of a ledger")
    if journal != "wal" and os.path.getsize(path) < pages * page_size:  # of a page cut short, SQLite reads zeros
        raise errors.damaged_ledger(path, f"it ends before its {pages} pages of {page_size} bytes")
    return table


def _one_line(sql: Any) -> str:
    return " ".join(str(sql).split())


def _bytes_of(path: AnyPath) -> int:
    """Bytes of a ledger, and of what another program has not yet put in its place."""
    log = f"{os.fspath(path)}-wal"
    return os.path.getsize(path) + (os.path.getsize(log) if os.path.exists(log) else 0)


def initialise(connection: sqlite3.Connection) -> None:
    """Make a blank file a ledger of no rounds."""
    for statement in SCHEMAS[VERSION]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


# --- ids ------------------------------------------------------------------------------------------------------------


def stored(client: Client) -> int | str | bytes:
    """An id as SQLite holds it: what is beyond 64 bits, or no valid Unicode, as bytes."""
    if isinstance(client, int):
        return client if -(2**63) <= client < 2**63 else b"i" + hex(client).encode()
    try:
        client.encode()
    except UnicodeEncodeError:
        return b"s" + client.encode("utf-8", "surrogatepass")
    return str.__str__(client)  # an Enum's str() is not what it holds


def client_of(value: Any) -> Client:
    """The id that was stored; ValueError if nothing stores this."""
    if isinstance(value, (int, str)):
        return value
    if not isinstance(value, bytes) or value[:1] not in (b"i", b"s"):
        raise errors.bad_client_id(value)
    client: Client = int(value[1:], 16) if value[:1] == b"i" else value[1:].decode("utf-8", "surrogatepass")
    if stored(client) != value:
        raise errors.bad_client_id(value)
    return client
