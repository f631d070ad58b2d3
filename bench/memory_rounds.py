"""Peak memory of rounds over updates in memory: ``python bench/memory_rounds.py``.

100 clients of 10 million float32 coordinates, 4 GB in all; what a call takes beyond what the process held before it,
each rule in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import typer

import robustagg as ra

RULES = {"Reputation": ra.Reputation, "Krum": lambda: ra.Krum(10), "Median": ra.Median}


def resident(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def one(rule: str, n: int, d: int) -> str:
    RULES[rule]()(np.zeros((n, 8192), np.float32))  # loads what is loaded once
    rows = [np.random.default_rng(i).standard_normal(d, dtype=np.float32) for i in range(n)]
    aggregator, before = RULES[rule](), resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    start = time.perf_counter()
    aggregator.aggregate(rows)
    seconds, beyond = time.perf_counter() - start, resident("VmHWM") - before
    return f"| {rule} | {seconds:.1f} s | {beyond / 2**20:,.0f} MiB | {1 + beyond / (4 * n * d):.3f} |"


def main(n: int = 100, d: int = 10**7, rule: str = "") -> None:
    if rule:
        print(one(rule, n, d))
        return
    print("| rule | a round | beyond the updates | peak / updates |", "| --- | ---: | ---: | ---: |", sep="\n")
    for name in RULES:
        command = [sys.executable, __file__, "--n", str(n), "--d", str(d), "--rule", name]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    typer.run(main)
