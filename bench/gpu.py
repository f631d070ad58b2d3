"""The GPU in one command: ``python bench/gpu.py``. The kernel suite on the device first, then the figures.

Needs a CUDA device, ``pip install '.[test,cuda]' torch``. float32 unless it says otherwise; ns per coordinate, medians
over repeats, synchronised before and after; prints Markdown for docs/gpu.md. Ends with an error where a test fails.
``--figures``: without the suite, which compiles for minutes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import authors
import cupy
import numpy as np
import torch

import robustagg as ra
from robustagg import kernels
from robustagg.config import config
from robustagg.inputs import gather
from robustagg.kernels.cuda import sources
from robustagg.kernels.interface import Confidence, Rescale

ROOT = Path(__file__).parents[1]
VALUES = 2**30  # float32 of all clients: 4 GiB
REPEATS = 9
DETECTION = Confidence(Rescale(2.0, "clip"), "separate", interval_width=2.0, scale_floor=1e-7)
TARGETS = {10: 0.06, 50: 2.0, 100: 8.0, 200: 20.0}
"""ns per coordinate of a detection, on an H100."""
SUITE = ["tests/kernels", "-q", "-k", "cuda or device", "-p", "no:cacheprovider"]
AT_ONCE = ["-n", "auto"] if find_spec("xdist") else []

Row = tuple[str, str, str]
"""What, its figure, and what it is to be."""


def seconds(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Of a call, its median; the first one, which compiles, is left out."""
    taken = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        result = call()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
        del result
    return median(taken[1:])


def normal(n: int, d: int) -> list[Any]:
    generator = cupy.random.RandomState(0)
    return [generator.standard_normal(d, dtype=np.float32) for _ in range(n)]


def floor(rows: list[Any]) -> float:
    """Seconds that one reading of all rows takes, by CuPy's own copy of a row, which also writes: half of its bytes."""
    out = cupy.empty_like(rows[0])
    return seconds(lambda: [cupy.copyto(out, row) for row in rows]) / 2


def column_rules(n: int) -> Iterator[Row]:
    """Reading, detection, median and trimmed mean of n clients."""
    gpu, d = kernels.active(), VALUES // n
    rows = normal(n, d)
    reading = floor(rows)
    told = {10: ".012", 100: ".12"}.get(n, "")
    yield f"reading once, n = {n}", f"{reading / d * 1e9:.3f}", told
    compiled = time.perf_counter()
    gpu.detect([row[:1000] for row in rows], DETECTION, 0.1)
    yield f"start-up of a detection, n = {n}, seconds", f"{time.perf_counter() - compiled:.2f}", ""
    taken = seconds(lambda: gpu.detect(rows, DETECTION, 0.1))
    yield f"detection, n = {n}", f"{taken / d * 1e9:.3f}", f"at most {TARGETS[n]}"
    for name, call in {
        "median": lambda: gpu.median(rows),
        "trimmed mean": lambda: gpu.trimmed_mean(rows, n // 4),
    }.items():
        taken = seconds(call)
        most = {10: "at most 2 floors", 100: "at most 10 floors"}.get(n, "")
        yield f"{name}, n = {n}", f"{taken / d * 1e9:.3f} ({taken / reading:.1f} floors)", most
    yield against_authors(n, rows)


def ways(n: int) -> Row:
    """A detection with median slopes found by networks and by search: these figures are to say where search begins."""
    rows, found = normal(n, VALUES // 2 // n), []
    for least in (n + 1, n):
        with patch.object(sources, "SEARCHED", least):
            sources._text.cache_clear()
            found.append(seconds(lambda: kernels.active().detect(rows, DETECTION, 0.1)) / rows[0].size * 1e9)
    sources._text.cache_clear()
    told = f"by search from {sources.SEARCHED} clients on"
    return f"detection by networks, and by search, n = {n}", f"{found[0]:.2f}, {found[1]:.2f}", told


def against_authors(n: int, rows: list[Any]) -> Row:
    """Beside the authors' method in torch on the same device, on as many columns as its memory allows."""
    few = min(rows[0].size, 2**31 // (8 * n * n))
    y = torch.stack([torch.from_dlpack(row[:few]) for row in rows])
    with torch.device("cuda"):
        theirs = seconds(lambda: authors.detect(y), 3) / few
    same = DETECTION._replace(intercept="median_point", rescale=Rescale(2.0, "paper"))
    ours = seconds(lambda: kernels.active().detect(rows, same, 0.1)) / rows[0].size
    return f"times the authors' method, n = {n}", f"{theirs / ours:.0f}", "at least 100"


def krum(n: int = 100, d: int = 10**7) -> Row:
    """A whole round of Krum beside torch's product of the same rows in float32."""
    y = torch.randn(n, d, device="cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    product, taken = seconds(lambda: y @ y.T), seconds(lambda: ra.Krum(f=n // 5).aggregate(list(y)))
    return "Krum of 100 x 10^7 / torch's float32 product", f"{taken / product:.2f}", "at most 1.5"


def small(n: int = 10, d: int = 1000) -> Row:
    """Rounds in which the processor has more to do than the device, and what it looks at before a round of Krum."""
    updates, hundred = list(torch.randn(n, d, device="cuda")), list(torch.randn(100, d, device="cuda"))
    calls = lambda: ra.Mean()(updates), lambda: ra.Reputation()(updates), lambda: gather(hundred)
    taken = ", ".join(f"{seconds(call) * 1e3:.2f}" for call in calls)
    return "rounds of 10 x 1,000, Mean and Reputation, and a look at a hundred tensors, ms", taken, ""


def whole(n: int = 10, d: int = 10**7) -> Row:
    """Rounds of Median: of differences, of whole models, and with a client whose NaN must be found; a mixing alone."""
    updates, center = list(torch.randn(n, d, device="cuda")), torch.randn(d, device="cuda")
    odd = [*updates[1:], torch.full_like(center, torch.nan)]
    rule, mixing = ra.Median(), ra.NNM(f=n // 5)
    calls = lambda: rule(updates), lambda: rule(updates, reference=center), lambda: rule(odd), lambda: mixing(updates)
    taken = ", ".join(f"{seconds(call) * 1e3:.1f}" for call in calls)
    return "rounds of 10 x 10^7, Median: as it is, with reference=, with a client of NaN; NNM alone, ms", taken, ""


def pinned(n: int = 10, d: int = 2**27) -> Row:
    """A median of rows in pinned memory, as a share of what the bus does."""
    rows = [torch.randn(d).pin_memory() for _ in range(n)]
    there = torch.empty(d, device="cuda")
    bus = seconds(lambda: [there.copy_(row, non_blocking=True) for row in rows])
    host = [row.numpy() for row in rows]
    taken = seconds(lambda: kernels.active().median(host))
    return "median from pinned memory, share of the bus", f"{bus / taken:.0%}", "at least 80 %"


def large(n: int = 10, d: int = 7 * 10**9, block: int = 2**28) -> Row:
    """Detection in bfloat16, in blocks that are made on the device, as a state dict's tensors would arrive."""
    total, gpu = 0.0, kernels.active()
    for start in range(0, d, block):
        width = min(block, d - start)
        rows = [cupy.random.randint(0x3F00, 0x3F80, width, dtype=np.uint16) for _ in range(n)]
        gpu.detect([row[:1000] for row in rows], DETECTION, 0.1)
        total += seconds(lambda rows=rows: gpu.detect(rows, DETECTION, 0.1), 1)
        del rows
    return "detection of 10 x 7e9 bfloat16 in blocks, seconds", f"{total:.2f}", ""


def main() -> None:
    if "--figures" not in sys.argv:
        tests = subprocess.run([sys.executable, "-m", "pytest", *SUITE, *AT_ONCE], cwd=ROOT, check=False)
        if tests.returncode:
            sys.exit("the kernel suite fails on this device: no figures")
    print(f"\n{config()['backends']['cuda']}, CuPy {cupy.__version__}, torch {torch.__version__}\n")
    print("| what | ns per coordinate, or as it says | to reach |\n| --- | ---: | --- |")
    with kernels.use_backend("cuda"):
        for n in TARGETS:
            for row in column_rules(n):
                print(f"| {' | '.join(row)} |", flush=True)
            cupy.get_default_memory_pool().free_all_blocks()
        for n in (50, 80, 100, 120, 200):
            print(f"| {' | '.join(ways(n))} |", flush=True)
            cupy.get_default_memory_pool().free_all_blocks()
        for measure in (krum, small, whole, pinned, large):
            print(f"| {' | '.join(measure())} |", flush=True)


if __name__ == "__main__":
    main()
