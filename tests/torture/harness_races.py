"""Threads that share a rule, processes that share a ledger, and clients that rewrite their file during a round."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from trials import EXPECTED, Broken, law, only

import robustagg as ra
from robustagg import ledger as ledgers

SAVER = """
import sys, time
import numpy as np, robustagg as ra
path, seed = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(seed)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(6):
    try:
        rule = ra.Reputation.load(path)
    except FileNotFoundError:
        rule = ra.Reputation()
    result = rule.aggregate(rng.normal(size=(4, 50)))
    try:
        rule.save(path)
    except (ValueError, OSError) as error:
        print("refused", type(error).__name__, flush=True)
    else:
        print("saved", result.round, *result.reputation.tolist(), flush=True)
"""


def trial(seed: int, tally: Counter[str]) -> None:
    rng = np.random.default_rng(seed)
    kind = rng.random()
    with tempfile.TemporaryDirectory() as folder:
        if kind < 0.5:
            shared_rule(rng, Path(folder), tally)
        elif kind < 0.65:
            shared_ledger(rng, Path(folder), tally)
        else:
            rewritten(rng, Path(folder), tally)


# --- threads ---


def shared_rule(rng: np.random.Generator, folder: Path, tally: Counter[str]) -> None:
    """Threads aggregate with one rule while others save it, take its state and give it back."""
    kind = (ra.Reputation, ra.FoolsGold, ra.CenteredClipping)[rng.integers(3)]
    rule, path = kind(), folder / "state"
    updates = rng.normal(size=(5, int(rng.choice([50, 5000]))))
    rule.aggregate(updates)
    results: list[Any] = []
    faults: list[Exception] = []
    crew = int(rng.integers(2, 5))
    together = threading.Barrier(crew + 2)

    def work(what: Any, times: int) -> None:
        together.wait()
        for _ in range(times):
            try:
                with only(*EXPECTED, OSError, what="a rule that threads share"):
                    what()
            except EXPECTED:
                tally["thread calls refused"] += 1
            except Exception as fault:
                faults.append(fault)
                return

    def back() -> None:
        copy = kind()
        copy.load_state_dict(rule.state_dict())
        copy.aggregate(updates)

    threads = [
        threading.Thread(target=work, args=(lambda: results.append(rule.aggregate(updates)), 6)) for _ in range(crew)
    ]
    threads += [threading.Thread(target=work, args=(what, 6)) for what in (lambda: rule.save(path), back)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally["rules shared by threads"] += 1
    if faults:
        raise faults[0]
    rounds = sorted(result.round for result in results)
    law("no round is given twice", len(set(rounds)) == len(rounds), rounds)
    law("no round is lost", rule.last_round == 1 + len(rounds), f"{rule.last_round} after {1 + len(rounds)}")
    rule.save(path)
    np.testing.assert_equal(kind.load(path).state_dict(), rule.state_dict())
    if kind is ra.Reputation:
        found = {result.round: result for result in results}
        for line in ledgers.history(path):
            if line["round"] in found:
                law("the trail says what was returned",
                    line["reputation"] == found[line["round"]].reputation[line["client"]], line)  # fmt: skip
    alone = kind()
    for _ in range(rule.last_round):
        alone.aggregate(updates)
    np.testing.assert_equal(alone.state_dict(), rule.state_dict())


# --- processes ---


def shared_ledger(rng: np.random.Generator, folder: Path, tally: Counter[str]) -> None:
    path = folder / "ledger"
    seeds = rng.integers(0, 2**31, 3)
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", SAVER, str(path), str(seed)], **pipe) for seed in seeds]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    saved: dict[int, list[float]] = {}
    for process in processes:
        out, fault = process.communicate(timeout=120)
        law("savers of one ledger: only documented errors", process.returncode == 0, fault[-300:])
        for line in map(str.split, out.splitlines()):
            tally[f"ledger saves {line[0]}"] += 1
            if line[0] == "saved":
                law("no round is saved twice", int(line[1]) not in saved, line)
                saved[int(line[1])] = list(map(float, line[2:]))
    tally["ledgers shared by processes"] += 1
    trail = ledgers.rounds(path)
    law("the trail holds what was saved", [line["round"] for line in trail] == sorted(saved), (trail, sorted(saved)))
    for line in ledgers.history(path):
        law("the trail says who was first", line["reputation"] == saved[line["round"]][line["client"]], line)
    law("the ledger can be loaded", ra.Reputation.load(path).last_round == max(saved))
    left = {other.name for other in folder.iterdir()} - {"ledger"}
    law("no draft is left", not left, left)


# --- writers ---


def rewritten(rng: np.random.Generator, folder: Path, tally: Counter[str]) -> None:
    """A client's file is .05, from some moment of the round on 1e6, and perhaps .05 again; its time is put back."""
    d = 300_000
    honest = 0.05 + 0.01 * rng.normal(size=(5, d)).astype(np.float32)
    paths = [folder / f"{i}.npy" for i in range(6)]
    for path, row in zip(paths, [*honest, honest[0]], strict=True):
        np.save(path, row)
    times = os.stat(paths[-1])
    rule = (ra.MultiKrum(1), ra.GeometricMedian(), ra.Reputation.as_published(value_range=None))[rng.integers(3)]
    through = str(rng.choice(["mapping", "write"]))
    moments = sorted(rng.random(2))
    sent = np.load(paths[-1], mmap_mode="r+") if through == "mapping" else None

    def write(values: np.ndarray) -> None:
        if sent is not None:
            sent[:] = values
        else:
            with open(paths[-1], "r+b") as file:
                file.seek(128)
                file.write(values.tobytes())
        os.utime(paths[-1], ns=(times.st_atime_ns, times.st_mtime_ns))

    def progress(done: int, total: int) -> None:
        while moments and done >= moments[0] * total:
            moments.pop(0)
            write(np.full(d, 1e6, np.float32) if moments else honest[0])

    out = folder / "out.npy"
    try:
        with only(*EXPECTED, what="a round over a file that changes"):
            result = ra.aggregate_files(rule, paths, out, max_memory="16 MiB", progress=progress)
    except EXPECTED as error:
        raise Broken("a client that rewrites its file does not stop the round", repr(error)) from error
    tally[f"files rewritten by {through}"] += 1
    tally["writers left out"] += int(not result.admitted[-1])
    farthest = float(np.abs(np.load(out) - 0.05).max())
    law("each pass sees the same bytes", farthest < 1, f"{type(rule).__name__}, by {through}: {farthest:g} off")
