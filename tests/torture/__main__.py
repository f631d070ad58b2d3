"""Runs the harnesses, each in a process of its own, and prints what was tried and what broke."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

HARNESSES = ("rounds", "kills", "races", "files")
SHARES = {"rounds": 0.4, "kills": 0.3, "races": 0.2, "files": 0.1}  # of the time
TRIALS = {"rounds": 2500, "kills": 150, "races": 400, "files": 6000}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/torture", description=__doc__)
    parser.add_argument("harness", nargs="*", help=f"some of {', '.join(HARNESSES)}; all, if none is named")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)  # where a harness's process says what it did
    given = parser.parse_args()
    for name in given.harness:
        if name not in HARNESSES:
            parser.error(f"no harness {name!r}")
    return given


def main() -> int:
    given = arguments()
    if given.report is not None:
        from trials import work

        work(given.harness[0], given.seed, given.trials, given.minutes * 60, given.report)
        return 0
    names = given.harness or HARNESSES
    whole = sum(SHARES[name] for name in names)
    reports = {
        name: supervised(name, given.seed, given.trials or TRIALS[name], given.minutes * SHARES[name] / whole)
        for name in names
    }
    return 1 if sum(report["broken"] for report in reports.values()) else 0


def supervised(name: str, seed: int, trials: int, minutes: float) -> dict[str, int]:
    """One harness; where its process dies, the trial that killed it is a finding."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report"
        command = [sys.executable, str(Path(__file__).parent), name, "--seed", str(seed), "--trials", str(trials)]
        began = time.monotonic()
        try:
            code = subprocess.run(
                [*command, "--minutes", str(minutes), "--report", str(path)], check=False, timeout=60 * minutes + 120
            ).returncode
        except subprocess.TimeoutExpired:
            code = "still running two minutes after its time"
        report = json.loads(path.read_text()) if path.exists() else {"counts": {}, "laws": {}, "seed": seed}
    if code:
        report["laws"].setdefault(f"the process survives ({code})", []).append([report["seed"], ""])
    broken = sum(map(len, report["laws"].values()))
    told = ", ".join(f"{count} {what}" for what, count in sorted(report["counts"].items()))
    print(f"{name}: seeds {seed} to {report['seed']}, {time.monotonic() - began:.0f} s: {told}; {broken} broken")
    for law, cases in report["laws"].items():
        print(f"  BROKEN {len(cases)} times: {law}")
        for at, detail in cases[:3]:
            print(f"    python tests/torture {name} --trials 1 --seed {at}    {' '.join(detail.split())[:400]}")
    sys.stdout.flush()
    return {"broken": broken}


if __name__ == "__main__":
    sys.exit(main())
