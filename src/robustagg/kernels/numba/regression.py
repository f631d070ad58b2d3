"""Part A of the reputation rule on one group of columns: rescale, repeated-median line, confidence.

Arrays named y, z, w, ranked, slopes and result are groups (n, LANES); the others hold a value per lane, of any dtype.
"""

# mypy: disable-error-code="call-arg, no-untyped-def"
from __future__ import annotations

import numpy as np

from robustagg.kernels.numba.lanes import HALF, HUGE, LANES, SHRINK, TINY, call, halfway, jit, median_of

NO_RESCALE, PAPER, CLIP = range(3)
SEPARATE, HIERARCHICAL, MEDIAN_POINT = range(3)
SLOPES, MIDDLE, SORTED = range(3)  # networks: medians of n - 1 slopes, the middle of n values, all n values in order


# --- A.1: rescale ---------------------------------------------------------------------------------------------------


@jit
def extremes(y, low, high):
    low[:] = y[0]
    high[:] = y[0]
    for i in range(1, len(y)):
        for k in range(LANES):
            low[k] = y[i, k] if y[i, k] < low[k] else low[k]
            high[k] = y[i, k] if y[i, k] > high[k] else high[k]


@jit
def pull_extremes(y, value_range, work):
    """Where a column spans more than the range, move its maxima down and its minima up by the standard deviation."""
    low, high, scale, mean, sigma = work[0], work[1], work[2], work[3], work[4]
    extremes(y, low, high)
    any_wide = False
    for k in range(LANES):
        half = high[k] * HALF - low[k] * HALF
        any_wide |= half > value_range / 2
        scale[k] = HALF / half
    if not any_wide:
        return
    standard_deviation(y, low, scale, mean, sigma)
    for k in range(LANES):
        if not high[k] * HALF - low[k] * HALF > value_range / 2:
            low[k], high[k] = -np.inf, np.inf  # equal to no value
    for i in range(len(y)):
        for k in range(LANES):
            moved = high[k] - sigma[k] if y[i, k] == high[k] else y[i, k]
            y[i, k] = low[k] + sigma[k] if y[i, k] == low[k] else moved


@jit
def standard_deviation(y, low, scale, mean, sigma):
    """In units of the columns' ranges, 1 / scale, so that no square overflows or is lost."""
    n, one = y.dtype.type(len(y)), y.dtype.type(1)
    mean[:] = 0
    sigma[:] = 0
    for i in range(len(y)):
        for k in range(LANES):
            mean[k] += y[i, k] * scale[k] - low[k] * scale[k]
    for k in range(LANES):
        mean[k] *= one / n
    for i in range(len(y)):
        for k in range(LANES):
            difference = y[i, k] * scale[k] - low[k] * scale[k] - mean[k]
            sigma[k] += difference * difference
    for k in range(LANES):
        sigma[k] = np.sqrt(sigma[k] / n) / scale[k]


@jit
def clip(y, value_range, middle, low, high):
    """Where a column spans more than the range, clip it to half the range on either side of its median."""
    extremes(y, low, high)
    for k in range(LANES):
        if high[k] / 2 - low[k] / 2 > value_range / 2:
            low[k], high[k] = middle[k] - value_range / 2, middle[k] + value_range / 2
    for i in range(len(y)):
        for k in range(LANES):
            y[i, k] = max(low[k], min(y[i, k], high[k]))


# --- A.3: the repeated-median line ----------------------------------------------------------------------------------


@jit
def centre(ranked, z, unit):
    """z = (ranked - lower middle) * unit, the unit a power of two that keeps squares and differences finite."""
    n, single = len(ranked), int(ranked.itemsize == 4)
    for k in range(LANES):
        unit[k] = SHRINK[single] if max(-ranked[0, k], ranked[n - 1, k]) > HUGE[single] else 1.0
    for i in range(n):
        for k in range(LANES):
            value = ranked[i, k] * unit[k] - ranked[(n - 1) // 2, k] * unit[k]
            z[i, k] = value if abs(value) >= TINY[single] else 0


@jit
def line(z, networks, intercept, slopes, w, slope, start):
    """Siegel's line through the sorted columns of z, eqs. 1 to 3, into slope and start (LANES,)."""
    n = len(z)
    slopes[0] = 0
    code = networks[SLOPES][1]
    if code:
        call(code, z.ctypes.data, slopes.ctypes.data)
    else:
        for i in range(n if n > 1 else 0):
            for j in range(n - 1):
                other = j + (j >= i)
                step = z.dtype.type(1 / (other - i))
                for k in range(LANES):
                    w[j, k] = (z[other, k] - z[i, k]) * step
            median_of(networks[SLOPES], w, n - 1, w, slopes[i])
    median_of(networks[MIDDLE], slopes, n, w, slope)
    if intercept == MEDIAN_POINT:
        for k in range(LANES):
            start[k] = halfway(z[(n - 1) // 2, k], z[n // 2, k]) - slope[k] * ((n - 1) / 2)
        return
    for i in range(n):
        rank = z.dtype.type(i)
        for k in range(LANES):
            w[i, k] = z[i, k] - rank * (slopes[i, k] if intercept == SEPARATE else slope[k])
    median_of(networks[MIDDLE], w, n, w, start)


# --- A.4 to A.7: residuals and confidence ---------------------------------------------------------------------------


@jit
def confidence_of_ranks(ranked, z, networks, bounds, scale_floor, slope, start, result, w):
    """Confidence of each rank into result; slope and start describe the line, and start is used up."""
    n, one = len(z), z.dtype.type(1)
    for i in range(n):
        rank = z.dtype.type(i)
        for k in range(LANES):
            result[i, k] = abs(z[i, k] - start[k] - slope[k] * rank)
    tau = start
    median_of(networks[MIDDLE], result, n, w, tau)
    for k in range(LANES):
        tau[k] = 1.4826 * (1 + 5 / (n - 1)) * tau[k] + scale_floor[k]
    for i in range(n):
        bound = z.dtype.type(bounds[i])
        for k in range(LANES):
            ratio = bound * tau[k] / result[i, k]
            result[i, k] = ratio if ratio < one else one  # also 0 / 0
    share_ties(ranked, result)


@jit
def share_ties(ranked, result):
    """Equal values share the highest confidence of their ranks."""
    n, ties = len(ranked), False
    for i in range(1, n):
        for k in range(LANES):
            ties |= ranked[i, k] == ranked[i - 1, k]
    if ties:
        for i in range(1, n):
            share(ranked, result, i, i - 1)
        for i in range(n - 2, -1, -1):
            share(ranked, result, i, i + 1)


@jit
def share(ranked, result, i, j):
    for k in range(LANES):
        better = result[i, k] if result[i, k] > result[j, k] else result[j, k]
        result[i, k] = better if ranked[i, k] == ranked[j, k] else result[i, k]


@jit
def confidence_of(y, model, networks, bounds, groups, lanes):
    """Rescale y in place and judge it.

    Leaves the sorted columns in groups[0], the confidences of their ranks in groups[2], the medians in lanes[0].
    """
    rescale, value_range, intercept, scale_floor = model
    ranked, z, result, w = groups[0], groups[1], groups[2], groups[3]
    middle, unit, slope, start = lanes[0], lanes[1], lanes[2], lanes[3]
    if rescale == PAPER:
        pull_extremes(y, value_range, lanes[1:])
    median_of(networks[SORTED], y, len(y), ranked, middle)
    if rescale == CLIP:
        clip(y, value_range, middle, lanes[1], lanes[2])
        clip(ranked, value_range, middle, lanes[1], lanes[2])
    centre(ranked, z, unit)
    line(z, networks, intercept, result, w, slope, start)
    for k in range(LANES):
        unit[k] *= scale_floor
    confidence_of_ranks(ranked, z, networks, bounds, unit, slope, start, result, w)
