"""Instructions that the native kernels execute per coordinate: ``python bench/instructions.py``.

Unlike a time, the number is the same on a busy machine as on an idle one, so a test can hold it to a limit. The kernels
run once under Valgrind, on one thread, with the instruction set x86-64-v3, on Gaussian updates and on such as are slow
to judge (``adversary.py`` searches for them). The counts stand in instructions.json, and more than `MARGIN` above them
is a failure. After a change that is worth its cost, or saves some: ``python bench/instructions.py --write``. Other
compilers than the table's may need another table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hostile import Change, Recipe, columns, cook
from measure import updates

import robustagg as ra
from robustagg import kernels
from robustagg.kernels.interface import Rescale

TABLE = Path(__file__).with_suffix(".json")
MARGIN = 1.05
ISA = "v3"  # the best that every Valgrind knows
VALUES = 409_600  # n * d of each case, so that the few thousand instructions of a call do not count
MARK = "getpriority"  # a function of the C library that nothing else calls: the counts are cut where it is called

Call = Callable[[list[np.ndarray]], Any]


def detect(intercept: str, rescale: str = "paper", value_range: float | None = 2.0) -> Call:
    line = ra.Reputation(intercept=intercept, rescale=rescale, value_range=value_range).line
    return lambda rows: kernels.active().detect(rows, line, 0.1)


def rectified_mean(rows: list[np.ndarray]) -> np.ndarray:
    n, d = len(rows), rows[0].size
    rejected, median = np.full((n, -(-d // 8)), 0b00010000, np.uint8), np.zeros(d, np.float32)
    return kernels.active().rectified_mean(rows, rejected, median, np.full(n, 1 / n), Rescale(None, "paper"))


def deviations(rows: list[np.ndarray]) -> np.ndarray:
    n, d = len(rows), rows[0].size
    rejected, median = np.full((n, -(-d // 8)), 0b00010000, np.uint8), np.zeros(d, np.float32)
    return kernels.active().deviations(rows, rejected, median, Rescale(None, "clip"))


def mix_neighbours(rows: list[np.ndarray]) -> np.ndarray:
    n = len(rows)
    some = np.random.default_rng(0).random((n, n)) < 0.8
    return kernels.active().mix(rows, some / some.sum(axis=1, keepdims=True))


def median(rows: list[np.ndarray]) -> np.ndarray:
    return kernels.active().median(rows)


def trimmed_mean(rows: list[np.ndarray]) -> np.ndarray:
    return kernels.active().trimmed_mean(rows, len(rows) // 5)


def weighted_mean(rows: list[np.ndarray]) -> np.ndarray:
    return kernels.active().weighted_mean(rows, np.full(len(rows), 1 / len(rows)))


def narrow(rows: list[np.ndarray]) -> list[np.ndarray]:
    return [kernels.active().narrow(row, np.dtype(np.float16)) for row in rows]


def repeated_median(rows: list[np.ndarray]) -> Any:
    return kernels.active().repeated_median(rows, "separate")


CALLS: tuple[tuple[str, Call, str, tuple[int, ...]], ...] = (
    ("detect, hierarchical", detect("hierarchical"), "float32", (10, 20, 50, 100, 200)),
    ("detect, separate", detect("separate"), "float32", (10, 20, 50, 100, 200)),
    ("detect, separate", detect("separate"), "float64", (20, 50)),
    ("detect, separate", detect("separate"), "float16", (10,)),
    ("detect, separate, clipped", detect("separate", "clip"), "float32", (10, 50)),
    ("median", median, "float32", (10, 50, 200)),
    ("median", median, "float16", (10, 50)),
    ("trimmed_mean", trimmed_mean, "float32", (10, 50, 200)),
    ("trimmed_mean", trimmed_mean, "float16", (10,)),
    ("weighted_mean", weighted_mean, "float32", (10, 50)),
    ("weighted_mean", weighted_mean, "float16", (10,)),
    ("rectified_mean", rectified_mean, "float32", (10, 50)),
    ("deviations", deviations, "float32", (10, 50)),
    ("narrow", narrow, "float32", (1,)),
    ("gram", lambda rows: kernels.active().gram(rows), "float32", (10, 50, 200)),
    ("measure", lambda rows: kernels.active().measure(rows, 0), "float32", (10, 50)),
    ("mix, sums of clients", mix_neighbours, "float32", (50, 200)),
    ("mix, few clients each", lambda rows: kernels.active().mix(rows, np.eye(len(rows)) / 2), "float32", (50,)),
)


ZEROS_AND_POWERS = Recipe("half zeros", (Change("all powers", 0.55, 0.0),))
# Patterns that the search of adversary.py starts from, and the worst that it found.
HOSTILE: tuple[tuple[str, Call, str, tuple[int, ...], Recipe], ...] = (
    ("detect, one far outlier", detect("separate"), "float32", (10, 50, 100, 200), Recipe("one largest")),
    ("detect, one far outlier", detect("separate"), "float64", (10, 50), Recipe("one largest")),
    ("detect, a tenth powers of two", detect("separate"), "float32", (100, 200), Recipe("tenth powers")),
    ("detect, half zeros", detect("separate"), "float32", (100,), Recipe("half zeros")),
    ("detect, half zeros, half powers of two", detect("separate"), "float32", (200,), ZEROS_AND_POWERS),
    ("repeated_median, all columns linear", repeated_median, "float32", (100, 200), Recipe("linear")),
    ("repeated_median, nearly linear", repeated_median, "float32", (100, 200), Recipe("nearly linear")),
)


def cases() -> Iterator[tuple[str, Call, int, Callable[[], list[np.ndarray]]]]:
    """Name, kernel, d, and the rows."""
    for name, call, dtype, sizes in CALLS:
        for n in sizes:
            d = VALUES // n // 64 * 64
            yield f"{name}, {dtype}, n = {n}", call, d, partial(honest, n, d, dtype)
    for name, call, dtype, sizes, recipe in HOSTILE:
        for n in sizes:
            yield f"{name}, {dtype}, n = {n}", call, columns(n), partial(cook, recipe, n, columns(n), dtype)


def honest(n: int, d: int, dtype: str) -> list[np.ndarray]:
    return list(updates(n, d).astype(dtype, copy=False))


def mark() -> None:
    os.getpriority(os.PRIO_PROCESS, 0)


def run_cases() -> None:
    """What is counted: each case between two marks, after a small call that loads and allocates."""
    ra.set_num_threads(1)
    with ra.use_backend("native"):
        kernels.active()._native.set_isa(ISA)
        for _, call, _, make in cases():
            rows = make()
            call([row[:64] for row in rows])
            mark()
            call(rows)
            mark()


def callgrind(out: str) -> list[str]:
    """A command's beginning: its instructions are counted on one thread, in parts that end at the marks."""
    threads = ["env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"]
    tool = ["valgrind", "--quiet", "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={out}"]
    return [*threads, *tool]


def count() -> dict[str, float]:
    """Instructions per coordinate of every case."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        subprocess.run([*callgrind(str(out)), sys.executable, __file__, "--run"], check=True)
        # Part 1 ends at the first mark, part 2 is the first case, part 3 lies between it and the second case ...
        counts = [total(out.with_suffix(f".{2 * k + 2}")) for k, _ in enumerate(cases())]
        return {name: round(count / d, 1) for count, (name, _, d, _) in zip(counts, cases(), strict=True)}


def total(profile: Path) -> int:
    line = next(line for line in profile.read_text().splitlines() if line.startswith("summary:"))
    return int(line.split()[1])


def compare(table: dict[str, Any], counts: dict[str, float]) -> list[str]:
    """What exceeds its limit, in words."""
    limits = {name: table["instructions per coordinate"].get(name, 0.0) * MARGIN for name in counts}
    return [
        f"{name}: {counts[name]:,.1f} instructions per coordinate, limit {limit:,.1f}"
        for name, limit in limits.items()
        if counts[name] > limit
    ]


def reason_not_to() -> str | None:
    """Why nothing can be counted here."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if "native" not in kernels.available():
        return "the native core is missing"
    with ra.use_backend("native"):
        usable = kernels.active()._native.usable_isas()
    return None if ISA in usable else f"this processor does not run x86-64-{ISA}"


def main(write: bool) -> int:
    if reason := reason_not_to():
        print(f"Instructions are not counted: {reason}.")
        return 0
    with ra.use_backend("native"):
        compiler = kernels.active()._native.compiler
    counts = count()
    if write:
        TABLE.write_text(json.dumps({"compiler": compiler, "instructions per coordinate": counts}, indent=1) + "\n")
        return 0
    table = json.loads(TABLE.read_text())
    wrong = compare(table, counts)
    for message in wrong:
        print(message)
    print(f"{len(counts) - len(wrong)} of {len(counts)} within their limits; {compiler}, table of {table['compiler']}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table by what is counted now")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_cases()
    else:
        sys.exit(main(options.write))
