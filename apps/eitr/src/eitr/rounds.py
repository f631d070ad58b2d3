"""Rounds: open -> aggregating -> published, or failed and tried again. A process of its own: ``python -m eitr.rounds``.

Two files remember: the server's database and robustagg's ledger. The order of writing makes a kill anywhere harmless:
the aggregate (a file, complete or absent), then the ledger, then model and next round in one transaction. Who starts
again looks how far the last one came; what is computed twice has the same bits.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.numpy import load, load_file, save

import robustagg
from eitr import model, site
from eitr.settings import Settings
from eitr.store import LiveRound, Store, add_model, live

LEDGER = "reputation.sqlite"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works on this folder's rounds; the kernel lifts the lock of whoever dies."""
    with open(folder / "rounds.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tick(folder: Path, settings: Settings) -> bool:
    """Take the live round as far as it can go now; whether one was published."""
    with alone(folder):
        store = Store(folder)
        round = store.live() or _reopen(store, settings)
        _sweep(folder, round.number)
        if round.state == "open":
            if not _closes(store, round, settings):
                return False
            _set_state(store, round.number, "open", "aggregating")
        return _aggregate(store, folder, round, settings)


def _sweep(folder: Path, number: int) -> None:
    """Remove what is done with and what a kill has left: people's updates among it."""
    for path in folder.glob("round-*"):
        shutil.rmtree(path)
    for path in folder.glob("aggregate-*.safetensors"):
        if path != _aggregate_of(folder, number):
            path.unlink()


def _aggregate_of(folder: Path, number: int) -> Path:
    return folder / f"aggregate-{number}.safetensors"


def _closes(store: Store, round: LiveRound, settings: Settings) -> bool:
    """Whether an open round ends: at its target, or at its deadline if there is a quorum; else it gets more time."""
    count = store.count_updates(round.number)
    due = time.time() >= round.deadline
    if due and count < settings.quorum:
        with store.writing() as db:
            later = time.time() + settings.period
            db.execute("UPDATE rounds SET deadline = ? WHERE number = ?", (later, round.number))
        return False
    return due or count >= settings.target


def _aggregate(store: Store, folder: Path, round: LiveRound, settings: Settings) -> bool:
    try:
        update = load_file(_update_of(store, folder, round.number, settings))
        base = store.model(round.base)
        assert base is not None
        trained = model.added(load(base["tensors"]), update)
        accuracy = site.measured(folder, trained)
    except (ValueError, OSError) as error:  # robustagg says so when nobody's update can be used; a disk may be full
        _fail(store, round, str(error))
        return False
    _publish(store, folder, round, trained, accuracy, settings)
    return True


def _update_of(store: Store, folder: Path, number: int, settings: Settings) -> Path:
    """The round's aggregate, a file, with the ledger knowing of it."""
    out = _aggregate_of(folder, number)
    ledger = folder / LEDGER
    rule = robustagg.Reputation.load(ledger) if ledger.exists() else robustagg.Reputation(normalize=settings.normalize)
    if rule.last_round is not None and rule.last_round >= number:
        return out  # killed between the ledger and the model
    with TemporaryDirectory(dir=folder, prefix="round-") as scratch:
        paths, ids = [], []
        for pseudonym, tensors in store.updates(number):
            path = Path(scratch) / f"{pseudonym}.safetensors"
            path.write_bytes(tensors)
            paths.append(path)
            ids.append(pseudonym)
        robustagg.aggregate_files(rule, paths, out, ids=ids, round=number, max_memory="256 MiB")
    rule.save(ledger)
    return out


def _publish(
    store: Store, folder: Path, round: LiveRound, trained: model.Model, accuracy: float | None, settings: Settings
) -> None:
    with store.writing() as db:
        db.execute("UPDATE rounds SET state = 'published', reason = '' WHERE number = ?", (round.number,))
        add_model(db, round.number, save(trained), accuracy)
        _open(db, round.number + 1, round.number, settings)
        db.execute("DELETE FROM updates WHERE round <= ?", (round.number,))


def _fail(store: Store, round: LiveRound, reason: str) -> None:
    query = "UPDATE rounds SET state = 'failed', attempts = attempts + 1, reason = ? WHERE number = ?"
    with store.writing() as db:
        db.execute(query, (reason, round.number))


def _reopen(store: Store, settings: Settings) -> LiveRound:
    """No round is live: the last one failed. Try it again, or give it up and open the next."""
    with store.writing() as db:
        number, base, attempts = db.execute(
            "SELECT number, base, attempts FROM rounds ORDER BY number DESC LIMIT 1"
        ).fetchone()
        if attempts < settings.attempts:
            db.execute("UPDATE rounds SET state = 'aggregating' WHERE number = ?", (number,))
        else:
            _open(db, number + 1, base, settings)
        round = live(db)
    assert round is not None
    return round


def _open(db, number: int, base: int, settings: Settings) -> None:
    query = "INSERT INTO rounds (number, state, base, deadline) VALUES (?, 'open', ?, ?)"
    db.execute(query, (number, base, time.time() + settings.period))


def _set_state(store: Store, number: int, old: str, new: str) -> None:
    with store.writing() as db:
        db.execute("UPDATE rounds SET state = ? WHERE number = ? AND state = ?", (new, number, old))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="eitr.rounds", description="Aggregate rounds as they fall due.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--once", action="store_true", help="look once and stop")
    parser.add_argument("--interval", type=float, default=1.0)
    arguments = parser.parse_args(argv)
    settings = Settings.read(arguments.folder)
    end = time.monotonic() + arguments.seconds
    while True:
        tick(arguments.folder, settings)
        if arguments.once or time.monotonic() >= end:
            return 0
        time.sleep(arguments.interval)


if __name__ == "__main__":
    sys.exit(main())
