"""The compiled kernels of residual-based re-weighting: confidences and the line's values, per group of columns.

Arrays named y, ranked, z, confidence, place and w are groups (n, LANES); the others hold a float64 per lane.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from robustagg.kernels.interface import RESIDUAL_UNIT
from robustagg.kernels.numba.lanes import LANES, exchange, halfway, jit, load_tile, new_groups, new_tile
from robustagg.kernels.numba.regression import SORTED, centre, line, share_ties


@jit
def judge(y, model, networks, bounds, groups, lanes):
    """Leaves the sorted columns in groups[0], confidences of the ranks in groups[2], the line's values in groups[1]."""
    intercept, scale_floor, leave_smallest = model
    ranked, z, confidence, w = groups[0], groups[1], groups[2], groups[3]
    unit, slope, start = lanes[0], lanes[1], lanes[2]
    n = len(y)
    exchange(networks[SORTED], y, ranked)
    centre(ranked, z, unit)
    line(z, networks, intercept, confidence, w, slope, start)
    for i in range(n):
        for k in range(LANES):
            confidence[i, k] = abs(z[i, k] - start[k] - slope[k] * i)
    exchange(networks[SORTED], confidence, w)
    low, high = (n - 1 + leave_smallest) // 2, (n + leave_smallest) // 2  # the middle of all, or of all but the first
    for k in range(LANES):
        tau = 1.4826 * (1 + 5 / (n - 1)) * halfway(w[low, k], w[high, k]) + scale_floor * unit[k]
        for i in range(n):
            bound = bounds[i] * tau
            confidence[i, k] = bound / confidence[i, k] if confidence[i, k] > bound else 1.0
    share_ties(ranked, confidence)
    fit(ranked, unit, slope, start, z)


@jit
def fit(ranked, unit, slope, start, fitted):
    """The line's value at each rank; equal values have that at the middle of their ranks."""
    n, largest = len(ranked), np.finfo(ranked.dtype).max
    for k in range(LANES):
        origin = start[k] + ranked[(n - 1) // 2, k] * unit[k]
        first = 0
        for i in range(1, n + 1):
            if i == n or ranked[i, k] != ranked[first, k]:
                value = (origin + slope[k] * ((first + i - 1) / 2)) / unit[k]
                for j in range(first, i):
                    fitted[j, k] = max(-largest, min(value, largest))
                first = i


@jit
def residual_weights(addresses, kind, lo, hi, model, networks, bounds, like, total):
    n = len(addresses)
    tile = new_tile(n, hi - lo, like)
    groups, lanes = new_groups(4, n, like), np.empty((3, LANES))
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            judge(y, model, networks, bounds, groups, lanes)
            deviations(groups[2], lanes[0], lanes[1])
            for rank in range(n):
                for i in range(n):
                    for k in range(LANES):  # of equal values the last one counts, and they are all the same
                        if y[i, k] == groups[0, rank, k]:
                            groups[1, i, k] = groups[2, rank, k]
            for i in range(n):
                for k in range(LANES):
                    total[i] += np.int64(np.rint(groups[1, i, k] * lanes[1, k] / RESIDUAL_UNIT))
    return True


@jit
def deviations(confidence, mean, deviation):
    """The sample standard deviation of each column; exactly 0 where all values are equal."""
    n = len(confidence)
    mean[:] = 0
    deviation[:] = 0
    for i in range(n):
        for k in range(LANES):
            mean[k] += (confidence[i, k] - confidence[0, k]) / n
    for i in range(n):
        for k in range(LANES):
            difference = confidence[i, k] - confidence[0, k] - mean[k]
            deviation[k] += difference * difference / (n - 1)
    for k in range(LANES):
        deviation[k] = np.sqrt(deviation[k])


@jit
def residual_mean(addresses, kind, lo, hi, weights, model, threshold, networks, bounds, out):
    n = len(addresses)
    tile = new_tile(n, hi - lo, out)
    groups, lanes = new_groups(4, n, out), np.empty((3, LANES))
    total, largest = np.empty(LANES), np.finfo(out.dtype).max
    for begin in range(lo, hi, tile.shape[0] * LANES):
        stop = min(begin + tile.shape[0] * LANES, hi)
        if not load_tile(addresses, kind, begin, stop, tile):
            return False
        for first in range(begin, stop, LANES):
            y = tile[(first - begin) // LANES]
            judge(y, model, networks, bounds, groups, lanes)
            groups[3] = y
            for rank in range(n):
                for i in range(n):
                    for k in range(LANES):
                        rejected = y[i, k] == groups[0, rank, k] and groups[2, rank, k] < threshold
                        groups[3, i, k] = groups[1, rank, k] if rejected else groups[3, i, k]
            total[:] = 0
            for i in range(n):
                for k in range(LANES):
                    total[k] += weights[i] * groups[3, i, k]
            for k in range(min(LANES, stop - first)):
                out[first + k] = max(-largest, min(total[k], largest))
    return True
