"""A search for updates that are slow to judge: ``python bench/adversary.py``.

It maximises the instructions per coordinate beside those of a Gaussian round, counted under Valgrind as in
``instructions.py``: first the known patterns (``hostile.py``), then changes of the worst and fresh starts, a fixed
number of trials. What it finds is printed with its recipe; the worst of it is guarded by ``instructions.json``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hostile import PATTERNS, Recipe, columns, cook, mutated
from instructions import ISA, Call, callgrind, detect, mark, reason_not_to, repeated_median, total

import robustagg as ra
from robustagg import kernels


def residual_weights(rows: list[np.ndarray]) -> object:
    line = ra.Reputation(intercept="hierarchical").line
    options = {name: line[name] for name in ("intercept", "interval_width", "scale_floor")}
    return kernels.active().residual_weights(rows, leave_smallest=False, **options)


CALLS: dict[str, Call] = {
    "detect": detect("separate"),
    "detect without rescaling": detect("separate", value_range=None),
    "repeated_median": repeated_median,
    "residual_weights": residual_weights,
}
PARENTS = 4  # the worst recipes so far, which are changed
FRESH = 0.2  # share of the trials that change a known pattern instead


class Counter:
    """Instructions of calls, from within the process that Valgrind runs: it writes a file at every mark."""

    def __init__(self, out: str) -> None:
        self._files = (Path(f"{out}.{k}") for k in count(1))

    def __call__(self, call: Call, rows: list[np.ndarray]) -> float:
        """Per coordinate."""
        mark()
        call(rows)
        mark()
        before, during = next(self._files), next(self._files)
        instructions = total(during)
        before.unlink()
        during.unlink()
        return instructions / rows[0].size


def search(counter: Counter, call: Call, n: int, dtype: str, trials: int, seed: int) -> list[tuple[float, Recipe]]:
    """The worst recipes and their cost beside Gaussian rounds, the worst first."""
    rng, d = np.random.default_rng(seed), columns(n)
    gaussian = cook(Recipe("gaussian"), n, d, dtype)
    call(gaussian)  # what is loaded and allocated once
    honest = counter(call, gaussian)
    found: dict[Recipe, float] = {}
    known = [Recipe(name) for name in PATTERNS]
    for trial in range(max(trials, len(known))):
        worst = sorted(found, key=lambda recipe: -found[recipe])[:PARENTS]
        parents = known if rng.random() < FRESH else worst
        recipe = known[trial] if trial < len(known) else mutated(parents[rng.integers(len(parents))], rng)
        found[recipe] = counter(call, cook(recipe, n, d, dtype)) / honest
    return sorted(((cost, recipe) for recipe, cost in found.items()), key=lambda pair: -pair[0])


def run(options: argparse.Namespace) -> None:
    """What Valgrind runs."""
    ra.set_num_threads(1)
    counter = Counter(options.run)
    with ra.use_backend("native"):
        kernels.active()._native.set_isa(ISA)
        for name, dtype, n in product(options.kernels, options.dtypes, options.n):
            found = search(counter, CALLS[name], n, dtype, options.trials, options.seed)
            for cost, recipe in found[: len(found) if options.all else 3]:
                print(f"{name}, {dtype}, n = {n}: {cost:.2f} times a Gaussian round: {recipe}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", nargs="+", default=["detect", "repeated_median"], choices=CALLS)
    parser.add_argument("--n", nargs="+", type=int, default=[10, 50, 100, 200])
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="print all trials, not the three worst")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options)
    elif reason := reason_not_to():
        print(f"Instructions are not counted: {reason}.")
    else:
        with TemporaryDirectory() as folder:
            out = os.path.join(folder, "counts")
            subprocess.run([*callgrind(out), sys.executable, __file__, *sys.argv[1:], "--run", out], check=True)


if __name__ == "__main__":
    main()
