"""How a memory budget is spent."""

from __future__ import annotations

import re
from dataclasses import dataclass

from robustagg import errors, kernels
from robustagg.kernels.interface import GRAM_TILE

UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
UNITS |= {f"{unit}I": 2 ** (10 * power) for power, unit in enumerate("KMGT", 1)}

ROWS = 2**24  # bytes of a block's rows beyond which a wider block is no faster
HEADERS = 64  # a file's header may take this part of the budget: parsed, it takes up to 30 times its bytes
RESULT = 64  # bytes per coordinate: the piece of the result, its copy in the tensor's dtype, medians on their way


@dataclass(frozen=True)
class Budget:
    """What may be held at a time."""

    width: int
    """Coordinates that are read at a time: a multiple of GRAM_TILE."""
    notes: int
    """Bytes of notes; what goes beyond is kept on disk."""
    turning: int
    """Bytes of a tensor that are brought into another order at a time."""


def parse(size: int | str) -> int:
    """Bytes of a size like 536870912, "512 MiB" or "2GB"."""
    if isinstance(size, str):
        found = re.fullmatch(r"\s*(\d{1,19}(?:\.\d{1,19})?)\s*([KMGT]?I?)B?\s*", size, re.IGNORECASE | re.ASCII)
        if found is None or found[2].upper() not in UNITS:
            raise errors.bad_memory(size)
        size = int(float(found[1]) * UNITS[found[2].upper()])
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**63:
        raise errors.bad_memory(size)
    return size


def header_limit(memory: int) -> int:
    """Bytes that one file's header may have."""
    return max(memory // HEADERS, 2**14)


def divide(memory: int, rows: int, further: int, itemsize: int, fixed: int) -> Budget:
    """Divide a budget between blocks of some rows, and notes, after what is needed anyway.

    Parameters
    ----------
    memory : int
        The budget in bytes.
    rows, further, itemsize : int
        Rows of a block, further rows that the rule holds beside them, and bytes of the widest value.
    fixed : int
        Bytes needed whatever the width.
    """
    per_value = itemsize + kernels.active().SCRATCH + 1  # 1: two notes of a bit each, and some room
    per_further = max(itemsize, 4) + kernels.active().SCRATCH
    per_coordinate = rows * per_value + further * per_further + RESULT
    least = fixed + GRAM_TILE * per_coordinate
    if memory < least:
        raise errors.too_little_memory(memory, least, rows)
    width = min((memory - fixed) // 2 // per_coordinate, ROWS // (rows * itemsize))
    width = max(width // GRAM_TILE, 1) * GRAM_TILE
    notes = (memory - fixed - width * per_coordinate) * 7 // 8  # the rest is for what allocators do not give back
    return Budget(width, notes, header_limit(memory))
