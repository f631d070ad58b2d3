"""Ledgers and states from strangers: InvalidLedger, soon, in little memory, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import earlier
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import robustagg as ra
from robustagg import ledger

DATA = Path(__file__).parents[1] / "data" / "0.1"
LOOKS = (ra.load, ledger.history, ledger.rounds, ledger.summary)


def book(path: Path, rounds: int = 2) -> Path:
    rule = ra.Reputation(window=3)
    for round in range(rounds):
        rule.aggregate({name: np.arange(4.0) + round for name in ("ada", "bob", 3)})
    rule.save(path)
    return path


def sql(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def told(look: Any, path: Path) -> str:
    """What InvalidLedger says; nothing where it is not raised."""
    try:
        look(path)
    except ra.InvalidLedger as fault:
        return str(fault)
    return ""


COUNT = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000)"
TRICKS = {
    "a view of endless rows": ["DROP TABLE rounds", f"CREATE VIEW rounds AS {COUNT} SELECT x, '', '', 1, 1 FROM c"],
    "a view of large values": [
        "DROP TABLE parameters",
        "CREATE VIEW parameters AS SELECT 'f' name, zeroblob(900000000) value",
    ],
    "a generated column": [
        "DROP TABLE state",
        "CREATE TABLE state (stamp TEXT NOT NULL, round INTEGER AS (length(zeroblob(900000000))))",
        "INSERT INTO state VALUES ('x')",
    ],
    "a trigger": ["CREATE TRIGGER t AFTER DELETE ON state BEGIN DELETE FROM clients; END"],
    "an index of an expression": ["CREATE INDEX i ON rounds (abs(round))"],
    "a table more": ["CREATE TABLE more (x)"],
    "a column more": ["ALTER TABLE trail ADD COLUMN more"],
    "large values": ["UPDATE parameters SET value = zeroblob(50000000)"],
    "a value of another type": ["UPDATE parameters SET value = 7"],
    "a text that is none": ["UPDATE state SET stamp = CAST(x'ff80' AS TEXT)"],
    "deep JSON": ["UPDATE parameters SET value = replace(hex(zeroblob(100000)), '00', '[')"],
    "deep facts": ["UPDATE trail SET facts = replace(hex(zeroblob(100000)), '00', '[')"],
    "facts that are none": ["UPDATE trail SET facts = '[1]'"],
    "facts in place of others": ["UPDATE trail SET facts = '{\"weight\": 1}'"],
    "a round beyond": ["UPDATE state SET round = 9223372036854775807"],
    "a huge window": ['UPDATE rule SET own = \'{"ledger": {"decay": 0.5, "window": 1000000000}}\''],
    "parameters of nothing": ["UPDATE parameters SET value = '\"x\"'"],
    "a number of 5000 digits": ["UPDATE parameters SET value = printf('%05000d', 1) || '1'"],
    "a rule that is none": ["UPDATE rule SET label = 'NNM'"],
    "a name too long": [f"UPDATE rule SET label = '{'x' * 100_000}'"],
    "an id too long": ["UPDATE clients SET client = CAST(x'69' || zeroblob(100000) AS BLOB) WHERE row = 1"],
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks(trick: str, tmp_path: Path) -> None:
    path = book(tmp_path / "ledger")
    sql(path, *TRICKS[trick])
    began, refused = time.perf_counter(), [told(look, path) for look in LOOKS]
    assert all(len(text) < 1000 for text in refused)
    assert any(refused)
    assert time.perf_counter() - began < 5


def test_a_tree_of_pages_that_are_all_the_same(tmp_path: Path) -> None:
    """Every page of pointers points at one page many times, level after level: a million rows in a few kilobytes."""
    path = book(tmp_path / "ledger", 1)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'rounds'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    leaf = content[(root - 1) * size : root * size]
    pages = len(content) // size
    levels = 5
    for level in range(levels):  # interior pages: the root, then new ones, each full of pointers to the next
        child = pages + level + 1
        cells = 300
        page = bytearray(size)
        page[0] = 5
        page[3:5] = cells.to_bytes(2, "big")
        page[8:12] = child.to_bytes(4, "big")
        at = size
        for k in range(cells):
            at -= 5
            page[at : at + 5] = child.to_bytes(4, "big") + bytes([k % 127 + 1])
            page[12 + 2 * k : 14 + 2 * k] = at.to_bytes(2, "big")
        page[5:7] = at.to_bytes(2, "big")
        if level == 0:
            content[(root - 1) * size : root * size] = page
        else:
            content += page
    content += leaf
    content[28:32] = (len(content) // size).to_bytes(4, "big")
    path.write_bytes(content)
    began = time.perf_counter()
    for look in (ledger.rounds, ledger.history):
        with pytest.raises(ra.InvalidLedger):
            look(path)
    assert time.perf_counter() - began < 5


def archive(path: Path, text: bytes, *members: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in zip(["state", *map(str, range(len(members)))], (text, *members), strict=True):
            array = io.BytesIO()
            np.save(array, np.frombuffer(data, np.uint8)) if name == "state" else array.write(data)
            file.writestr(f"{name}.npy", array.getvalue())
    return path


KRUM = {"rule": "Krum", "parameters": {"f": 1, "nonfinite": "reject"}, "round": 1}
ZEROS = (
    b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000,), }" + b" " * 40 + b"\n"
)
ARCHIVES: dict[str, Any] = {
    "a bomb": lambda p: archive(p, json.dumps(KRUM).encode(), bytes(10**8), method=zipfile.ZIP_DEFLATED),
    "a vector of another size": lambda p: archive(p, json.dumps({**KRUM, "x": {"#vector": "0"}}).encode(), ZEROS),
    "an array of another size": lambda p: archive(p, json.dumps({**KRUM, "x": {"#array": "0"}}).encode(), ZEROS),
    "an array of objects": lambda p: archive(
        p, json.dumps({**KRUM, "x": {"#array": "0"}}).encode(), ZEROS.replace(b"<f8", b"|O8")
    ),
    "an array that is not there": lambda p: archive(p, json.dumps({**KRUM, "x": {"#array": "7"}}).encode()),
    "a header of minus signs": lambda p: archive(
        p, json.dumps({**KRUM, "x": {"#array": "0"}}).encode(), b"\x93NUMPY\x01\x00\x10\x27" + b"-" * 10_000
    ),
    "deep JSON": lambda p: archive(p, b"[" * 10**6),
    "pairs of lists": lambda p: archive(p, json.dumps({**KRUM, "x": {"#pairs": [[[], 1]]}}).encode()),
    "no text": lambda p: archive(p, b"\xff\xfe"),
    "no JSON": lambda p: archive(p, b"{"),
    "no state": lambda p: archive(p, b"[]"),
    "a half": lambda p: p.write_bytes((DATA / "krum.npz").read_bytes()[:200]),
    "a beginning": lambda p: p.write_bytes(b"PK"),
    "parameters of another rule": lambda p: archive(p, json.dumps({**KRUM, "parameters": {"g": 1}}).encode()),
    "a huge parameter": lambda p: archive(p, json.dumps({**KRUM, "round": 2**200}).encode()),
}


@pytest.mark.parametrize("trick", ARCHIVES)
def test_archives(trick: str, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    ARCHIVES[trick](path)
    began = time.perf_counter()
    for kind in (ra.Rule, ra.Krum):
        with pytest.raises(ra.InvalidLedger):
            kind.load(path)
    assert time.perf_counter() - began < 5


@settings(deadline=None, max_examples=150)
@example(name="clipping", new=False, places=[(1.0, b"\x01\x00\x00")], cut=None)  # members before the file's begin
@given(
    name=st.sampled_from(sorted(earlier.RULES)),
    new=st.booleans(),
    places=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=5),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_anywhere(tmp_path_factory: Any, name: str, new: bool, places: Any, cut: float | None) -> None:
    suffix, make = earlier.RULES[name]
    path = tmp_path_factory.mktemp("hostile") / f"x.{suffix}"
    if new:
        rule = make()
        if not name.endswith("-files"):
            rule.aggregate(earlier.updates(name, 1))
        rule.save(path)
    else:
        shutil.copy(DATA / f"{name}.{suffix}", path)
    content = bytearray(path.read_bytes())
    for place, data in places:
        at = int(place * (len(content) - len(data)))
        content[at : at + len(data)] = data
    path.write_bytes(content if cut is None else content[: int(cut * len(content))])
    for look in LOOKS:
        with contextlib.suppress(ra.InvalidLedger):
            look(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are pipes with names on POSIX only")
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    rule = ra.Krum(f=1)
    for path in (tmp_path / "pipe", tmp_path, Path(os.devnull)):
        for look in (*LOOKS, rule.save):
            with pytest.raises(OSError, match="cannot be used now: unable to open: it is not a regular file"):
                look(path)


@pytest.mark.parametrize("committed", [True, False])
def test_a_ledger_in_anothers_hands_is_not_damaged(committed: bool, tmp_path: Path) -> None:
    """A tool that has switched it to a write-ahead log and holds it open."""
    path = book(tmp_path / "ledger")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as tool:
        tool.execute("PRAGMA journal_mode = WAL")
        tool.execute("BEGIN IMMEDIATE")
        tool.execute("UPDATE rounds SET finished = 'then' WHERE round = 2")
        if committed:
            tool.execute("COMMIT")
        rule = ra.load(path)
        assert [line["round"] for line in ledger.history(path, "ada")] == [1, 2]
        rule.aggregate({name: np.arange(4.0) for name in ("ada", "bob", 3)})
        if committed:
            rule.save(path)
            assert ra.load(path).last_round == 3
    assert ra.load(path).last_round == (3 if committed else 2)


SMALL = """
import resource, sys
import robustagg as ra
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    ra.load(sys.argv[1])
except ra.InvalidLedger as fault:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_many_clients_of_a_large_window_take_little_memory(tmp_path: Path) -> None:
    path = book(tmp_path / "ledger")
    entry = "x'0200000000000000000000000000E03F'"
    sql(
        path,
        'UPDATE rule SET own = \'{"ledger": {"decay": 0.5, "window": 10000}}\'',
        "UPDATE parameters SET value = '10000' WHERE name = 'window'",
        "WITH RECURSIVE c(x) AS (SELECT 3 UNION ALL SELECT x + 1 FROM c WHERE x < 30000) "
        f"INSERT INTO clients SELECT x, x + 9, 2, {entry} FROM c",
    )
    found = subprocess.run([sys.executable, "-c", SMALL, str(path)], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 200 * 2**10
