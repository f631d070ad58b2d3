"""The compiled kernels of the plain rules: means, order statistics and what lies between.

Each kernel works on the columns lo to hi, lo a multiple of 64, without the interpreter lock, and returns False
when it met a NaN or an infinity (and leaves nothing useful then).
Sums are float64.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from robustagg.kernels.numba.lanes import HUGE, LANES, SHRINK, exchange, halfway, jit, load, load_tile, new_tile


@jit
def finite(addresses, kind, lo, hi, like, flags):
    buffer = np.empty(1024, like.dtype)
    for i in range(len(addresses)):
        for start in range(lo, hi, len(buffer)):
            if not load(addresses[i], kind, start, min(start + len(buffer), hi), buffer):
                flags[i] = False
                break
    return True


@jit
def units(y, unit):
    """A power of two per lane that keeps sums of the column finite: 1 but for huge float64 columns."""
    unit[:] = 1
    if y.itemsize == 8:
        for i in range(len(y)):
            for k in range(LANES):
                unit[k] = SHRINK[0] if abs(y[i, k]) > HUGE[0] else unit[k]


@jit
def mix(addresses, kind, lo, hi, matrix, out):
    """out (m, d) = matrix (m, n) times the rows, summed in client order."""
    tile = new_tile(len(addresses), hi - lo, out)
    total, unit = np.empty(LANES), np.empty(LANES)
    largest = np.finfo(out.dtype).max
    for start in range(lo, hi, tile.shape[0] * LANES):
        stop = min(start + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, start, stop, tile):
            return False
        for first in range(start, stop, LANES):
            y = tile[(first - start) // LANES]
            units(y, unit)
            for result in range(len(matrix)):
                total[:] = 0
                for i in range(len(y)):
                    weight = matrix[result, i]
                    for k in range(LANES):
                        total[k] += weight * (y[i, k] * unit[k])
                for k in range(min(LANES, stop - first)):
                    out[result, first + k] = max(-largest, min(total[k] / unit[k], largest))
    return True


@jit
def mean_of_ranks(addresses, kind, lo, hi, network, low, high, out):
    """Mean of the ranks low to high - 1, which the network puts in their places."""
    tile = new_tile(len(addresses), hi - lo, out)
    total, unit = np.empty(LANES), np.empty(LANES)
    for start in range(lo, hi, tile.shape[0] * LANES):
        stop = min(start + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, start, stop, tile):
            return False
        for first in range(start, stop, LANES):
            w = tile[(first - start) // LANES]
            exchange(network, w, w)
            units(w[low:high], unit)
            total[:] = 0
            for i in range(low, high):
                for k in range(LANES):
                    total[k] += w[i, k] * unit[k]
            for k in range(min(LANES, stop - first)):
                mean = total[k] / (high - low) / unit[k]
                out[first + k] = max(w[low, k], min(w[high - 1, k], mean))
    return True


@jit
def mean_around_median(addresses, kind, lo, hi, network, count, out):
    """Mean of the `count` values nearest the median; the network sorts."""
    tile = new_tile(len(addresses), hi - lo, out)
    unit = np.empty(LANES)
    for start in range(lo, hi, tile.shape[0] * LANES):
        stop = min(start + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, start, stop, tile):
            return False
        for first in range(start, stop, LANES):
            w = tile[(first - start) // LANES]
            exchange(network, w, w)
            units(w, unit)
            for k in range(min(LANES, stop - first)):
                out[first + k] = mean_of_nearest(w[:, k], unit[k], count)
    return True


@jit
def mean_of_nearest(ranked, unit, count):
    low, high = 0, len(ranked) - 1
    middle = halfway(ranked[high // 2] * unit, ranked[(high + 1) // 2] * unit)
    while high - low >= count:  # the farther end goes; of two equally far, the larger
        if middle - ranked[low] * unit > ranked[high] * unit - middle:
            low += 1
        else:
            high -= 1
    total = 0.0
    for i in range(low, high + 1):
        total += ranked[i] * unit
    return max(ranked[low], min(ranked[high], total / count / unit))


@jit
def weighted_median(addresses, kind, lo, hi, network, weights, half, out):
    """The value at which the weights of the sorted column reach half of all; the network sorts."""
    n = len(addresses)
    tile = new_tile(n, hi - lo, out)
    carried, reached = np.empty((n, LANES)), np.empty(LANES)
    low, high = np.empty(LANES, out.dtype), np.empty(LANES, out.dtype)
    for start in range(lo, hi, tile.shape[0] * LANES):
        stop = min(start + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, start, stop, tile):
            return False
        for first in range(start, stop, LANES):
            w = tile[(first - start) // LANES]
            for i in range(n):
                carried[i] = weights[i]
            exchange_pairs(network, w, carried)
            reached[:] = 0
            for i in range(n):
                for k in range(LANES):
                    votes = carried[i, k] > 0
                    low[k] = w[i, k] if votes and reached[k] < half else low[k]
                    high[k] = w[i, k] if votes and reached[k] <= half else high[k]
                    reached[k] += carried[i, k]
            for k in range(min(LANES, stop - first)):
                out[first + k] = halfway(low[k], high[k])
    return True


@jit
def exchange_pairs(network, w, carried):
    """Run a comparator network over the rows of w; the rows of `carried` follow."""
    comparators, _ = network
    for c in range(len(comparators)):
        low, high = comparators[c, 0], comparators[c, 1]
        for k in range(LANES):
            a, b, p, q = w[low, k], w[high, k], carried[low, k], carried[high, k]
            less = a < b
            w[low, k], w[high, k] = (a, b) if less else (b, a)
            carried[low, k], carried[high, k] = (p, q) if less else (q, p)
