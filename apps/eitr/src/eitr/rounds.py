"""Rounds: open -> aggregating -> published, or failed and tried again. A process of its own: ``python -m eitr.rounds``.
A round that people leave before it is aggregated, and the quorum with them, is open again.

Two files remember: the server's database and robustagg's ledger. The order of writing makes a kill anywhere harmless:
the aggregate (a file, complete or absent), then the ledger, then model and next round in one transaction. Who starts
again looks how far the last one came; what is computed twice has the same bits.

A round whose model does harm is not published. Nor does the ledger hear of it: who fooled the rule has also fooled
its reputations.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
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
    for path in folder.glob(".scratch-*"):
        shutil.rmtree(path)
    for path in folder.glob(".aggregate-*.safetensors"):
        if path != _aggregate_of(folder, number):
            path.unlink()


def _aggregate_of(folder: Path, number: int) -> Path:
    return folder / f".aggregate-{number}.safetensors"


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
        rule = _rule(folder, settings)
        fresh = rule.last_round is None or rule.last_round < round.number  # else killed between ledger and model
        if fresh:
            updates = store.updates(round.number)
            if len(updates) < settings.quorum:  # people have left since it closed
                _set_state(store, round.number, "aggregating", "open")
                return False
            _join(folder, round.number, rule, updates)
        trained = model.added(_base(store, round), load_file(_aggregate_of(folder, round.number)))
        accuracy, harm = _judged(store, folder, trained, settings)
        if fresh and not harm:
            rule.save(folder / LEDGER)
    except (ValueError, OSError) as error:  # robustagg says so when nobody's update can be used; a disk may be full
        _fail(store, round, str(error))
        return False
    if harm:
        _reject(store, round, harm, settings)
        return False
    _publish(store, round, trained, accuracy, settings)
    return True


def _rule(folder: Path, settings: Settings) -> robustagg.Reputation:
    ledger = folder / LEDGER
    return robustagg.Reputation.load(ledger) if ledger.exists() else robustagg.Reputation(normalize=settings.normalize)


def _base(store: Store, round: LiveRound) -> model.Model:
    row = store.model(round.base)
    assert row is not None
    return load(row["tensors"])


def _join(folder: Path, number: int, rule: robustagg.Reputation, updates: list[tuple[str, bytes]]) -> None:
    """Write the round's aggregate; the rule has learnt from it, the ledger not yet."""
    with TemporaryDirectory(dir=folder, prefix=".scratch-") as scratch:
        paths, ids = [], []
        for pseudonym, tensors in updates:
            path = Path(scratch) / f"{pseudonym}.safetensors"
            path.write_bytes(tensors)
            paths.append(path)
            ids.append(pseudonym)
        robustagg.aggregate_files(
            rule, paths, _aggregate_of(folder, number), ids=ids, round=number, max_memory="256 MiB"
        )


def _judged(store: Store, folder: Path, trained: model.Model, settings: Settings) -> tuple[float | None, str]:
    """Accuracy on the held-out pages, if there are any, and why the model must not be published; empty if it may be."""
    if not all(np.isfinite(array).all() for array in trained.values()):
        return None, "the model would hold an infinity"
    accuracy, best = site.measured(folder, trained), store.best()
    if accuracy is None or best is None or accuracy >= best - settings.tolerated_loss:
        return accuracy, ""
    lost = f"accuracy {accuracy:.3f} on the held-out pages, {best:.3f} at best so far"
    return accuracy, f"{lost}: a loss of more than {settings.tolerated_loss:g}"


def _publish(store: Store, round: LiveRound, trained: model.Model, accuracy: float | None, settings: Settings) -> None:
    with store.writing() as db:
        db.execute("UPDATE rounds SET state = 'published', reason = '' WHERE number = ?", (round.number,))
        add_model(db, round.number, save(trained), accuracy)
        _open(db, round.number + 1, round.number, settings)


def _fail(store: Store, round: LiveRound, reason: str) -> None:
    with store.writing() as db:
        _failed(db, round, reason)


def _reject(store: Store, round: LiveRound, reason: str, settings: Settings) -> None:
    """Fail a round and open the next: the same updates would make the same model again."""
    with store.writing() as db:
        _failed(db, round, reason)
        _open(db, round.number + 1, round.base, settings)


def _failed(db: sqlite3.Connection, round: LiveRound, reason: str) -> None:
    query = "UPDATE rounds SET state = 'failed', attempts = attempts + 1, reason = ? WHERE number = ?"
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


def _open(db: sqlite3.Connection, number: int, base: int, settings: Settings) -> None:
    """Open a round; what was sent for those before it is done with."""
    query = "INSERT INTO rounds (number, state, base, deadline) VALUES (?, 'open', ?, ?)"
    db.execute(query, (number, base, time.time() + settings.period))
    db.execute("DELETE FROM updates WHERE round < ?", (number,))


def _set_state(store: Store, number: int, old: str, new: str) -> None:
    with store.writing() as db:
        db.execute("UPDATE rounds SET state = ? WHERE number = ? AND state = ?", (new, number, old))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="eitr.rounds", description="Aggregate rounds as they fall due.")
    parser.add_argument("folder", type=site.made)
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
