"""The specification: every primitive in plain NumPy, beside which ``spec/reputation.md`` can be read line by line.

All arithmetic is in float64. Clear before fast: the other backends are held to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from robustagg.errors import NonFinite
from robustagg.kernels.interface import (
    DIGIT_BITS,
    DIGITS,
    FINEST,
    GRAM_LIMIT,
    GRAM_TILE,
    LOWEST_LEVEL,
    RESIDUAL_UNIT,
    SHRINK,
    SINGLE,
    Array,
    Confidence,
    Detection,
    Rescale,
    Residual,
    Rows,
)

SCRATCH = 110
PRODUCTS = 2**20


F = TypeVar("F", bound=Callable[..., Any])


def quiet(kernel: F) -> F:
    """Whatever the caller has told NumPy to do about overflow and the like, a kernel knows what it does."""

    @wraps(kernel)
    def quietly(*arguments: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return kernel(*arguments, **options)

    return cast(F, quietly)


BLOCK_BYTES = 2**25  # of one (n, width) float64 temporary
LARGEST_BFLOAT16 = (2 - 2.0**-7) * 2.0**127
HUGE_EXPONENT = 400  # columns with values above 2**400 are scaled down by a power of two, lest their squares overflow


# --- rows to columns and back ---------------------------------------------------------------------------------------


def compute_dtype(rows: Rows) -> np.dtype[np.floating]:
    return np.dtype(np.float64 if rows[0].dtype == np.float64 else np.float32)


def widened(row: Array) -> NDArray[np.float64]:
    return widen(row).astype(np.float64)


def blocks(rows: Rows) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Cut the columns into (n, width) float64 matrices of bounded size."""
    width = max(8, BLOCK_BYTES // (8 * len(rows)) // 8 * 8)
    for start in range(0, rows[0].size, width):
        part = slice(start, start + width)
        y = np.stack([widened(row[part]) for row in rows])
        if not np.isfinite(y).all():
            raise NonFinite
        yield part, y


@quiet
def narrow(values: Array, dtype: np.dtype[Any]) -> Array:
    if values.dtype == dtype:
        return values
    if dtype == np.uint16:
        bits = np.clip(values, -LARGEST_BFLOAT16, LARGEST_BFLOAT16).astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    largest = np.finfo(dtype).max
    return np.clip(values, -largest, largest).astype(dtype)


def down_scaled(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Scale huge columns by an exact power of two: (y * 2**-e, e), e = 0 for ordinary columns."""
    largest = np.abs(y).max(axis=0, initial=0.0)
    e = np.maximum(np.frexp(largest)[1] - HUGE_EXPONENT, 0).astype(np.int32)
    return np.ldexp(y, -e), e


def up_scaled(values: NDArray[np.float64], e: NDArray[np.int32]) -> NDArray[np.float64]:
    """Undo it: values * 2**e, clamped to the largest finite numbers."""
    largest = np.ldexp(np.finfo(np.float64).max, -e)
    return np.ldexp(np.clip(values, -largest, largest), e)


# --- rows as they lie in memory, for all backends of the host's -------------------------------------------------------


def home(rows: Rows) -> Rows:
    return rows


def take(rows: Rows, places: NDArray[np.integer]) -> list[Array]:
    return [row[places] for row in rows]


def put(values: Array, places: NDArray[np.integer], numbers: Array) -> Array:
    values = values.copy()
    values[..., places] = numbers
    return values


def join(pieces: Sequence[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)


def window(rows: Rows, begin: int, end: int, first: int = 0) -> list[Array]:
    if first == begin == 0 and end >= rows[0].size:
        return list(rows)
    cut = [row[begin:end] for row in rows]
    if first > begin:
        cut = [row.copy() for row in cut]
        for row in cut:
            row[: first - begin] = 0
    return cut


def split(matrix: Array) -> list[Array]:
    return list(matrix)


def stack(rows: Rows) -> Array:
    return rows[0][None] if len(rows) == 1 else np.stack(rows)


def widen(row: Array, dtype: np.dtype[Any] = SINGLE) -> Array:
    if row.dtype == np.uint16:  # bfloat16 is the upper half of a float32
        row = (row.astype(np.uint32) << 16).view(np.float32)
    return row.astype(dtype) if row.dtype.itemsize < dtype.itemsize else row


@quiet
def middle_of(slope: Array, start: Array, n: int) -> Array:
    """The line's value at the middle of n ranks, clamped to the largest number."""
    largest = np.finfo(start.dtype).max
    eighth = start.astype(np.float64) / 8 + slope.astype(np.float64) / 8 * ((n - 1) / 2)  # at most half the largest
    middle: Array = (np.clip(eighth, -largest / 8, largest / 8) * 8).astype(start.dtype)
    return middle


# --- the cheap rules ------------------------------------------------------------------------------------------------


@quiet
def finite(rows: Rows) -> NDArray[np.bool_]:
    return np.array([np.isfinite(widened(row)).all() for row in rows])


def mean_of(y: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weighted_sum(y, weights)
    if not np.isfinite(total).all():  # what overflows halfway may end up finite
        scaled, e = down_scaled(y)
        total = np.where(np.isfinite(total), total, up_scaled(weighted_sum(scaled, weights), e))
    return total


def weighted_sum(y: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(y.shape[1])
    for weight, row in zip(weights, y, strict=True):
        total += weight * row
    return total


@quiet
def weighted_mean(rows: Rows, weights: NDArray[np.float64]) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    for part, y in blocks(rows):
        out[part] = narrow(mean_of(y, weights), out.dtype)
    return narrow(out, rows[0].dtype)


def median_of(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over axis 0; of an even count, the mean of the two middle values, without overflow."""
    n = len(y)
    low, high = np.partition(y, ((n - 1) // 2, n // 2), axis=0)[[(n - 1) // 2, n // 2]]
    middle: NDArray[np.float64] = np.where((low < 0) == (high < 0), low + (high - low) / 2, (low + high) / 2)
    return middle  # each branch overflows only where the other is taken


@quiet
def median(rows: Rows) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    for part, y in blocks(rows):
        out[part] = median_of(y)
    return narrow(out, rows[0].dtype)


@quiet
def trimmed_mean(rows: Rows, k: int) -> Array:
    n = len(rows)
    out = np.empty(rows[0].size, compute_dtype(rows))
    for part, y in blocks(rows):
        kept = np.sort(y, axis=0)[k : n - k]
        out[part] = narrow(mean_of(kept, np.full(len(kept), 1 / len(kept))), out.dtype)
    return narrow(out, rows[0].dtype)


@quiet
def mean_around_median(rows: Rows, k: int) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    for part, y in blocks(rows):
        y = np.sort(y, axis=0)
        middle, quarter = median_of(y) / 4, y / 4  # differences of which do not overflow
        columns = np.arange(y.shape[1])
        low, high = np.zeros_like(columns), np.full_like(columns, len(y) - 1)
        for _ in range(len(y) - k):  # the farther end goes; of two equally far, the larger
            drop_low = middle - quarter[low, columns] > quarter[high, columns] - middle
            low, high = low + drop_low, high - ~drop_low
        kept = y[low + np.arange(k)[:, None], columns]
        out[part] = narrow(mean_of(kept, np.full(k, 1 / k)), out.dtype)
    return narrow(out, rows[0].dtype)


@quiet
def weighted_median(rows: Rows, weights: NDArray[np.float64]) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    voters = np.flatnonzero(weights > 0)
    half = weights.sum() / 2
    for part, y in blocks(rows):
        order = np.argsort(y[voters], axis=0, kind="stable")
        ranked = np.take_along_axis(y[voters], order, axis=0)
        reached = np.cumsum(weights[voters][order], axis=0)
        low = (reached < half).sum(axis=0).clip(max=len(voters) - 1)  # rounding may leave the last sum below the half
        high = (reached <= half).sum(axis=0).clip(max=len(voters) - 1)
        out[part] = median_of(np.take_along_axis(ranked, np.stack([low, high]), axis=0))
    return narrow(out, rows[0].dtype)


@quiet
def extremes(rows: Rows) -> tuple[Array, Array]:
    out = np.empty((2, rows[0].size), compute_dtype(rows))
    for part, y in blocks(rows):
        out[0, part], out[1, part] = y.max(axis=0), y.min(axis=0)
    return narrow(out[0], rows[0].dtype), narrow(out[1], rows[0].dtype)


# --- counts ---------------------------------------------------------------------------------------------------------


@quiet
def majority(rows: Rows, least: int) -> NDArray[np.int8]:
    out = np.empty(rows[0].size, np.int8)
    for part, y in blocks(rows):
        sums = np.sign(y).sum(axis=0)
        out[part] = (sums >= least).astype(np.int8) - (sums <= -least)
    return out


def flip(values: Array, signs: NDArray[np.int8]) -> Array:
    return np.where(signs, values, -values)


def offset(values: Array, by: NDArray[np.float64]) -> Array:
    largest = np.finfo(values.dtype).max
    return np.clip(values + by, -largest, largest).astype(values.dtype)


@quiet
def outermost(rows: Rows) -> NDArray[np.int64]:
    counts = np.zeros(len(rows), np.int64)
    for _, y in blocks(rows):
        counts += ((y == y.max(axis=0)) | (y == y.min(axis=0))).sum(axis=1)
    return counts


@quiet
def sign_counts(rows: Rows) -> NDArray[np.int64]:
    counts = np.zeros((len(rows), 2), np.int64)
    for _, y in blocks(rows):
        counts += np.stack([(y > 0).sum(axis=1), (y < 0).sum(axis=1)], axis=1)
    return counts


@quiet
def magnitude_counts(
    rows: Rows, signs: NDArray[np.int8], shift: int, bits: int, prefixes: NDArray[np.int64]
) -> NDArray[np.int64]:
    wide, counts = compute_dtype(rows), np.zeros((len(rows), 2 << bits), np.int64)
    for part, y in blocks(rows):
        keys = magnitude_keys(y.astype(wide)) >> shift
        slots = (keys & (1 << bits) - 1) + ((np.sign(y) == signs[part]) << bits)
        for row, slot, key, prefix in zip(counts, slots, keys, prefixes.tolist(), strict=True):
            row += np.bincount(slot[key >> bits == prefix], minlength=2 << bits)
    return counts.reshape(len(rows), 2, 1 << bits)


def magnitude_keys(values: Array) -> NDArray[np.int64]:
    """The 31 bits below the sign of float32, of float64 the upper ones."""
    words = values.view(f"u{values.itemsize}") >> (8 * values.itemsize - 32)
    keys: NDArray[np.int64] = (words & 0x7FFFFFFF).astype(np.int64)
    return keys


def sparsify(rows: Rows, keys: NDArray[np.int64]) -> list[Array]:
    zero = rows[0].dtype.type(0)
    return [np.where(magnitude_keys(widen(row)) >= key, row, zero) for row, key in zip(rows, keys, strict=True)]


@quiet
def differences(rows: Rows) -> Array:
    wide = compute_dtype(rows)
    out, largest = np.empty((len(rows) - 1, rows[0].size), wide), np.finfo(wide).max
    for part, y in blocks(rows):
        y = y.astype(wide)
        out[:, part] = np.clip(y[:-1] - y[-1], -largest, largest)
    return out


@quiet
def agreements(rows: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    wide, counts = compute_dtype(rows), np.zeros((len(rows), len(rows)), np.int64)
    for _, y in blocks(rows):
        signs = np.where(magnitude_keys(y.astype(wide)) >= keys[:, None], np.sign(y), 0)
        counts += (signs @ signs.T).astype(np.int64)
    return counts


# --- products -------------------------------------------------------------------------------------------------------


def units(shrunk: NDArray[np.uint8] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.ones(shape) if shrunk is None else np.where(shrunk, SHRINK, 1.0)


@quiet
def gram(rows: Rows, shrunk: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
    unit = units(shrunk, (len(rows) + 1,))[:, None]
    n, d = len(rows), rows[0].size
    out = np.empty((-(-d // GRAM_TILE), n + 1, n + 1))
    for tile, products in enumerate(out):
        part = slice(tile * GRAM_TILE, (tile + 1) * GRAM_TILE)
        y = np.stack([widened(row[part]) for row in rows])
        if not np.isfinite(y).all():
            raise NonFinite
        centre = np.partition(y, (n - 1) // 2, axis=0)[(n - 1) // 2]
        z = np.vstack([y * unit[:n] - centre * unit[:n], centre * unit[n]]).clip(-GRAM_LIMIT, GRAM_LIMIT)
        products[:] = z @ z.T
    return out


@quiet
def measure(rows: Rows, reference: int | None, shrunk: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
    away, own = units(shrunk, (len(rows), 2)).T[:, :, None]
    centre_unit = 1.0 if reference is None else own[reference]
    n, d = len(rows), rows[0].size
    out = np.empty((-(-d // GRAM_TILE), n, 3))
    for tile, sums in enumerate(out):
        part = slice(tile * GRAM_TILE, (tile + 1) * GRAM_TILE)
        y = np.stack([widened(row[part]) for row in rows])
        if not np.isfinite(y).all():
            raise NonFinite
        c = np.zeros(y.shape[1]) if reference is None else y[reference]
        z, y, c = (v.clip(-GRAM_LIMIT, GRAM_LIMIT) for v in (y * away - c * away, y * own, c * centre_unit))
        sums[:] = np.stack([(z * z).sum(axis=1), (y * c).sum(axis=1), (y * y).sum(axis=1)], axis=1)
    return out


@quiet
def manhattan(rows: Rows) -> NDArray[np.float64]:
    n, d = len(rows), rows[0].size
    out = np.zeros((-(-d // GRAM_TILE), n, n))
    for tile, sums in enumerate(out):
        part = slice(tile * GRAM_TILE, (tile + 1) * GRAM_TILE)
        y = np.stack([widened(row[part]) for row in rows])
        if not np.isfinite(y).all():
            raise NonFinite
        for i in range(1, n):
            sums[i, :i] = np.minimum(np.abs(y[:i] - y[i]), GRAM_LIMIT).sum(axis=1)
        sums += sums.T
    return out


@quiet
def mix(rows: Rows, matrix: NDArray[np.float64]) -> Array:
    out = np.empty((len(matrix), rows[0].size), compute_dtype(rows))
    for part, y in blocks(rows):
        for result, weights in zip(out, matrix, strict=True):
            result[part] = narrow(mean_of(y, weights), out.dtype)
    return out


@quiet
def digits(terms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    whole = np.abs(terms)
    exponent = np.frexp(np.maximum(whole.max(axis=0), FINEST))[1]
    level = np.maximum(-(-exponent // DIGIT_BITS), LOWEST_LEVEL)
    counts, rest = np.empty((DIGITS, *level.shape)), terms.copy()
    unit = np.ldexp(1.0, DIGIT_BITS * level)
    for k in range(DIGITS):
        unit *= 2.0**-DIGIT_BITS
        np.trunc(np.multiply(rest, 1 / unit, out=whole), out=whole)
        counts[k] = whole.sum(axis=0)
        rest -= np.multiply(whole, unit, out=whole)
    return counts, level


def top_eigenpair(matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    values, vectors = np.linalg.eigh(matrix)
    return float(values[-1]), vectors[:, -1]


# --- A. detection ---------------------------------------------------------------------------------------------------


def rescaled(y: NDArray[np.float64], e: NDArray[np.int32], rescale: Rescale) -> NDArray[np.float64]:
    """A.1: bring the extremes of a column, scaled down by 2**e, in when it spans more than the value range."""
    if rescale.value_range is None or len(y) < 3:
        return y
    value_range = np.ldexp(rescale.value_range, -e)
    lowest, highest = y.min(axis=0), y.max(axis=0)
    wide = highest - lowest > value_range
    if rescale.mode == "clip":
        middle = median_of(y)
        return np.where(wide, np.clip(y, middle - value_range / 2, middle + value_range / 2), y)
    sigma = y.std(axis=0)
    return np.where(wide & (y == highest), highest - sigma, np.where(wide & (y == lowest), lowest + sigma, y))


def rescaled_as_sent(y: NDArray[np.float64], rescale: Rescale) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A.1 on columns as they are, and the exponents that the arithmetic after it scales them by."""
    scaled, e = down_scaled(y)
    moved = rescaled(scaled, e, rescale)
    return np.where(moved == scaled, y, up_scaled(moved, e)), e


def line(y: NDArray[np.float64], intercept: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A.3: the repeated-median line through sorted columns, eqs. 1-3: (slope, intercept)."""
    n = len(y)
    if n == 1:
        return np.zeros(y.shape[1]), y[0].copy()
    x = np.arange(n, dtype=np.float64)[:, None]
    slopes = np.empty_like(y)
    for i in range(n):
        others = np.arange(n) != i
        slopes[i] = median_of((y[others] - y[i]) / (x[others] - x[i]))
    slope = median_of(slopes)
    if intercept == "separate":
        return slope, median_of(y - x * slopes)
    if intercept == "hierarchical":
        return slope, median_of(y - x * slope)
    return slope, median_of(y) - slope * (n - 1) / 2


def confidence_of(y: NDArray[np.float64], options: Confidence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A.1 to A.7: the rescaled columns, and the confidence of each value, in the clients' order."""
    y, e = rescaled_as_sent(y, options.rescale)
    return y, judged(np.ldexp(y, -e), e, options)[0]


def judged(
    y: NDArray[np.float64], e: NDArray[np.int32], options: Confidence | Residual, leave_smallest: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A.2 to A.7 on columns scaled down by 2**e: each value's confidence, and the line's value in its place."""
    n = len(y)
    if n < 3:
        return np.ones_like(y), y
    order = np.argsort(y, axis=0, kind="stable")
    ranked = np.take_along_axis(y, order, axis=0)
    # A.3, A.4: the line, the residuals and their scale
    x = np.arange(n, dtype=np.float64)[:, None]
    slope, start = line(ranked, options.intercept)
    residual = np.abs(ranked - start - slope * x)
    counted = np.sort(residual, axis=0)[1:] if leave_smallest else residual
    tau = 1.4826 * (1 + 5 / (n - 1)) * median_of(counted) + np.ldexp(options.scale_floor, -e)
    # A.5, A.6: leverage and confidence
    leverage = 1 / n + (x - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    bound = options.interval_width * np.sqrt(2 / n) * np.sqrt(1 - leverage) * tau
    ranked_confidence = np.minimum(1.0, np.divide(bound, residual, out=np.ones_like(y), where=residual > bound))
    # A.7: equal values share the highest confidence of their ranks, and the middle of them
    first, last = np.broadcast_to(x, y.shape).copy(), np.broadcast_to(x, y.shape).copy()
    for ranks, end in ((range(1, n), first), (range(n - 2, -1, -1), last)):
        for i in ranks:
            j = i - ranks.step
            equal = ranked[i] == ranked[j]
            better = np.maximum(ranked_confidence[i], ranked_confidence[j])
            ranked_confidence[i] = np.where(equal, better, ranked_confidence[i])
            end[i] = np.where(equal, end[j], end[i])
    confidence, fitted = np.empty_like(y), np.empty_like(y)
    np.put_along_axis(confidence, order, ranked_confidence, axis=0)
    np.put_along_axis(fitted, order, start + slope * (first + last) / 2, axis=0)
    return confidence, fitted


@quiet
def detect(rows: Rows, options: Confidence, threshold: float) -> Detection:
    n, d = len(rows), rows[0].size
    rejected = np.zeros((n, -(-d // 8)), np.uint8)
    replacement = np.empty(d, compute_dtype(rows))
    rejections = np.zeros(n, np.int64)
    for part, y in blocks(rows):
        y, c = confidence_of(y, options)
        bad = c < threshold  # A.8
        rejected[:, part.start // 8 : -(-part.stop // 8)] = np.packbits(bad, axis=1, bitorder="little")
        replacement[part] = narrow(median_of(y) + 0.0, replacement.dtype)  # a zero is positive
        rejections += bad.sum(axis=1)
    return Detection(rejected, replacement, rejections)


@quiet
def confidence(rows: Rows, options: Confidence) -> Array:
    out = np.empty((len(rows), rows[0].size), compute_dtype(rows))
    for part, y in blocks(rows):
        out[:, part] = confidence_of(y, options)[1]
    return out


@quiet
def repeated_median(rows: Rows, intercept: str) -> tuple[Array, Array]:
    slopes, intercepts = (np.empty(rows[0].size, compute_dtype(rows)) for _ in range(2))
    for part, y in blocks(rows):
        y, e = down_scaled(y)
        slope, start = line(np.sort(y, axis=0), intercept)
        slopes[part] = narrow(up_scaled(slope, e), slopes.dtype)
        intercepts[part] = narrow(up_scaled(start, e), slopes.dtype)
    return slopes, intercepts


def middle_of_line(rows: Rows, intercept: str) -> Array:
    return middle_of(*repeated_median(rows, intercept), len(rows))


# --- A.8 and C.3: rectification and the mean of what it leaves ------------------------------------------------------


def rectified(
    part: slice, y: NDArray[np.float64], rejected: NDArray[np.uint8], median: Array, rescale: Rescale
) -> NDArray[np.float64]:
    bits = rejected[:, part.start // 8 : -(-part.stop // 8)]
    bad = np.unpackbits(bits, axis=1, count=y.shape[1], bitorder="little").view(bool)
    return np.where(bad, median[part], rescaled_as_sent(y, rescale)[0])


@quiet
def rectified_mean(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    weights: NDArray[np.float64],
    rescale: Rescale,
) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    for part, y in blocks(rows):
        y = rectified(part, y, rejected, median, rescale)
        out[part] = narrow(mean_of(y, weights), out.dtype)
    return narrow(out, rows[0].dtype)


@quiet
def rectify(rows: Rows, rejected: NDArray[np.uint8], median: Array, rescale: Rescale) -> Array:
    out = np.empty((len(rows), rows[0].size), compute_dtype(rows))
    for part, y in blocks(rows):
        out[:, part] = narrow(rectified(part, y, rejected, median, rescale), out.dtype)
    return out


@quiet
def deviations(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    rescale: Rescale,
    shrunk: NDArray[np.uint8] | None = None,
) -> NDArray[np.float64]:
    unit, values = units(shrunk, (len(rows),))[:, None], rectify(rows, rejected, median, rescale)
    out = np.empty((-(-median.size // GRAM_TILE), len(rows), 2))
    for tile, found in enumerate(out):
        part = slice(tile * GRAM_TILE, (tile + 1) * GRAM_TILE)
        y, c = values[:, part], median[part]
        z = (y * unit - c * unit).clip(-GRAM_LIMIT, GRAM_LIMIT)
        found[:] = np.stack([(z * z).sum(axis=1), np.abs(y - c).max(axis=1)], axis=1)
    return out


# --- residual-based re-weighting ------------------------------------------------------------------------------------


@quiet
def residual_weights(rows: Rows, options: Residual) -> NDArray[np.int64]:
    total = np.zeros(len(rows), np.int64)
    for _, y in blocks(rows):
        c = judged(*down_scaled(y), options, options.leave_smallest)[0]
        if len(rows) >= 3:
            total += np.rint(c * c.std(axis=0, ddof=1) / RESIDUAL_UNIT).astype(np.int64).sum(axis=1)
    return total


@quiet
def residual_mean(rows: Rows, weights: NDArray[np.float64], options: Residual, threshold: float) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    largest = np.finfo(out.dtype).max
    for part, y in blocks(rows):
        scaled, e = down_scaled(y)
        c, fitted = judged(scaled, e, options, options.leave_smallest)
        corrected = np.where(c < threshold, np.clip(up_scaled(fitted, e), -largest, largest), y)
        out[part] = narrow(mean_of(corrected, weights), out.dtype)
    return narrow(out, rows[0].dtype)


# --- B. reputation --------------------------------------------------------------------------------------------------


@quiet
def beta_reputation(
    accepted: NDArray[np.int64],
    rejected: NDArray[np.int64],
    positive_weight: float,
    prior: float,
    prior_weight: float,
) -> NDArray[np.float64]:
    alpha = positive_weight * accepted + prior_weight * prior  # B.2, eqs. 6-9
    beta = (1 - positive_weight) * rejected + prior_weight * (1 - prior)
    return np.asarray(alpha / (alpha + beta), np.float64)


@quiet
def decayed_score(
    rounds: NDArray[np.int64], observed: NDArray[np.float64], now: int, decay: float, window: int
) -> NDArray[np.float64]:
    age = now - rounds  # B.3, eqs. 11-12
    theta = np.where((rounds >= 0) & (age < window), np.exp(-decay * age.astype(np.float64)), 0.0)
    return np.asarray((theta * observed).sum(axis=1) / theta.sum(axis=1), np.float64)
