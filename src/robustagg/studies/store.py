"""The one file of a study's results: a row per cell, rule and seed, each written in a transaction of its own."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from robustagg import errors
from robustagg.config import __version__
from robustagg.simulation import Settings

FILE = "results.sqlite"
FORMAT = 1
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")
SCHEMA = """
CREATE TABLE IF NOT EXISTS study (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS results (
    cell TEXT, rule TEXT, seed INTEGER, clean TEXT, settings TEXT NOT NULL, result TEXT, error TEXT,
    seconds REAL NOT NULL, versions TEXT NOT NULL, finished TEXT NOT NULL, PRIMARY KEY (cell, rule, seed)
);
"""

Place: TypeAlias = tuple[str, str, int]
"""Cell, rule and seed."""


@dataclass(frozen=True)
class Row:
    """What came of one training."""

    cell: str
    rule: str
    seed: int
    clean: str | None
    """The cell in which the same error is counted with nobody attacking; None without a target."""
    settings: dict[str, Any]
    result: dict[str, Any] | None
    """As :meth:`robustagg.simulation.RuleRun.to_dict` tells it; None where it failed."""
    error: str | None
    seconds: float
    versions: dict[str, str]
    data: str = ""
    """A digest of the files that it learnt; empty for a task without files."""


class Store:
    """Results on disk. After a kill, what was complete is there, and nothing else.

    Parameters
    ----------
    folder : str or Path
        Of the study; made where it is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE

    def create(self, title: str, text: str) -> None:
        """Make the file where there is none, and note the study."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._open("rwc") as connection:
            connection.executescript(SCHEMA)
            noted = {"format": str(FORMAT), "title": title, "text": text}
            connection.executemany("INSERT OR REPLACE INTO study VALUES (?, ?)", noted.items())

    def add(
        self,
        place: Place,
        clean: str | None,
        settings: Settings,
        outcome: dict[str, Any] | str,
        seconds: float,
        data: str,
    ) -> None:
        """Note a training's result, or the error in which it ended, in place of an earlier one."""
        failed = isinstance(outcome, str)
        values = (
            *place,
            clean,
            json.dumps(asdict(settings)),
            None if failed else json.dumps(outcome),
            outcome if failed else None,
            seconds,
            json.dumps(versions() | {"data": data}),
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def done(self) -> set[Place]:
        """What need not be run again: an error is tried again."""
        if not self.path.exists():
            return set()
        with self._open() as connection:
            return set(connection.execute("SELECT cell, rule, seed FROM results WHERE error IS NULL"))

    def rows(self) -> list[Row]:
        """All results, in the order of cell, rule and seed."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT cell, rule, seed, clean, settings, result, error, seconds, versions FROM results"
                " ORDER BY cell, rule, seed"
            ).fetchall()
        return [_row(*values) for values in found]

    def noted(self) -> dict[str, str]:
        """The study's title and text."""
        with self._open() as connection:
            return dict(connection.execute("SELECT name, value FROM study"))

    @contextmanager
    def _open(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """A connection, closed after its one transaction; "rw" makes no file, and takes back what a kill has left."""
        if mode == "rw" and not self.path.exists():
            raise errors.no_study(self.folder)
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        try:
            with closing(sqlite3.connect(address, timeout=60, uri=True)) as connection, connection:
                yield connection
        except sqlite3.DatabaseError as fault:
            raise errors.bad_results(self.path, fault) from fault


def _row(
    cell: str,
    rule: str,
    seed: int,
    clean: str | None,
    settings: str,
    result: str | None,
    error: str | None,
    seconds: float,
    made: str,
) -> Row:
    """A row as it stands in the file."""
    by = json.loads(made)
    data = by.pop("data", "")
    told = None if result is None else json.loads(result)
    return Row(cell, rule, seed, clean, json.loads(settings), told, error, seconds, by, data)


def versions() -> dict[str, str]:
    """What computed a result."""
    return {"robustagg": __version__, "python": platform.python_version(), **dict(_installed())}


def _installed() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
