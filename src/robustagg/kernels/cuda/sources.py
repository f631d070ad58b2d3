"""The bodies of csrc/cuda as a text for a compiler: for one kind of rows, and one number of clients if they are few.

No compiler looks for files: whoever caches what it made of a text need look at nothing else.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from robustagg.kernels import networks

KINDS = {np.dtype(name): kind for kind, name in enumerate(("float32", "float64", "float16", "uint16"))}
FEW = {0: 224, 1: 112, 2: 224, 3: 224}
"""By kind, the most clients whose columns stay in registers, of which a thread has 255: each number is compiled."""
LINES = {"confidence", "repeated_median", "residual_mean", "residual_weights"}
"""Bodies that keep a few columns, and are not worth half a minute of compiling: they have half of that."""

FEWEST, SEARCHED = 16, 80
"""The most clients whose slopes are unrolled, and from how many on median slopes are searched: networks take longer."""
KEPT = 32
"""Slopes that a search brings in order."""
COLUMN_THREADS = 128
"""The threads of a block, or most of them, of which each has columns of its own."""

COUNTS = {"majority", "outermost", "sign_counts", "magnitude_counts", "agreements"}
ANY_NUMBER = {"finite", "differences", "weighted_mean", "extremes", "digits", "gram", "measure", "manhattan", *COUNTS}
"""Bodies that keep no column."""

INCLUDE = re.compile(r'^#include "cuda/(\w+\.cuh)"$', re.MULTILINE)


@cache
def folder() -> Path:
    """Where the bodies lie: in the package, or, where it is worked on, in the repository."""
    here = Path(__file__).parent
    return here if (here / "base.cuh").exists() else Path(__file__).parents[4] / "csrc" / "cuda"


def clients_of(body: str, kind: int, n: int) -> tuple[str, int]:
    """The define that says for how many clients a body is compiled, and its value."""
    if body in ANY_NUMBER:
        return "RA_MANY", 1
    return ("RA_FEW", n) if n <= FEW[kind] // (1 + (body in LINES)) else ("RA_MANY", 1 << (n - 1).bit_length())


def text(body: str, dtype: np.dtype[np.generic], n: int) -> str:
    """The text that is compiled for n rows of a dtype; the same for all numbers that share one."""
    kind = KINDS[dtype]
    return _text(body, kind, *clients_of(body, kind, n))


@lru_cache(maxsize=256)
def _text(body: str, kind: int, name: str, count: int) -> str:
    found = {"RA_SORTING": networks.sorting(count), "RA_MIDDLE": networks.middle(count)} if name == "RA_FEW" else {}
    found |= _of_slopes(name, count)
    told = {"RA_KIND": kind, name: count, "RA_KEPT": KEPT, "RA_THREADS": COLUMN_THREADS}
    lines = [f"#define {macro} {value}" for macro, value in told.items()]
    lines += [f"#define {macro}(X) {_exchanges(network)}" for macro, network in found.items()]
    return "\n".join([*lines, _included(f"{body}.cu", set())])


def _of_slopes(name: str, count: int) -> dict[str, networks.Network]:
    """The network by which slopes.cuh finds the median of a client's slopes."""
    if name == "RA_MANY" or count >= SEARCHED:
        return {"RA_SORTING_KEPT": networks.sorting(KEPT)}
    if count > FEWEST:
        return {"RA_MIDDLE_AFTER_LEAST": networks.sorting(count, count // 2, (count + 1) // 2 + 1)}
    return {"RA_MIDDLE_OF_OTHERS": networks.middle(max(count - 1, 1))}


def _exchanges(network: networks.Network) -> str:
    return " ".join(f"X({low}, {high})" for low, high, _ in network.tolist())


def _included(name: str, seen: set[str]) -> str:
    """A file with what it includes in its place, each once."""
    if name in seen:
        return ""
    seen.add(name)
    own = (folder() / name).read_text("utf-8").replace("#pragma once\n", "")
    return INCLUDE.sub(lambda found: _included(found[1], seen), own)
