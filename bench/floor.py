"""The cheap kernels beside one reading of the updates, from memory: ``python bench/floor.py``.

Float32, Gaussian, 400 MB of updates, all threads; ns per coordinate, and in units of the time that reading takes.
NumPy's sort along the clients is what a median or a trimmed mean costs without a kernel. Prints a Markdown table.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from measure import alternate

from robustagg import kernels
from robustagg.kernels.interface import Rescale

VALUES = 10**8
SIZES = (10, 50, 200, 1000)
SORTED = 10  # a tenth of the columns for NumPy's sort


def reader(y: np.ndarray, pool: ThreadPoolExecutor, threads: int) -> Callable[[], Any]:
    parts = np.array_split(y.reshape(-1).view(np.int64), threads)
    return lambda: list(pool.map(np.bitwise_or.reduce, parts))


def measured(n: int, pool: ThreadPoolExecutor) -> dict[str, float]:
    """ns per coordinate of each call."""
    kernel, d = kernels.active(), VALUES // n
    y = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    rows, few, weights = list(y), np.ascontiguousarray(y[:, : d // SORTED]), np.full(n, 1 / n)
    rejected, median = np.zeros((n, -(-d // 8)), np.uint8), np.zeros(d, np.float32)
    calls = {
        "reading": reader(y, pool, kernels.num_threads()),
        "weighted mean": lambda: kernel.weighted_mean(rows, weights),
        "rectified mean": lambda: kernel.rectified_mean(rows, rejected, median, weights, Rescale(None, "paper")),
        "median": lambda: kernel.median(rows),
        "trimmed mean, f = 1": lambda: kernel.trimmed_mean(rows, 1),
        "trimmed mean, f = n / 4": lambda: kernel.trimmed_mean(rows, n // 4),
        "np.sort": lambda: np.sort(few, axis=0),
    }
    times = alternate(calls, rounds=5)
    return {name: t.median / d * 1e9 * (SORTED if name == "np.sort" else 1) for name, t in times.items()}


def main() -> None:
    with ThreadPoolExecutor(kernels.num_threads()) as pool:
        lines = {n: measured(n, pool) for n in SIZES}
    names = list(lines[SIZES[0]])
    print(f"| n | {' | '.join(names)} |", f"|{' ---: |' * (len(names) + 1)}", sep="\n")
    for n, times in lines.items():
        cells = [f"{times[name]:,.3g} ({times[name] / times['reading']:.2f})" for name in names]
        print(f"| {n} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
