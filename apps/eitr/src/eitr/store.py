"""The server's database: clients, models, rounds, updates. SQLite, one transaction per change."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

DATABASE = "server.sqlite"


class Refused(Exception):
    """A request that changes nothing: an HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class LiveRound:
    """The round that updates go to."""

    number: int
    state: str
    base: int
    deadline: float
    attempts: int


class Store:
    """The database of one server; a connection per call, so threads and processes may share the path."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / DATABASE
        with self.writing() as db:
            _migrate(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                "PRAGMA secure_delete = ON;"
            )
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; it has the write lock from its first line, so what it reads stays true until it ends."""
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    # --- clients ---

    def add_client(self, pseudonym: str, token_hash: bytes) -> None:
        with self.writing() as db:
            db.execute("INSERT INTO clients VALUES (NULL, ?, ?, ?)", (pseudonym, token_hash, now()))

    def client(self, token_hash: bytes) -> sqlite3.Row | None:
        with self.reading() as db:
            return db.execute("SELECT id, pseudonym FROM clients WHERE token_hash = ?", (token_hash,)).fetchone()

    def forget(self, client: int) -> None:
        with self.writing() as db:
            db.execute("DELETE FROM clients WHERE id = ?", (client,))
        with self.reading() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log would remember it

    def count_clients(self) -> int:
        with self.reading() as db:
            return int(db.execute("SELECT count(*) FROM clients").fetchone()[0])

    # --- models ---

    def model(self, version: int) -> sqlite3.Row | None:
        with self.reading() as db:
            return db.execute("SELECT * FROM models WHERE version = ?", (version,)).fetchone()

    def latest(self) -> int:
        with self.reading() as db:
            return int(db.execute("SELECT max(version) FROM models").fetchone()[0])

    def best(self) -> float | None:
        """The highest accuracy that a published model had on the held-out pages."""
        with self.reading() as db:
            found = db.execute("SELECT max(accuracy) FROM models").fetchone()[0]
            return None if found is None else float(found)

    def begin(self, tensors: bytes, accuracy: float | None, deadline: float) -> None:
        """The first model and the first round; nothing where there is one already."""
        with self.writing() as db:
            if db.execute("SELECT count(*) FROM models").fetchone()[0] == 0:
                add_model(db, 0, tensors, accuracy)
                db.execute("INSERT INTO rounds (number, state, base, deadline) VALUES (1, 'open', 0, ?)", (deadline,))

    # --- rounds ---

    def live(self) -> LiveRound | None:
        with self.reading() as db:
            return live(db)

    def rounds(self) -> list[dict[str, Any]]:
        query = """SELECT number, state, attempts, reason, deadline, accuracy, published,
                          (SELECT count(*) FROM updates WHERE round = number) AS updates
                   FROM rounds LEFT JOIN models ON version = number ORDER BY number"""
        with self.reading() as db:
            return [dict(row) for row in db.execute(query)]

    def add_update(self, number: int, client: int, tensors: bytes, digest: bytes) -> None:
        """Keep a client's update, or say why not; the answer is on disk when this returns."""
        with self.writing() as db:
            check_open(live(db), number)
            if db.execute("SELECT 1 FROM clients WHERE id = ?", (client,)).fetchone() is None:
                raise Refused(401, "this client has been forgotten")
            if db.execute("SELECT 1 FROM updates WHERE round = ? AND client = ?", (number, client)).fetchone():
                raise Refused(409, f"round {number} has your update already")
            if db.execute("SELECT 1 FROM digests WHERE digest = ?", (digest,)).fetchone():
                raise Refused(409, "this update was sent before")
            db.execute("INSERT INTO digests VALUES (?)", (digest,))
            db.execute("INSERT INTO updates VALUES (?, ?, ?)", (number, client, tensors))

    def updates(self, number: int) -> list[tuple[str, bytes]]:
        query = "SELECT pseudonym, tensors FROM updates JOIN clients ON client = id WHERE round = ? ORDER BY pseudonym"
        with self.reading() as db:
            return [(row["pseudonym"], row["tensors"]) for row in db.execute(query, (number,))]

    def count_updates(self, number: int) -> int:
        with self.reading() as db:
            return int(db.execute("SELECT count(*) FROM updates WHERE round = ?", (number,)).fetchone()[0])


def check_open(round: LiveRound | None, number: int) -> None:
    """Whether updates for round `number` are taken now."""
    if round is None or round.number != number:
        raise Refused(409, f"round {number} is not the live round")
    if round.state != "open":
        raise Refused(409, f"round {number} is closed")


def live(db: sqlite3.Connection) -> LiveRound | None:
    query = """SELECT number, state, base, deadline, attempts FROM rounds
               WHERE state IN ('open', 'aggregating')"""
    row = db.execute(query).fetchone()
    return None if row is None else LiveRound(**dict(row))


def add_model(db: sqlite3.Connection, version: int, tensors: bytes, accuracy: float | None) -> None:
    etag = hashlib.sha256(tensors).hexdigest()
    db.execute("INSERT INTO models VALUES (?, ?, ?, ?, ?)", (version, tensors, etag, accuracy, now()))


def now() -> str:
    return datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="seconds")


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the tables to the newest of the numbered scripts; all of them in the caller's transaction."""
    done = db.execute("PRAGMA user_version").fetchone()[0]
    scripts = sorted(files("eitr").joinpath("migrations").iterdir(), key=lambda script: script.name)
    for script in (s for s in scripts if s.name.endswith(".sql")):
        number = int(script.name.split(".")[0])
        if number > done:
            for statement in _statements(script.read_text()):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would commit before the first of them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
