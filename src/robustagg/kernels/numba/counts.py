"""The compiled kernels that look at one row after the other: extremes, and counts of signs and magnitudes.

Each kernel works on the columns lo to hi, without the interpreter lock, and returns False when it met a NaN or an
infinity (and leaves nothing useful then).
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from robustagg.kernels.numba.lanes import LANES, jit, load

PIECE = 1024  # columns at a time


@jit
def extremes(addresses, kind, lo, hi, greatest, least):
    values = np.empty(PIECE, greatest.dtype)
    for start in range(lo, hi, PIECE):
        stop = min(start + PIECE, hi)
        high, low = greatest[start:stop], least[start:stop]
        for i in range(len(addresses)):
            if not load(addresses[i], kind, start, stop, values):
                return False
            for k in range(stop - start):
                high[k] = values[k] if i == 0 or values[k] > high[k] else high[k]
                low[k] = values[k] if i == 0 or values[k] < low[k] else low[k]
    return True


@jit
def majority(addresses, kind, lo, hi, like, least, signs):
    values = np.empty(PIECE, like.dtype)
    sums = np.empty(PIECE, np.int32)
    for start in range(lo, hi, PIECE):
        stop = min(start + PIECE, hi)
        sums[:] = 0
        for i in range(len(addresses)):
            if not load(addresses[i], kind, start, stop, values):
                return False
            for k in range(stop - start):
                sums[k] += np.int32(values[k] > 0) - np.int32(values[k] < 0)
        for k in range(stop - start):
            signs[start + k] = np.int8(sums[k] >= least) - np.int8(sums[k] <= -least)
    return True


@jit
def sign_counts(addresses, kind, lo, hi, like, counts):
    values = np.empty(PIECE, like.dtype)
    for i in range(len(addresses)):
        for start in range(lo, hi, PIECE):
            if not load(addresses[i], kind, start, min(start + PIECE, hi), values):
                return False
            for k in range(PIECE):
                counts[i, 0] += values[k] > 0
                counts[i, 1] += values[k] < 0
    return True


@jit
def outermost(addresses, kind, lo, hi, like, counts):
    values, high, low = np.empty(PIECE, like.dtype), np.empty(PIECE, like.dtype), np.empty(PIECE, like.dtype)
    for start in range(lo, hi, PIECE):
        stop = min(start + PIECE, hi)
        for i in range(len(addresses)):
            if not load(addresses[i], kind, start, stop, values):
                return False
            for k in range(stop - start):
                high[k] = values[k] if i == 0 or values[k] > high[k] else high[k]
                low[k] = values[k] if i == 0 or values[k] < low[k] else low[k]
        for i in range(len(addresses)):
            load(addresses[i], kind, start, stop, values)
            for k in range(stop - start):
                counts[i] += (values[k] == high[k]) | (values[k] == low[k])
    return True


@jit
def magnitude_counts(addresses, kind, lo, hi, like, signs, shift, bits, prefixes, counts):
    values = np.empty(PIECE, like.dtype)
    words, upper = values.view(np.uint32), values.itemsize // 4  # the upper half of a float64 comes second
    for i in range(len(addresses)):
        for start in range(lo, hi, PIECE):
            stop = min(start + PIECE, hi)
            if not load(addresses[i], kind, start, stop, values):
                return False
            for k in range(stop - start):
                key = np.int64(words[k * upper + upper - 1] & np.uint32(0x7FFFFFFF)) >> shift
                if key >> bits == prefixes[i]:
                    sign = np.int64(values[k] > 0) - np.int64(values[k] < 0)
                    counts[i, np.int64(sign == signs[start + k]), key & ((1 << bits) - 1)] += 1
    return True


@jit
def agreements(addresses, kind, lo, hi, like, keys, counts):
    n = len(addresses)
    values = np.empty(PIECE, like.dtype)
    words, upper = values.view(np.uint32), values.itemsize // 4
    signed, many = np.empty((PIECE, n), np.int64), np.empty(PIECE, np.int64)  # of each column 1 + i, or minus that
    for start in range(lo, hi, PIECE):
        stop = min(start + PIECE, hi)
        many[:] = 0
        for i in range(n):
            if not load(addresses[i], kind, start, stop, values):
                return False
            for k in range(stop - start):
                if np.int64(words[k * upper + upper - 1] & np.uint32(0x7FFFFFFF)) >= keys[i] and values[k] != 0:
                    signed[k, many[k]] = 1 + i if values[k] > 0 else -1 - i
                    many[k] += 1
        for k in range(stop - start):
            for a in range(many[k]):
                for b in range(many[k]):
                    same = (signed[k, a] > 0) == (signed[k, b] > 0)
                    counts[abs(signed[k, a]) - 1, abs(signed[k, b]) - 1] += 1 if same else -1
    return True


@jit
def manhattan(y, limit, sums):
    """Sums of absolute differences between the rows of y (n, a multiple of LANES), in lanes."""
    total = np.empty(LANES)
    for i in range(len(y)):
        for j in range(i):
            total[:] = 0
            for start in range(0, y.shape[1], LANES):
                for k in range(LANES):
                    total[k] += min(abs(y[i, start + k] - y[j, start + k]), limit)
            sums[i, j] = sums[j, i] = total.sum()
