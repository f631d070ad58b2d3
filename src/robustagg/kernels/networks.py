"""Comparator networks: the same exchanges whatever the values, so that many columns are sorted side by side.

The pairwise sorting network (I. Parberry, "The pairwise sorting network", 1992), O(n log^2 n) comparators, less those,
and halves of those, that no wanted output depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Network = NDArray[np.uint32]  # (m, 3): the smaller value goes to the first row of each pair; what is wanted of it
BOTH, SMALLER, LARGER = range(3)

MEDIAN_OF_NINE = (
    ((1, 2), (4, 5), (7, 8)), ((0, 1), (3, 4), (6, 7)), ((1, 2), (4, 5), (7, 8)),
    ((0, 3), (5, 8), (4, 7)), ((3, 6), (1, 4), (2, 5)), ((4, 7),), ((4, 2),), ((6, 4),), ((4, 2),),
)  # fmt: skip
"""30 minima and maxima instead of 34: J. L. Smith, "Implementing median filters in XC4000E FPGAs", 1996."""


def layers(n: int) -> Iterator[NDArray[np.uint32]]:
    """The network for n inputs, in layers of disjoint pairs."""
    i = np.arange(n, dtype=np.uint32)
    strides = [np.uint32(1 << k) for k in range(max(n - 1, 0).bit_length())]
    for stride in strides:
        first = i[: max(n - int(stride), 0)]
        first = first[first & stride == 0]
        yield np.column_stack([first, first + stride])
    for stride in reversed(strides):
        for top in (q for q in reversed(strides) if q > stride):
            first = i[: max(n - int(top - stride), 0)]
            first = first[first & stride != 0]
            yield np.column_stack([first, first + (top - stride)])


@lru_cache(maxsize=64)
def sorting(n: int, low: int = 0, high: int | None = None) -> Network:
    """The network that puts the values of ranks low to high - 1 of n (default: all) in their places.

    It may be that of n + 1 whose first input is thought lower than all others: that pairs them differently.
    """
    wanted = low, n if high is None else high
    found = [_pruned(layers(n + absent), absent, n, *wanted) for absent in (0, 1)]
    if (n, *wanted) == (9, 4, 5):
        found.append(_pruned([np.array(layer, np.uint32) for layer in MEDIAN_OF_NINE], 0, n, *wanted))
    return min(found, key=_operations)


def _pruned(exchanges: Iterable[NDArray[np.uint32]], absent: int, n: int, low: int, high: int) -> Network:
    wanted = np.zeros(n, bool)
    wanted[low:high] = True
    kept = [np.empty((0, 3), np.uint32)]
    for pairs in reversed(list(exchanges)):
        pairs = pairs[pairs[:, 0] >= absent] - np.uint32(absent)
        pairs = pairs[wanted[pairs].any(axis=1)]
        first, second = wanted[pairs].T
        what = np.where(first & second, BOTH, np.where(first, SMALLER, LARGER))
        wanted[pairs] = True
        kept.append(np.column_stack([pairs, what]).astype(np.uint32))
    return np.concatenate(kept[::-1])


def _operations(network: Network) -> int:
    """Minima and maxima that a network takes."""
    return len(network) + int(np.count_nonzero(network[:, 2] == BOTH))


def middle(n: int) -> Network:
    """The network that puts the two middle values (one, if n is odd) in their places."""
    return sorting(n, (n - 1) // 2, n // 2 + 1)
