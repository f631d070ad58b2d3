"""The compiled kernels of the reputation rule: detection and what is made of it.

Each kernel works on the columns lo to hi, lo a multiple of 64, without the interpreter lock, and returns False
when it met a NaN or an infinity (and leaves nothing useful then).
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from robustagg.kernels.numba.lanes import LANES, exchange, jit, load_tile, new_groups, new_tile
from robustagg.kernels.numba.regression import CLIP, PAPER, SORTED, centre, clip, confidence_of, line, pull_extremes


@jit
def repeated_median(addresses, kind, lo, hi, intercept, networks, slope, start):
    n = len(addresses)
    tile = new_tile(n, hi - lo, slope)
    z, slopes, w = np.empty_like(tile[0]), np.empty_like(tile[0]), np.empty_like(tile[0])
    unit, beta, alpha = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    largest = np.finfo(slope.dtype).max
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            ranked = tile[(first - begin) // LANES]
            exchange(networks[SORTED], ranked, ranked)
            centre(ranked, z, unit)
            line(z, networks, intercept, slopes, w, beta, alpha)
            for k in range(min(LANES, stop - first)):
                origin = alpha[k] + ranked[(n - 1) // 2, k] * unit[k]
                slope[first + k] = max(-largest, min(beta[k] / unit[k], largest))
                start[first + k] = max(-largest, min(origin / unit[k], largest))
    return True


# --- detection ------------------------------------------------------------------------------------------------------


@jit
def detect(addresses, kind, lo, hi, model, threshold, networks, bounds, rejected, median, rejections):
    n = len(addresses)
    tile = new_tile(n, hi - lo, median)
    groups, lanes = new_groups(4, n, median), new_groups(1, 6, median)[0]
    bad = np.empty((n, LANES), np.uint8)
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            confidence_of(y, model, networks, bounds, groups, lanes)
            mark(y, groups[0], groups[2], threshold, bad)
            pack(bad, first // 8, rejected, rejections)
            for k in range(min(LANES, stop - first)):
                median[first + k] = lanes[0, k]
    return True


@jit
def mark(y, ranked, confidence, threshold, bad):
    """bad = 1 where the confidence of the value's rank is below the threshold."""
    bad[:] = 0
    for rank in range(len(y)):
        found = False
        for k in range(LANES):
            found |= confidence[rank, k] < threshold
        if found:
            for i in range(len(y)):
                for k in range(LANES):
                    bad[i, k] |= (y[i, k] == ranked[rank, k]) & (confidence[rank, k] < threshold)


@jit
def pack(bad, byte, rejected, rejections):
    """Write the bits of a group and count them, eight lanes at a time."""
    words = bad.view(np.uint64)
    for i in range(len(bad)):
        for b in range(min(LANES // 8, rejected.shape[1] - byte)):
            rejected[i, byte + b] = words[i, b] * np.uint64(0x0102040810204080) >> np.uint64(56)
            rejections[i] += words[i, b] * np.uint64(0x0101010101010101) >> np.uint64(56)


@jit
def confidence(addresses, kind, lo, hi, model, networks, bounds, out):
    n = len(addresses)
    tile = new_tile(n, hi - lo, out)
    groups, lanes = new_groups(4, n, out), new_groups(1, 6, out)[0]
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            confidence_of(y, model, networks, bounds, groups, lanes)
            for rank in range(n):
                for i in range(n):
                    for k in range(min(LANES, stop - first)):
                        if y[i, k] == groups[0, rank, k]:
                            out[i, first + k] = groups[2, rank, k]
    return True


# --- what detection leaves ------------------------------------------------------------------------------------------


@jit
def rectify_group(y, first, rejected, median, rescale, value_range, lanes):
    """Rescale y, whose first column is `first`, and replace what was rejected by the median."""
    lanes[0] = 0
    for k in range(min(LANES, len(median) - first)):
        lanes[0, k] = median[first + k]
    if rescale == PAPER:
        pull_extremes(y, value_range, lanes[1:])
    elif rescale == CLIP:
        clip(y, value_range, lanes[0], lanes[1], lanes[2])
    for i in range(len(y)):
        for b in range(min(LANES // 8, rejected.shape[1] - first // 8)):
            bits = rejected[i, first // 8 + b]
            if bits:
                for k in range(8):
                    if bits >> k & 1:
                        y[i, 8 * b + k] = lanes[0, 8 * b + k]


@jit
def rectify(addresses, kind, lo, hi, rejected, median, rescale, value_range, out):
    tile = new_tile(len(addresses), hi - lo, out)
    lanes = np.empty((6, LANES), out.dtype)
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            rectify_group(y, first, rejected, median, rescale, value_range, lanes)
            for i in range(len(y)):
                out[i, first : min(first + LANES, stop)] = y[i, : stop - first]
    return True


@jit
def deviations(addresses, kind, lo, hi, rejected, median, rescale, value_range, unit, limit, out):
    """Of each group: the sums of squares, and the largest, of what rectification leaves less the median."""
    n = len(addresses)
    tile = new_tile(n, hi - lo, median)
    lanes, squares, largest = np.empty((6, LANES), median.dtype), np.empty(LANES), np.empty(LANES)
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            rectify_group(y, first, rejected, median, rescale, value_range, lanes)
            for i in range(n):
                own = unit[i]
                for k in range(LANES):
                    away = max(-limit, min(y[i, k] * own - lanes[0, k] * own, limit))
                    squares[k] = away * away
                    largest[k] = abs(y[i, k] - lanes[0, k])
                for half in (32, 16, 8, 4, 2, 1):  # of the lanes; one sum after the other would be no vector's work
                    for k in range(half):
                        squares[k] += squares[half + k]
                        largest[k] = max(largest[k], largest[half + k])
                out[first // LANES, 0, i] = squares[0]
                out[first // LANES, 1, i] = largest[0]
    return True


@jit
def rectified_mean(addresses, kind, lo, hi, rejected, median, weights, rescale, value_range, out):
    tile = new_tile(len(addresses), hi - lo, median)
    lanes, total = np.empty((6, LANES), median.dtype), np.empty(LANES)
    largest = np.finfo(median.dtype).max
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            rectify_group(y, first, rejected, median, rescale, value_range, lanes)
            total[:] = 0
            for i in range(len(y)):
                weight = weights[i]
                for k in range(LANES):
                    total[k] += weight * y[i, k]
            for k in range(min(LANES, stop - first)):
                out[first + k] = max(-largest, min(total[k], largest))
    return True
