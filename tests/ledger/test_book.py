"""The ledger on disk: the same bits as in memory, whole after every crash, and never overwritten by a stranger."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import books
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import robustagg as ra
from robustagg import ledger
from robustagg.errors import InvalidLedger
from robustagg.ledger import Ledger, RoundRecord, database
from robustagg.ledger.pieces import PIECE

PARAMETERS = {"decay": 0.5, "window": 3, "intercept": "separate", "value_range": None}


observations = st.dictionaries(st.sampled_from([0, "0", 1, "lima", -7]), st.floats(0, 1), min_size=1)
histories = st.lists(st.tuples(st.integers(1, 4), observations), min_size=1, max_size=15)
indices = st.sets(st.integers(0, 15))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two states agree in every bit."""
    return one.keys() == other.keys() and all(
        a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b
        for a, b in zip(one.values(), other.values(), strict=True)
    )


def record(round: int, clients: Any, observed: Any, rule: str = "Reputation") -> RoundRecord:
    """A round in which the last client was not admitted."""
    n, values = len(clients), np.asarray(observed, np.float64)
    admitted = np.arange(n) < n - 1
    reasons = ["weight for reputation"] * (n - 1) + ["not admitted"]
    counts = np.arange(n)
    facts = {"accepted": counts, "rejected": n - counts, "observed": values, "reputation": values / 2}
    return RoundRecord(round, rule, clients, admitted, values / n, reasons, facts)


def play(memory: Ledger, round: int, observed: dict[Any, float], rule: str = "Reputation") -> RoundRecord:
    """One round, in memory."""
    memory.commit(list(observed), list(observed.values()), round)
    return record(round, list(observed), list(observed.values()), rule)


def write(path: Path, rounds: int = 2) -> Ledger:
    """A ledger of some rounds of a few clients, on disk and in memory."""
    memory = Ledger(0.5, 3)
    for round in range(1, rounds + 1):
        books.save(path, PARAMETERS, memory, play(memory, round, {"lima": 0.1 * round, 7: 0.5, "7": 0.75}))
    return memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rep #1?.sqlite"  # characters with a meaning in an URI


@contextlib.contextmanager
def unchanged(path: Path, memory: Ledger | None = None) -> Iterator[None]:
    """Checks that neither the folder of the file, nor the file, nor the memory changes."""
    names, content = sorted(path.parent.iterdir()), path.read_bytes() if path.is_file() else None
    state, stamps = (memory.state_dict(), set(books.past(memory).stamps)) if memory else ({}, set())
    yield
    assert sorted(path.parent.iterdir()) == names
    assert (path.read_bytes() if path.is_file() else None) == content
    if memory:
        assert same(memory.state_dict(), state)
        assert books.past(memory).stamps == stamps


def sql(path: Path, *statements: str) -> list[Any]:
    """Rows of the last statement."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


# --- what is kept ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(histories, st.sampled_from([0.0, 0.5, 4.0]), st.sampled_from([None, 1, 3]), indices, indices)
def test_saved_and_loaded_has_the_same_bits(
    history: Any, decay: float, window: int | None, saves: set[int], loads: set[int]
) -> None:
    parameters = {"decay": decay, "window": window}
    memory, kept, now = Ledger(decay, window), Ledger(decay, window), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        for index, (gap, observed) in enumerate(history):
            now += gap
            play(memory, now, observed)
            written = play(kept, now, observed)
            if index in saves | loads:
                books.save(path, parameters, kept, written)
            if index in loads:
                loaded_parameters, kept = books.load(path)
                assert loaded_parameters == parameters
            assert same(kept.state_dict(), memory.state_dict())


def test_an_empty_ledger_can_be_kept(path: Path) -> None:
    memory = Ledger(0.5, None)
    books.save(path, {"decay": 0.5, "window": None}, memory, None)
    parameters, loaded = books.load(path)
    assert parameters == {"decay": 0.5, "window": None}
    assert (len(loaded), loaded.round, ledger.rounds(path), ledger.history(path)) == (0, None, [], [])
    books.save(path, parameters, loaded, play(loaded, 4, {"lima": 0.5}))
    assert books.load(path)[1].round == 4


@pytest.mark.parametrize(
    "client",
    [
        "",
        " ",
        "ключ ☃",
        "a\0b",
        "'; DROP TABLE clients; --",
        0,
        -(2**63),
        2**63 - 1,
        2**63,
        2**64 - 1,
        -(2**70),
        "\ud800",
        "é\udfff",
    ],
)
def test_any_id_is_kept(path: Path, client: int | str) -> None:
    memory = Ledger(0.5, 3)
    books.save(path, PARAMETERS, memory, play(memory, 1, {client: 0.25, "other": 0.5}))
    assert books.load(path)[1].reputation(client) == 0.25
    assert [line["client"] for line in ledger.history(path, client)] == [client]


def test_why_was_the_weight_of_lima_zero_in_round_two(path: Path) -> None:
    write(path, rounds=3)
    (line,) = ledger.history(path, "lima", 2)
    assert line == {
        "round": 2,
        "client": "lima",
        "admitted": True,
        "accepted": 0,
        "rejected": 3,
        "observed": 0.2,
        "reputation": 0.1,
        "weight": 0.2 / 3,
        "reason": "weight for reputation",
    }
    assert [(line["round"], line["client"]) for line in ledger.history(path, round=3)] == [
        (3, 7),
        (3, "7"),
        (3, "lima"),
    ]
    assert [line["round"] for line in ledger.history(path, "lima")] == [1, 2, 3]
    assert [line["admitted"] for line in ledger.history(path, "7")] == [False] * 3
    assert [line["admitted"] for line in ledger.history(path, 7)] == [True] * 3
    assert len(ledger.history(path)) == 9
    for nothing in [{"client": "nobody"}, {"round": 4}, {"client": 2**70}, {"client": "\ud800"}, {"round": 2**70}]:
        assert ledger.history(path, **nothing) == []


def test_the_rounds(path: Path) -> None:
    write(path)
    first, second = ledger.rounds(path)
    assert first["finished"].endswith("+00:00")
    assert {**second, "finished": None} == {
        "round": 2,
        "finished": None,
        "rule": "Reputation",
        "clients": 3,
        "admitted": 2,
    }


def test_saving_late_keeps_the_memory_whole_and_the_last_record(path: Path) -> None:
    memory = write(path)
    play(memory, 3, {"osaka": 0.5})
    books.save(path, PARAMETERS, memory, play(memory, 9, {"lima": 0.5}))
    assert same(books.load(path)[1].state_dict(), memory.state_dict())
    assert [line["round"] for line in ledger.rounds(path)] == [1, 2, 9]


def test_a_reason_may_quote_any_file_name(path: Path) -> None:
    memory = Ledger(0.5, 3)
    written = play(memory, 1, {"lima": 0.5})
    reason = "cannot read " + os.fsdecode(b"\xff.npy")
    books.save(path, PARAMETERS, memory, RoundRecord(**{**vars(written), "reasons": [reason]}))
    assert ledger.history(path)[0]["reason"] == r"cannot read \udcff.npy"


def test_ledger_files_are_databases_that_any_tool_can_read(path: Path) -> None:
    write(path)
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]
    assert sql(path, "SELECT client, last_round FROM clients ORDER BY row") == [("lima", 2), (7, 2), ("7", 2)]
    assert dict(sql(path, "SELECT * FROM parameters")) == {name: json.dumps(v) for name, v in PARAMETERS.items()}


# --- looking changes nothing ----------------------------------------------------------------------------------------


def test_reading_creates_and_changes_nothing(path: Path) -> None:
    write(path)
    with unchanged(path):
        books.load(path)
        ledger.history(path)
        ledger.rounds(path)


def test_a_save_without_a_new_round_writes_nothing(path: Path) -> None:
    memory = write(path)
    with unchanged(path, memory):
        books.save(path, PARAMETERS, memory, record(2, ["lima"], [0.5]))


# --- what is refused ------------------------------------------------------------------------------------------------


def test_other_parameters_are_refused_by_name(path: Path) -> None:
    memory = write(path)
    other = {"decay": 0.25, "window": 3, "value_range": None, "new": 1}  # a new version may have new ones
    told = r"decay = 0.5 \(here 0.25\), intercept = 'separate' \(here 'absent'\)"
    written = play(memory, 3, {"lima": 0.5})
    with unchanged(path, memory), pytest.raises(InvalidLedger, match=told):
        books.save(path, other, memory, written)


def test_there_is_no_ledger(path: Path) -> None:
    with unchanged(path):
        for look in (books.load, ledger.history, ledger.rounds):
            with pytest.raises(FileNotFoundError, match="there is no ledger at"):
                look(path)


def no_ledger(path: Path) -> None:
    path.write_bytes(b"client,weight\nlima,0\n" * 1000)


def no_text(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def other_database(path: Path) -> None:
    sql(path, "CREATE TABLE clients (row, client, last_round, memory)")


def database_of_another_application(path: Path) -> None:
    sql(path, "PRAGMA application_id = 77", "VACUUM")


def newer_version(path: Path) -> None:
    write(path)
    sql(path, "PRAGMA user_version = 3")


def no_state(path: Path) -> None:
    write(path)
    sql(path, "DELETE FROM state")


def no_parameters(path: Path) -> None:
    write(path)
    sql(path, "DELETE FROM parameters")


def parameters_that_are_no_json(path: Path) -> None:
    write(path)
    sql(path, "UPDATE parameters SET value = '{'")


def half_of_it(path: Path) -> None:
    write(path)
    os.truncate(path, path.stat().st_size // 2)


def a_page_less(path: Path) -> None:
    write(path)
    os.truncate(path, path.stat().st_size - 1)


def no_tables(path: Path) -> None:
    sql(
        path,
        f"PRAGMA application_id = {database.APPLICATION_ID}",
        f"PRAGMA user_version = {database.VERSION}",
        "VACUUM",
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (no_ledger, "not a ledger, or a damaged one"),
        (no_text, "not a ledger, or a damaged one"),
        (half_of_it, "not a ledger, or a damaged one"),
        (a_page_less, "not a ledger, or a damaged one"),
        (no_state, "damaged"),
        (no_parameters, "damaged|other parameters"),
        (parameters_that_are_no_json, "damaged"),
        (other_database, "not a ledger$"),
        (database_of_another_application, "not a ledger$"),
        (newer_version, r"newer robustagg \(format 3; this one reads up to 2\)"),
    ],
)
def test_files_that_are_no_ledger_are_refused(path: Path, make: Any, told: str) -> None:
    make(path)
    memory = Ledger(0.5, 3)
    written = play(memory, 1, {"lima": 0.5})
    with unchanged(path, memory):
        with pytest.raises(InvalidLedger, match=told):
            books.load(path)
        with pytest.raises(InvalidLedger, match=told):
            books.save(path, PARAMETERS, memory, written)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM clients WHERE row = 1",
        "DELETE FROM rule",
        "UPDATE rule SET own = '[]'",
        "UPDATE rule SET own = '{\"ledger\": 1}'",
        "UPDATE clients SET client = x'69' WHERE row = 1",
        "UPDATE clients SET client = x'693078' WHERE row = 1",
        "UPDATE state SET stamp = x'00'",
        "INSERT INTO vectors VALUES (0, 'v', '|O', 1)",
        "INSERT INTO vectors VALUES (0, 'v', '<f4', 1)",
        "INSERT INTO vectors VALUES (0, 'v', '<f4', 99999999)",
        "INSERT INTO pieces VALUES (0, x'00')",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON trail (weight)",
        "ALTER TABLE clients ADD COLUMN more",
        "DELETE FROM clients",
        "UPDATE clients SET memory = x'00' WHERE row = 1",
        "UPDATE clients SET memory = x'' WHERE row = 1",
        "UPDATE clients SET memory = zeroblob(32) WHERE row = 1",
        "UPDATE clients SET memory = 'text' WHERE row = 1",
        "UPDATE clients SET client = 1.5 WHERE row = 1",
        "UPDATE state SET round = 1",
        "UPDATE state SET round = 'x'",
        "UPDATE state SET round = NULL",
        'UPDATE rule SET own = \'{"ledger": {"decay": 0.5, "window": 0}}\'',
    ],
)
def test_a_memory_that_cannot_be_is_refused(path: Path, damage: str) -> None:
    write(path)
    sql(path, damage)
    with (
        unchanged(path),
        pytest.raises(InvalidLedger, match=r"not a ledger, or a damaged one: |not the state of a ledger"),
    ):
        books.load(path)


def test_a_damaged_byte_is_no_crash(path: Path) -> None:
    write(path)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 300).tolist() + list(range(100)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        for look in (books.load, ledger.history, ledger.rounds):
            with contextlib.suppress(InvalidLedger, OSError):
                look(path)


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be used now: unable to open"):
        books.load(tmp_path)
    with pytest.raises(OSError, match="cannot be used now: unable to open"):
        books.save(tmp_path / "missing" / "ledger", PARAMETERS, Ledger(0.5, 3), None)


def test_a_link_to_nothing_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.symlink_to(tmp_path / "missing" / "ledger")
    with pytest.raises(OSError, match=r"the ledger .* cannot be used now: .* a link to nothing"):
        books.save(path, PARAMETERS, Ledger(0.5, 3), None)
    assert path.is_symlink()


def test_a_full_disk_at_the_first_save_is_told_of_the_ledger(path: Path) -> None:
    memory = Ledger(0.5, 3)
    written = play(memory, 1, dict.fromkeys(range(10_000), 0.5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with unchanged(path, memory):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(OSError, match=re.escape(f"the ledger {path} cannot be used now")):
                books.save(path, PARAMETERS, memory, written)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_first_save_leaves_no_file(path: Path) -> None:
    with unchanged(path), pytest.raises(TypeError):
        books.save(path, {"decay": object()}, Ledger(0.5, 3), None)


def test_a_full_disk_leaves_the_last_round(path: Path) -> None:
    memory = write(path)
    written = play(memory, 3, dict.fromkeys(range(10_000), 0.5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with unchanged(path, memory):
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50_000, hard))
        try:
            with pytest.raises(OSError, match="cannot be used now"):
                books.save(path, PARAMETERS, memory, written)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    books.save(path, PARAMETERS, memory, written)
    assert same(books.load(path)[1].state_dict(), memory.state_dict())


# --- someone else's rounds ------------------------------------------------------------------------------------------


def refuse(path: Path, memory: Ledger) -> None:
    written = play(memory, (memory.round or 0) + 1, {"lima": 0.5})
    with unchanged(path, memory), pytest.raises(InvalidLedger, match=r"written by someone else since .* load it again"):
        books.save(path, PARAMETERS, memory, written)


def test_rounds_that_someone_else_has_written_since_are_not_lost(path: Path) -> None:
    write(path)
    one, other = books.load(path)[1], books.load(path)[1]
    books.save(path, PARAMETERS, one, play(one, 3, {"lima": 0.5}))
    refuse(path, other)
    play(other, 8, {"lima": 0.5})
    refuse(path, other)
    again = books.load(path)[1]
    books.save(path, PARAMETERS, again, play(again, 4, {"lima": 0.5}))
    refuse(path, one)


def test_a_ledger_that_appears_meanwhile_is_not_replaced(path: Path) -> None:
    memory = Ledger(0.5, 3)
    play(memory, 1, {"lima": 0.5})
    write(path)
    refuse(path, memory)


@pytest.mark.parametrize("fault", [None, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV])
def test_a_ledger_that_appears_while_one_is_created_is_not_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch, fault: int | None
) -> None:
    def no_links(source: Any, target: Any) -> None:
        raise OSError(fault, os.strerror(fault or 0), source, None, target)

    if fault is not None:
        monkeypatch.setattr(os, "link", no_links)
    memory = Ledger(0.5, 3)
    play(memory, 1, {"lima": 0.5})
    state = ledger.State("Reputation", PARAMETERS, memory.round, reputation=memory)
    with pytest.raises(InvalidLedger, match="written by someone else"), ledger.saving(path, state, books.past(memory)):
        write(path)
    assert books.load(path)[1].round == 2
    assert list(path.parent.iterdir()) == [path]
    path.unlink()
    books.save(path, PARAMETERS, memory)
    assert same(books.load(path)[1].state_dict(), memory.state_dict())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("rounds", [0, 2])
def test_what_fails_in_the_block_undoes_the_save(path: Path, rounds: int) -> None:
    memory = write(path, rounds)
    play(memory, 3, {"lima": 0.5})
    state = ledger.State("Reputation", PARAMETERS, memory.round, reputation=memory)
    for fault in (ZeroDivisionError, sqlite3.OperationalError, KeyboardInterrupt):
        with unchanged(path, memory), pytest.raises(fault), ledger.saving(path, state, books.past(memory)):
            raise fault
    books.save(path, PARAMETERS, memory)
    assert books.load(path)[1].round == 3


def test_one_memory_can_be_kept_in_two_files(path: Path, tmp_path: Path) -> None:
    memory, second = write(path), tmp_path / "second"
    books.save(second, PARAMETERS, memory, None)
    for round in (3, 4):
        written = play(memory, round, {"lima": 0.5})
        books.save(path, PARAMETERS, memory, written)
        books.save(second, PARAMETERS, memory, written)
    for copy in (path, second):
        assert same(books.load(copy)[1].state_dict(), memory.state_dict())


def test_an_older_copy_put_in_place_is_not_continued(path: Path, tmp_path: Path) -> None:
    memory = write(path)
    shutil.copy(path, tmp_path / "backup")
    books.save(path, PARAMETERS, memory, play(memory, 3, {"lima": 0.5}))
    shutil.copy(tmp_path / "backup", path)
    refuse(path, memory)


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()
    with pytest.raises(InvalidLedger, match=r"not a ledger$"):
        books.load(path)
    memory = write(path)
    assert same(books.load(path)[1].state_dict(), memory.state_dict())


def test_a_busy_ledger_is_an_error_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = write(path)
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    written = play(memory, 3, {"lima": 0.5})
    with database.opened(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert books.load(path)[1].round == 2  # readers see the last complete round
        with pytest.raises(OSError, match="cannot be used now: database is locked"):
            books.save(path, PARAMETERS, memory, written)
    books.save(path, PARAMETERS, memory, written)


WRITER = """
import sys
import numpy as np
import books
from robustagg import ledger
from robustagg.errors import InvalidLedger

path, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
while rounds:
    try:
        memory = books.load(path)[1]
    except FileNotFoundError:
        memory = ledger.Ledger(0.5, 3)
    round, one = (memory.round or 0) + 1, np.ones(1)
    observed = round / 100 * one
    record = ledger.RoundRecord(round, name, [name], one > 0, one, ["alone"], {"observed": observed})
    memory.commit([name], observed, round)
    try:
        books.save(path, {"decay": 0.5, "window": 3}, memory, record)
    except InvalidLedger as refused:
        assert "written by someone else" in str(refused), refused
    else:
        rounds -= 1
        print(round, flush=True)
"""


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(books.__file__).parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def test_two_processes_that_write_at_once_lose_no_round(path: Path) -> None:
    writers = {name: python(WRITER, path, name, 15) for name in ("one", "other")}
    written = {int(round): name for name, writer in writers.items() for round in writer.communicate()[0].split()}
    assert [writer.returncode for writer in writers.values()] == [0, 0]
    assert sorted(written) == list(range(1, 31))
    assert {line["round"]: line["rule"] for line in ledger.rounds(path)} == written
    assert {line["round"]: line["client"] for line in ledger.history(path)} == written
    replayed = Ledger(0.5, 3)
    for round in range(1, 31):
        replayed.commit([written[round]], [round / 100], round)
    assert same(books.load(path)[1].state_dict(), replayed.state_dict())
    assert list(path.parent.iterdir()) == [path]


# --- kill -9 --------------------------------------------------------------------------------------------------------

CROWD = 10_000  # with long reasons, more than SQLite's cache holds: the file is written before the transaction ends

MORTAL = """
import os, signal, sqlite3, sys
import numpy as np
import books
from robustagg import ledger

path, rounds, moment = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ticks = 0

def tick():
    global ticks
    ticks += 1
    if ticks == moment:
        os.kill(os.getpid(), signal.SIGKILL)

def connect(*arguments, connect=sqlite3.connect, **options):
    connection = connect(*arguments, **options)
    connection.set_progress_handler(tick, 1000)
    return connection

memory = books.load(path)[1] if os.path.exists(path) else ledger.Ledger(0.5, 3)
sqlite3.connect = connect
for round in range((memory.round or 0) + 1, (memory.round or 0) + 1 + rounds):
    observed, count = np.full(CROWD, round / 1000), np.ones(CROWD, np.int64)
    memory.commit(range(CROWD), observed, round)
    told = {"accepted": count, "rejected": count, "observed": observed, "reputation": observed}
    record = ledger.RoundRecord(
        round, "Reputation", range(CROWD), count > 0, observed, ["a long story" * 20] * CROWD, told
    )
    books.save(path, {"decay": 0.5, "window": 3}, memory, record)
    print(round, ticks, flush=True)
""".replace("CROWD", str(CROWD))


def crowd(rounds: int) -> dict[str, Any]:
    """The state after some rounds of the mortal."""
    memory = Ledger(0.5, 3)
    for round in range(1, rounds + 1):
        memory.commit(range(CROWD), np.full(CROWD, round / 1000), round)
    return memory.state_dict()


def check_crowd(path: Path, rounds: int) -> None:
    """The file holds exactly these rounds."""
    assert same(books.load(path)[1].state_dict(), crowd(rounds))
    assert [line["clients"] for line in ledger.rounds(path)] == [CROWD] * rounds
    assert sql(path, "SELECT count(*) FROM trail") == [(CROWD * rounds,)]
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


def moments(path: Path, count: int) -> list[int]:
    """Moments spread over the writing of one round."""
    ticks = int(python(MORTAL, path, 1, -1).communicate()[0].split()[1])
    return np.linspace(1, 0.95 * ticks, count).astype(int).tolist()


def test_killed_in_the_middle_of_a_round(path: Path, tmp_path: Path) -> None:
    python(MORTAL, path, 1, -1).communicate()
    whole, halves = path.read_bytes(), 0
    shutil.copy(path, tmp_path / "rehearsal")
    for moment in moments(tmp_path / "rehearsal", 8):
        path.write_bytes(whole)
        killed = python(MORTAL, path, 1, moment)
        assert killed.communicate()[0] == ""
        assert killed.returncode == -9
        halves += path.read_bytes() != whole
        check_crowd(path, rounds=1)
    assert halves  # some died with half a round in the file
    python(MORTAL, path, 1, -1).communicate()
    check_crowd(path, rounds=2)
    assert not Path(f"{path}-journal").exists()


def test_killed_in_the_middle_of_the_first_round(path: Path, tmp_path: Path) -> None:
    for moment in moments(tmp_path / "rehearsal", 3):
        killed = python(MORTAL, path, 1, moment)
        killed.communicate()
        assert killed.returncode == -9
        assert not path.exists()
    python(MORTAL, path, 1, -1).communicate()
    check_crowd(path, rounds=1)
    assert not list(path.parent.glob(".*"))  # what the killed ones have left is swept


def test_a_killed_save_does_not_undo_another_ledger_of_the_name(path: Path, tmp_path: Path) -> None:
    python(MORTAL, path, 1, -1).communicate()
    shutil.copy(path, tmp_path / "rehearsal")
    python(MORTAL, path, 1, moments(tmp_path / "rehearsal", 8)[-1]).communicate()
    journal = Path(f"{path}-journal")
    assert journal.stat().st_size
    path.unlink()
    rule = ra.Reputation()
    rule.aggregate(np.eye(3))
    with pytest.raises(ra.InvalidLedger, match="move it there too, or delete it"):
        rule.save(path)
    assert (journal.exists(), path.exists()) == (True, False)
    journal.unlink()
    rule.save(path)
    assert same(ra.load(path).state_dict(), rule.state_dict())


def test_where_nothing_can_be_written_a_killed_save_cannot_be_undone(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python(MORTAL, path, 1, -1).communicate()
    shutil.copy(path, tmp_path / "rehearsal")
    python(MORTAL, path, 1, moments(tmp_path / "rehearsal", 8)[-1]).communicate()
    with monkeypatch.context() as read_only:
        read_only.setattr(database, "opened", partial(database.opened, mode="ro"))  # root may write anywhere
        with pytest.raises(OSError, match="was cut short and must first be undone, where the file can be written"):
            ledger.rounds(path)
    check_crowd(path, rounds=1)


def test_a_memory_longer_than_one_value_may_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LONGEST", 2 * PIECE)
    rule = ra.Suspicion()
    rule.aggregate(np.random.default_rng(0).normal(size=(300, 4)))
    rule.save(path)
    assert sql(path, "SELECT count(*) >= 3, max(length(own)) FROM rule") == [(1, PIECE)]
    assert same(ra.load(path).state_dict(), rule.state_dict())


def test_killed_at_any_time(path: Path) -> None:
    """Between the rounds too, and while SQLite ends a transaction, where it counts no steps."""
    finished = 0
    python(MORTAL, path, 1, -1).communicate()
    for delay in np.linspace(0, 0.12, 8):
        victim = python(MORTAL, path, 1000, -1)
        assert victim.stdout is not None
        printed = [victim.stdout.readline()]
        time.sleep(delay)
        victim.kill()
        printed += victim.communicate()[0].splitlines()
        finished = int(printed[-1].split()[0])
        rounds = books.load(path)[1].round
        assert rounds in (finished, finished + 1)
        check_crowd(path, rounds)
