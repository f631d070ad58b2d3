"""What Suspicion sees of one round: how rows lie to their median, and where their largest differences from it agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Rows
from robustagg.protocol import Floats
from robustagg.rules.evidence.gram import Related
from robustagg.rules.evidence.magnitudes import CHUNK, Search

LARGEST = 0.02  # of the coordinates of a client, whose signs are compared
LEADING = 3  # binary digits of a magnitude, beside its exponent, that are looked at: one reading finds the largest
EXPONENT = {2: 8, 4: 8, 8: 11}  # bits, of what numbers of so many bytes are computed in


def apart(rows: Rows, dtype: np.dtype[Any]) -> Iterator[Rows]:
    """The rows less the last one, a part of the columns after the other, of a model that `dtype` holds."""
    kernel, d = kernels.active(), rows[0].size
    step = max(CHUNK // len(rows), 1)
    for start in range(0, max(d, 1), step):
        parts = kernel.split(kernel.differences(kernel.window(rows, start, start + step)))
        yield [kernel.widen(part, dtype) for part in parts]  # keys of magnitudes are compared within one dtype only


def plan_of(itemsize: int) -> tuple[tuple[int, int]]:
    """Which bits of a magnitude's key a reading counts: the exponent and what leads."""
    bits = EXPONENT[itemsize] + LEADING
    return ((31 - bits, bits),)


@dataclass(frozen=True)
class Seen:
    """Evidence of the first reading."""

    related: Related
    """Of the n rows and, last, their median, to the median."""
    outermost: NDArray[np.int64]
    """(n,)."""
    counts: NDArray[np.int64]
    """(n, 2, 2**bits) of the magnitudes of the rows less the median."""

    @classmethod
    def of(cls, rows: Rows, dtype: np.dtype[Any]) -> Seen:
        """That of one block of a model that `dtype` holds. O(nd)."""
        kernel, n = kernels.active(), len(rows)
        both = [*rows, kernel.median(rows)]
        search = Search.of(n, 0, plan_of(dtype.itemsize))
        parts = apart(both, dtype)
        counts = (search.counts(part, np.zeros(part[0].size, np.int8), dtype) for part in parts)  # of any sign
        return cls(Related.of(both, n), kernel.outermost(rows), reduce(add, counts))

    def __add__(self, other: Seen) -> Seen:
        return Seen(self.related + other.related, self.outermost + other.outermost, self.counts + other.counts)

    def without_counts(self) -> Seen:
        """The same for those who need no counts any more: these are most of it."""
        return replace(self, counts=self.counts[:, :, :0])

    def least_keys(self, d: int) -> NDArray[np.int64]:
        """(n,) the least key of a magnitude whose sign is compared."""
        n, _, places = self.counts.shape
        bits = places.bit_length() - 1
        k = max(int(LARGEST * d + 1e-9), 1)
        found = Search.of(n, k, ((31 - bits, bits),)).refined(self.counts)
        keys: NDArray[np.int64] = found.prefixes << 31 - bits
        return keys


@dataclass(frozen=True)
class Agreeing:
    """Evidence of the second reading, and that of the first."""

    seen: Seen
    agreements: NDArray[np.int64]
    """(n, n)."""

    @classmethod
    def of(cls, rows: Rows, dtype: np.dtype[Any], seen: Seen, keys: NDArray[np.int64]) -> Agreeing:
        """That of one block of a model that `dtype` holds.

        O(nd), and a step for every two large differences in a coordinate.
        """
        kernel = kernels.active()
        parts = apart([*rows, kernel.median(rows)], dtype)
        return cls(seen, reduce(add, (kernel.agreements(part, keys) for part in parts)))

    def __add__(self, other: Agreeing) -> Agreeing:
        return Agreeing(self.seen, self.agreements + other.agreements)

    def likeness(self) -> Floats:
        """(n, n) cosines of the signs of the largest differences; 0 for a row that has none, and beside itself."""
        norms = np.sqrt(np.diagonal(self.agreements))
        lengths = norms[:, None] * norms
        cosine = np.divide(self.agreements, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        np.fill_diagonal(cosine, 0)
        return np.asarray(cosine)
