"""The primitives in Numba: as fast as Python gets without a compiler at hand. See :mod:`robustagg.kernels.interface`.

Python splits the columns over threads of its own. Numba's ``parallel=True`` would abort under two calling threads
(numba #9288); these kernels may be called from any number of them, and after a fork.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg.errors import NonFinite
from robustagg.kernels import networks
from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import (
    GRAM_LIMIT,
    GRAM_TILE,
    Array,
    Confidence,
    Detection,
    Rescale,
    Residual,
    Rows,
)
from robustagg.kernels.numba import averages, counts, detection, lanes, registers, residual
from robustagg.kernels.numba.regression import CLIP, HIERARCHICAL, MEDIAN_POINT, NO_RESCALE, PAPER, SEPARATE
from robustagg.kernels.numba.threads import KINDS, each_part, each_tile, sweep
from robustagg.kernels.numpy import (  # BLAS and LAPACK do the second half
    PRODUCTS,
    beta_reputation,
    compute_dtype,
    decayed_score,
    differences,
    digits,
    flip,
    gram,
    home,
    join,
    measure,
    offset,
    put,
    sparsify,
    split,
    stack,
    take,
    top_eigenpair,
    widen,
    window,
)

__all__ = [
    "PRODUCTS",
    "agreements",
    "beta_reputation",
    "confidence",
    "decayed_score",
    "detect",
    "deviations",
    "differences",
    "digits",
    "extremes",
    "finite",
    "flip",
    "gram",
    "home",
    "join",
    "magnitude_counts",
    "majority",
    "manhattan",
    "mean_around_median",
    "measure",
    "median",
    "middle_of_line",
    "mix",
    "narrow",
    "offset",
    "outermost",
    "put",
    "rectified_mean",
    "rectify",
    "repeated_median",
    "residual_mean",
    "residual_weights",
    "sign_counts",
    "sparsify",
    "split",
    "stack",
    "take",
    "top_eigenpair",
    "trimmed_mean",
    "weighted_mean",
    "weighted_median",
    "widen",
    "window",
]

SCRATCH = 1

INTERCEPTS = {"separate": SEPARATE, "hierarchical": HIERARCHICAL, "median_point": MEDIAN_POINT}
RESCALES = {"paper": PAPER, "clip": CLIP}


# --- what kernels are told ------------------------------------------------------------------------------------------


def regression_plan(n: int, dtype: np.dtype[Any]) -> tuple[tuple[registers.Code, ...], int]:
    """Networks, and the cost of a column."""
    plan = registers.slopes(n, dtype), registers.selector(n, dtype), registers.sorter(n, 0, n, dtype)
    return plan, n * (n + len(plan[0][0]))


def rescale_code(rescale: Rescale, n: int) -> tuple[int, float]:
    if rescale.value_range is None or n < 3:
        return NO_RESCALE, 0.0
    return RESCALES[rescale.mode], float(rescale.value_range)


def line_model(options: Confidence | Residual, n: int) -> tuple[Any, ...]:
    """Numbers that say which line, and what lies too far from it."""
    floor = float(options.scale_floor)
    if isinstance(options, Residual):
        return INTERCEPTS[options.intercept], floor, int(options.leave_smallest)
    return *rescale_code(options.rescale, n), INTERCEPTS[options.intercept], floor


def confidence_bounds(n: int, interval_width: float) -> NDArray[np.float64]:
    """A.5, A.6: Z sqrt(2/M) sqrt(1 - h_i); times tau, the largest residual of full confidence."""
    x = np.arange(n) - (n - 1) / 2
    return np.asarray(interval_width * np.sqrt(2 / n) * np.sqrt(1 - 1 / n - x**2 / (x**2).sum()), np.float64)


# --- the primitives -------------------------------------------------------------------------------------------------


def finite(rows: Rows) -> NDArray[np.bool_]:
    like = np.empty(0, compute_dtype(rows))

    def part(addresses: Array, kind: int, lo: int, hi: int) -> NDArray[np.bool_]:
        flags = np.ones(len(rows), np.bool_)
        averages.finite(addresses, kind, lo, hi, like, flags)
        return flags

    return np.asarray(np.logical_and.reduce(each_part(rows, 4 * len(rows), part)))


def narrow(values: Array, dtype: np.dtype[Any]) -> Array:
    if values.dtype != np.float32 or dtype.itemsize != 2:
        return specification.narrow(values, dtype)
    out = np.empty(values.shape, dtype)
    row, bits = np.ascontiguousarray(values).reshape(-1), out.view(np.uint16).reshape(-1)
    sweep([row], 4, lanes.narrow, KINDS[dtype.name], bits)
    return out


def mix(rows: Rows, matrix: NDArray[np.float64]) -> Array:
    out = np.empty((len(matrix), rows[0].size), compute_dtype(rows))
    sweep(rows, 4 * len(rows) * len(matrix), averages.mix, matrix, out)
    return out


def manhattan(rows: Rows) -> NDArray[np.float64]:
    n, d = len(rows), rows[0].size
    out = np.zeros((-(-d // GRAM_TILE), n, n))

    def tile(t: int) -> bool:
        y = np.zeros((n, -(-min(GRAM_TILE, d - t * GRAM_TILE) // lanes.LANES) * lanes.LANES))
        for held, row in zip(y, rows, strict=True):
            part = specification.widened(row[t * GRAM_TILE : (t + 1) * GRAM_TILE])
            held[: part.size] = part
        if not np.isfinite(y).all():
            return False
        counts.manhattan(y, GRAM_LIMIT, out[t])
        return True

    if not all(each_tile(len(out), tile)):
        raise NonFinite
    return out


def extremes(rows: Rows) -> tuple[Array, Array]:
    greatest, least = np.empty((2, rows[0].size), compute_dtype(rows))
    sweep(rows, 4 * len(rows), counts.extremes, greatest, least)
    return narrow(greatest, rows[0].dtype), narrow(least, rows[0].dtype)


def majority(rows: Rows, least: int) -> NDArray[np.int8]:
    signs = np.empty(rows[0].size, np.int8)
    sweep(rows, 4 * len(rows), counts.majority, np.empty(0, compute_dtype(rows)), least, signs)
    return signs


def sign_counts(rows: Rows) -> NDArray[np.int64]:
    return counted(rows, (len(rows), 2), counts.sign_counts)


def outermost(rows: Rows) -> NDArray[np.int64]:
    return counted(rows, (len(rows),), counts.outermost)


def magnitude_counts(
    rows: Rows, signs: NDArray[np.int8], shift: int, bits: int, prefixes: NDArray[np.int64]
) -> NDArray[np.int64]:
    return counted(rows, (len(rows), 2, 1 << bits), counts.magnitude_counts, signs, shift, bits, prefixes)


def agreements(rows: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return counted(rows, (len(rows), len(rows)), counts.agreements, keys)


def counted(rows: Rows, shape: tuple[int, ...], kernel: Callable[..., bool], *arguments: object) -> NDArray[np.int64]:
    """The sum of what a kernel counts in parts of the columns."""
    like = np.empty(0, compute_dtype(rows))

    def part(*columns: Any) -> NDArray[np.int64] | None:
        found = np.zeros(shape, np.int64)
        return found if kernel(*columns, like, *arguments, found) else None

    parts = each_part(rows, 8 * len(rows), part)
    if any(found is None for found in parts):
        raise NonFinite
    return np.asarray(np.sum(parts, axis=0, dtype=np.int64))


def weighted_mean(rows: Rows, weights: NDArray[np.float64]) -> Array:
    return narrow(mix(rows, np.array([weights]))[0], rows[0].dtype)


def median(rows: Rows) -> Array:
    n = len(rows)
    return mean_of_ranks(rows, (n - 1) // 2, n // 2 + 1)


def trimmed_mean(rows: Rows, k: int) -> Array:
    n = len(rows)
    return mean_of_ranks(rows, k, n - k) if k else weighted_mean(rows, np.full(n, 1 / n))


def mean_of_ranks(rows: Rows, low: int, high: int) -> Array:
    network = registers.sorter(len(rows), low, high, compute_dtype(rows))
    return order_statistic(rows, network, averages.mean_of_ranks, low, high)


def mean_around_median(rows: Rows, k: int) -> Array:
    network = registers.sorter(len(rows), 0, len(rows), compute_dtype(rows))
    return order_statistic(rows, network, averages.mean_around_median, k)


def weighted_median(rows: Rows, weights: NDArray[np.float64]) -> Array:
    network = networks.sorting(len(rows)), 0  # in memory: weights move with the values
    return order_statistic(rows, network, averages.weighted_median, weights, weights.sum() / 2)


def order_statistic(rows: Rows, network: registers.Code, kernel: Callable[..., bool], *arguments: object) -> Array:
    out = np.empty(rows[0].size, compute_dtype(rows))
    sweep(rows, len(rows) + len(network[0]), kernel, network, *arguments, out)
    return narrow(out, rows[0].dtype)


def repeated_median(rows: Rows, intercept: str) -> tuple[Array, Array]:
    slope, start = (np.empty(rows[0].size, compute_dtype(rows)) for _ in range(2))
    plan, cost = regression_plan(len(rows), slope.dtype)
    sweep(rows, cost, detection.repeated_median, INTERCEPTS[intercept], plan, slope, start)
    return slope, start


def middle_of_line(rows: Rows, intercept: str) -> Array:
    return specification.middle_of(*repeated_median(rows, intercept), len(rows))


def detect(rows: Rows, options: Confidence, threshold: float) -> Detection:
    n, d = len(rows), rows[0].size
    rejected = np.zeros((n, -(-d // 8)), np.uint8)
    if n < 3:
        mean = mix(rows, np.full((1, n), 1 / n))[0]  # the median, too
        return Detection(rejected, mean, np.zeros(n, np.int64))
    middle = np.empty(d, compute_dtype(rows))
    model, bounds = line_model(options, n), confidence_bounds(n, options.interval_width)
    plan, cost = regression_plan(n, middle.dtype)

    def part(*columns: Any) -> NDArray[np.int64] | None:
        rejections = np.zeros(n, np.int64)
        good = detection.detect(*columns, model, float(threshold), plan, bounds, rejected, middle, rejections)
        return rejections if good else None

    parts = each_part(rows, cost, part)
    if any(rejections is None for rejections in parts):
        raise NonFinite
    middle += 0  # a zero is positive
    return Detection(rejected, middle, np.sum(parts, axis=0, dtype=np.int64))


def confidence(rows: Rows, options: Confidence) -> Array:
    n = len(rows)
    out = np.ones((n, rows[0].size), compute_dtype(rows))
    if n < 3:
        if not finite(rows).all():
            raise NonFinite
        return out
    model, bounds = line_model(options, n), confidence_bounds(n, options.interval_width)
    plan, cost = regression_plan(n, out.dtype)
    sweep(rows, cost, detection.confidence, model, plan, bounds, out)
    return out


def rectify(rows: Rows, rejected: NDArray[np.uint8], median: Array, rescale: Rescale) -> Array:
    n = len(rows)
    out = np.empty((n, rows[0].size), compute_dtype(rows))
    sweep(rows, 8 * n, detection.rectify, rejected, median, *rescale_code(rescale, n), out)
    return out


def rectified_mean(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    weights: NDArray[np.float64],
    rescale: Rescale,
) -> Array:
    n = len(rows)
    out = np.empty(rows[0].size, compute_dtype(rows))
    sweep(rows, 8 * n, detection.rectified_mean, rejected, median, weights, *rescale_code(rescale, n), out)
    return narrow(out, rows[0].dtype)


def deviations(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    rescale: Rescale,
    shrunk: NDArray[np.uint8] | None = None,
) -> NDArray[np.float64]:
    n, tiles = len(rows), -(-rows[0].size // GRAM_TILE)
    groups, unit = np.zeros((tiles, GRAM_TILE // lanes.LANES, 2, n)), specification.units(shrunk, (n,))
    note = rejected, median, *rescale_code(rescale, n)
    sweep(rows, 8 * n, detection.deviations, *note, unit, GRAM_LIMIT, groups.reshape(-1, 2, n))
    return np.stack([groups[:, :, 0].sum(axis=1), groups[:, :, 1].max(axis=1)], axis=-1)


def residual_weights(rows: Rows, options: Residual) -> NDArray[np.int64]:
    n, like = len(rows), np.empty(0, compute_dtype(rows))
    if n < 3:
        median(rows)  # raises where a value is not finite
        return np.zeros(n, np.int64)
    model, bounds = line_model(options, n), confidence_bounds(n, options.interval_width)
    plan, cost = regression_plan(n, like.dtype)

    def part(*columns: Any) -> NDArray[np.int64] | None:
        total = np.zeros(n, np.int64)
        return total if residual.residual_weights(*columns, model, plan, bounds, like, total) else None

    parts = each_part(rows, cost, part)
    if any(total is None for total in parts):
        raise NonFinite
    return np.asarray(np.sum(parts, axis=0, dtype=np.int64))


def residual_mean(rows: Rows, weights: NDArray[np.float64], options: Residual, threshold: float) -> Array:
    n = len(rows)
    if n < 3:
        return weighted_mean(rows, weights)
    out = np.empty(rows[0].size, compute_dtype(rows))
    model, bounds = line_model(options, n), confidence_bounds(n, options.interval_width)
    plan, cost = regression_plan(n, out.dtype)
    sweep(rows, cost, residual.residual_mean, weights, model, float(threshold), plan, bounds, out)
    return narrow(out, rows[0].dtype)
