"""Whole rounds in half precision beside the same rounds in float32: ``python bench/half.py``.

Gaussian updates, all threads: 2**26 values, which come from memory, and 2**20, which stay in the caches. ns per
coordinate in float32, then what float16 and bfloat16 take of it. Prints Markdown tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ml_dtypes
import numpy as np
from measure import alternate

import robustagg as ra

SIZES = (6, 8, 10, 12, 16, 20)
RULES: dict[str, Callable[[], ra.Rule]] = {
    "Reputation": ra.Reputation,
    "Mean": ra.Mean,
    "Median": ra.Median,
    "TrimmedMean, f = 1": lambda: ra.TrimmedMean(f=1),
}
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def cell(rule: Callable[[], ra.Rule], rows: dict[str, np.ndarray]) -> str:
    times = alternate({name: partial(rule().aggregate, y) for name, y in rows.items()}, rounds=11, least=0.05)
    single, *halves = (times[name].median for name in DTYPES)
    ratios = ", ".join(f"{half / single:.2f}" for half in halves)
    return f"{single / rows['float32'].shape[1] * 1e9:.3g} ({ratios})"


def main() -> None:
    for values in (2**26, 2**20):
        print(f"\n{values:,} values\n", f"| n | {' | '.join(RULES)} |", f"|{' ---: |' * (len(RULES) + 1)}", sep="\n")
        for n in SIZES:
            y = np.random.default_rng(0).standard_normal((n, values // n), dtype=np.float32) * np.float32(0.01)
            rows = {name: y.astype(dtype) for name, dtype in DTYPES.items()}
            print(f"| {n} | {' | '.join(cell(rule, rows) for rule in RULES.values())} |", flush=True)


if __name__ == "__main__":
    main()
