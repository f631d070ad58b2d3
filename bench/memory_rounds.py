"""Peak memory of rounds over updates in memory: ``python bench/memory_rounds.py``.

100 clients of 10 million float32 coordinates, 4 GB in all; what a call takes beyond what the process held before it,
each rule in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import typer
from measure import peak_of

import robustagg as ra

RULES = {
    "Reputation": lambda n: ra.Reputation(),
    "Krum": lambda n: ra.Krum(n // 10),
    "Median": lambda n: ra.Median(),
}


def one(rule: str, n: int, d: int) -> str:
    RULES[rule](n)(np.zeros((n, 8192), np.float32))  # loads what is loaded once
    rows = [np.random.default_rng(i).standard_normal(d, dtype=np.float32) for i in range(n)]
    aggregator, start = RULES[rule](n), time.perf_counter()
    beyond = peak_of(lambda: aggregator.aggregate(rows))
    seconds = time.perf_counter() - start
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
