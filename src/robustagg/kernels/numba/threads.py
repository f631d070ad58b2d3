"""Columns to threads: every kernel runs over parts of the columns, at multiples of a group of lanes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from robustagg import kernels
from robustagg.errors import NonFinite
from robustagg.kernels.interface import Array, Rows
from robustagg.kernels.numba.lanes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, LANES

KINDS = {"float32": FLOAT32, "float64": FLOAT64, "float16": FLOAT16, "uint16": BFLOAT16}
WORTH_A_THREAD = 2**20  # comparisons of a thread's share, some 0.1 ms; fewer take less time than starting it
AT_A_TIME = 2**29  # comparisons, some 0.1 s, after which Ctrl-C is heard


def each_part(rows: Rows, cost: int, kernel: Callable[[Array, int, int, int], Any]) -> list[Any]:
    """Run kernel(addresses, kind, lo, hi) over all columns, of `cost` comparisons each, in threads if that pays."""
    rows = [row if row.flags.aligned else row.copy() for row in rows]
    addresses = np.array([row.ctypes.data for row in rows], np.uintp)
    d = rows[0].size
    threads = max(1, min(kernels.num_threads(), d * cost // WORTH_A_THREAD, -(-d // LANES)))
    parts = max(threads, min(d * cost // AT_A_TIME, -(-d // LANES)))
    edges = [min(-(-d * part // (parts * LANES)) * LANES, d) for part in range(parts + 1)]
    run = partial(kernel, addresses, KINDS[rows[0].dtype.name])
    if threads == 1:
        return [run(*part) for part in pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, edges[:-1], edges[1:]))


def each_tile(count: int, kernel: Callable[[int], Any]) -> list[Any]:
    """Run kernel(tile) for all tiles, in threads."""
    threads = min(kernels.num_threads(), count)
    if threads <= 1:
        return list(map(kernel, range(count)))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(kernel, range(count)))


def sweep(rows: Rows, cost: int, kernel: Callable[..., bool], *arguments: object) -> None:
    """Run a compiled kernel over all columns of finite rows."""
    if not all(each_part(rows, cost, lambda *part: kernel(*part, *arguments))):
        raise NonFinite
