"""How this folder measures: check the answers, then time all sides in turn, and quote medians."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robustagg.config import config

KINDS = ("gaussian", "colluding", "ties", "sparse", "subnormal")


class Timing(NamedTuple):
    """Seconds of one call over several runs."""

    median: float
    low: float
    high: float


def alternate(
    calls: Mapping[str, Callable[[], Any]], rounds: int = 7, least: float = 0.02, rest: float = 0.0
) -> dict[str, Timing]:
    """Time all calls in turn, A B C A B C ..., so that a machine that slows down slows all sides alike.

    Threads of OpenBLAS spin for up to 0.1 s after a call, on the cores that another side's call needs: a `rest` of so
    many seconds before each side lets them fall asleep.
    """
    repeats = {}
    for name, call in calls.items():
        call()  # warm-up: caches, page faults, compilation
        start = time.perf_counter()
        call()
        repeats[name] = max(1, round(least / max(time.perf_counter() - start, 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(rest)
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return {name: Timing(statistics.median(s), min(s), max(s)) for name, s in seconds.items()}


def updates(n: int, d: int, kind: str = "gaussian", dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    """n clients' updates of d coordinates: Gaussian; a fifth colluding; rounded to 0.25; 95 % zeros; subnormal."""
    y = np.random.default_rng(seed).normal(size=(n, d))
    if kind == "colluding":
        y[: n // 5] = 3.0 + 0.01 * y[: n // 5]
    elif kind == "ties":
        y = np.round(y * 4) / 4
    elif kind == "sparse":
        y[np.random.default_rng(seed + 1).random((n, d)) < 0.95] = 0
    elif kind == "subnormal":
        y *= 1e-40
    return y.astype(dtype)


def bandwidth(threads: int, size: int = 2**27) -> float:
    """Bytes per second that this machine reads from memory with so many threads (the sum of a large array)."""
    from concurrent.futures import ThreadPoolExecutor

    parts = np.array_split(np.ones(size // 8, np.int64), threads)
    with ThreadPoolExecutor(threads) as pool:
        timing = alternate({"read": lambda: list(pool.map(np.bitwise_or.reduce, parts))}, rounds=5)["read"]
    return size / timing.median


def resident(field: str) -> int:
    """Bytes of this process, VmRSS or VmHWM (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def peak_of(call: Callable[[], Any]) -> int:
    """Bytes that a call takes beyond what this process holds before it, its input included."""
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    call()
    return max(resident("VmHWM") - before, 0)


def copy_bandwidth(size: int = 2**27) -> float:
    """Bytes per second, read and written, of one thread's memcpy."""
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
    return 2 * size / alternate({"copy": lambda: np.copyto(target, source)}, rounds=5)["copy"].median


def machine() -> dict[str, Any]:
    """Where and when a figure was measured."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = f"{names[0]}, {len(names)} cores" if names else model
    here = config()
    return {
        "date": date.today().isoformat(),
        "cpu": model,
        **{k: here[k] for k in ("robustagg", "backend", "backends", "packages")},
    }
