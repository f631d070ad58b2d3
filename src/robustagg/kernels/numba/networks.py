"""Comparator networks: the same exchanges whatever the values, so that many columns are sorted side by side.

Batcher's merge exchange (Knuth, The Art of Computer Programming, vol. 3, algorithm 5.2.2 M), O(n log^2 n) comparators,
less those that no wanted output depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Network = NDArray[np.uint32]  # (m, 2): the smaller value goes to the first row of each pair


def layers(n: int) -> Iterator[NDArray[np.uint32]]:
    """Batcher's network for n inputs, in layers of disjoint pairs."""
    top = 1 << max(n - 1, 0).bit_length() >> 1
    p = top
    while p:
        q, offset, distance = top, 0, p
        while True:
            first = np.arange(n - distance, dtype=np.uint32)
            first = first[first & p == offset]
            yield np.column_stack([first, first + np.uint32(distance)])
            if q == p:
                break
            distance, q, offset = q - p, q >> 1, p
        p >>= 1


@lru_cache(maxsize=64)
def sorting(n: int, low: int = 0, high: int | None = None) -> Network:
    """The network that puts the values of ranks low to high - 1 of n (default: all) in their places."""
    wanted = np.zeros(n, bool)
    wanted[low:high] = True
    kept = [np.empty((0, 2), np.uint32)]
    for pairs in reversed(list(layers(n))):
        pairs = pairs[wanted[pairs].any(axis=1)]
        wanted[pairs] = True
        kept.append(pairs)
    return np.concatenate(kept[::-1])


def middle(n: int) -> Network:
    """The network that puts the two middle values (one, if n is odd) in their places."""
    return sorting(n, (n - 1) // 2, n // 2 + 1)
