"""The command line and save loops, stopped at random moments."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from trials import law, only

import robustagg as ra
from robustagg import ledger as ledgers

CLIENTS, COORDINATES, LAST = 6, 40_000, 2
# a shell that runs this in the background has told its children to ignore Ctrl-C
CLI = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from robustagg.cli import main; main()"
LOOP = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np, robustagg as ra
rule = getattr(ra, sys.argv[1])()
for number in range(1, 500):
    rule.aggregate(np.random.default_rng(number).normal(size=(5, 2000)))
    rule.save(sys.argv[2])
    print(number, flush=True)
"""


def trial(seed: int, tally: Counter[str]) -> None:
    rng = np.random.default_rng(seed)
    how = signal.SIGKILL if rng.random() < 0.6 else signal.SIGINT
    with tempfile.TemporaryDirectory() as folder:
        if rng.random() < 0.7:
            command_line(rng, how, Path(folder), tally)
        else:
            save_loop(rng, how, Path(folder), tally)


def command(folder: Path, rule: str, number: int) -> list[str]:
    files = [str(folder / "sent" / f"{number}" / f"c{i}.npy") for i in range(CLIENTS)]
    kept = ["--ledger", str(folder / "ledger")]
    return [sys.executable, "-c", CLI, "aggregate", *files, "--rule", rule, *kept, "--out", str(folder / "out.npy"),
            "--round", str(number)]  # fmt: skip


@cache
def undisturbed(rule: str) -> tuple[Path, float]:
    """A folder with two rounds, the first of which is in `before`; and how long the second took."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    for number in (1, LAST):
        (folder / "sent" / str(number)).mkdir(parents=True)
        for i in range(CLIENTS):
            np.save(
                folder / "sent" / str(number) / f"c{i}.npy", np.random.default_rng([number, i]).normal(size=COORDINATES)
            )
    for number in (1, LAST):
        if number == LAST:
            shutil.copytree(folder, folder.with_suffix(".before"))
        began = time.monotonic()
        subprocess.run(command(folder, rule, number), check=True, capture_output=True)
    return folder, time.monotonic() - began


def command_line(rng: np.random.Generator, how: signal.Signals, place: Path, tally: Counter[str]) -> None:
    rule = str(rng.choice(["reputation", "foolsgold"]))
    reference, seconds = undisturbed(rule)
    folder = place / "round"
    shutil.copytree(reference.with_suffix(".before"), folder)
    before = content(rule, folder)
    process = subprocess.Popen(command(folder, rule, LAST), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_a_moment(rng, process, folder, seconds)
    process.send_signal(how)
    said = process.communicate(timeout=60)[1]
    tally[f"commands sent {how.name}"] += 1
    law("no traceback once the command has begun", "Traceback" not in said or "in main" not in said, said[-300:])
    finished = content(rule, reference)
    after = content(rule, folder)
    if process.returncode == 0:
        law("a command that ends well has done its work", after == finished)
    else:
        tally["commands stopped"] += 1
        law("a stopped command leaves the round before, or the whole of its own", after in (before, finished),
            f"{how.name}: out {'new' if after[0] == finished[0] else 'old'}, "
            f"ledger {'new' if after[1] == finished[1] else 'old'}")  # fmt: skip
        again = subprocess.run(command(folder, rule, LAST), capture_output=True, text=True, check=False)
        law("the same command again ends well", again.returncode == 0 or after == finished, again.stderr[-300:])
        law("and in the same bytes", content(rule, folder) == finished)
    left = {path.name for path in folder.iterdir()} - {"sent", "ledger", "out.npy"}
    law("no draft is left after the next run", not left, left)


def wait_for_a_moment(rng: np.random.Generator, process: subprocess.Popen[str], folder: Path, seconds: float) -> None:
    """Any moment; or one soon after the first change in the folder, where most is at stake."""
    if rng.random() < 0.4:
        time.sleep(rng.uniform(0, 1.1 * seconds))
        return
    there = set(folder.iterdir())
    while process.poll() is None and set(folder.iterdir()) == there:
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, 0.08))


def content(rule: str, folder: Path) -> tuple[bytes, Any]:
    """What the update and the ledger say; the ledger's bytes have times and stamps in them."""
    return (folder / "out.npy").read_bytes(), told(
        ra.Reputation if rule == "reputation" else ra.FoolsGold, folder / "ledger"
    )


def told(kind: type[ra.Rule[Any]], path: Path) -> str:
    with only(what=f"{kind.__name__}.load of what a stopped process left"):
        state = kind.load(path).state_dict()
    trail = ledgers.history(path) if kind is ra.Reputation else []
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
        return repr((state, trail))


def save_loop(rng: np.random.Generator, how: signal.Signals, folder: Path, tally: Counter[str]) -> None:
    kind = ra.Reputation if rng.random() < 0.6 else ra.FoolsGold
    path = folder / "state"
    command = [sys.executable, "-c", LOOP, kind.__name__, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(rng.uniform(0, 0.3))
    process.send_signal(how)
    said = process.communicate(timeout=60)[0].split()
    last = int(said[-1]) if said else 1
    tally[f"save loops sent {how.name}"] += 1
    with only(what="loading what a stopped save loop left"):
        rule = kind.load(path)
    law("a round that was saved is there", rule.last_round in (last, last + 1), f"{rule.last_round}, saved {last}")
    if kind is ra.Reputation:
        trail = [line["round"] for line in ledgers.rounds(path)]
        law("the trail holds every round", trail == list(range(1, rule.last_round + 1)), trail[-3:])
    fresh = kind()
    for number in range(1, rule.last_round + 1):
        fresh.aggregate(np.random.default_rng(number).normal(size=(5, 2000)))
    np.testing.assert_equal(rule.state_dict(), fresh.state_dict())
    rule.aggregate(np.ones((5, 2000)))
    rule.save(path)
    left = {other.name for other in folder.iterdir()} - {"state"}
    law("no draft is left after the next save", not left, left)
