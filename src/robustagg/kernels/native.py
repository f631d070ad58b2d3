"""The compiled backend: the kernel interface over the extension module, which answers a non-finite value with None."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.errors import NonFinite
from robustagg.kernels import _native
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

SCRATCH, PRODUCTS = 1, specification.PRODUCTS

T = TypeVar("T")


def _checked(result: T | None) -> T:
    if result is None:
        raise NonFinite
    return result


def finite(rows: Rows) -> NDArray[np.bool_]:
    return _native.finite(rows, kernels.num_threads())


def narrow(values: Array, dtype: np.dtype[Any]) -> Array:
    if values.dtype == np.float32 and dtype.itemsize == 2:
        return _native.narrow(values, dtype, kernels.num_threads())
    return specification.narrow(values, dtype)


def weighted_mean(rows: Rows, weights: NDArray[np.float64]) -> Array:
    return _checked(_native.weighted_mean(rows, weights, kernels.num_threads()))


def median(rows: Rows) -> Array:
    return _checked(_native.median(rows, kernels.num_threads()))


def trimmed_mean(rows: Rows, k: int) -> Array:
    return _checked(_native.trimmed_mean(rows, k, kernels.num_threads()))


def gram(rows: Rows, shrunk: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
    return _checked(_native.gram(rows, GRAM_TILE, GRAM_LIMIT, shrunk, kernels.num_threads()))


def measure(rows: Rows, reference: int | None, shrunk: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
    return _checked(_native.measure(rows, GRAM_TILE, reference, GRAM_LIMIT, shrunk, kernels.num_threads()))


def manhattan(rows: Rows) -> NDArray[np.float64]:
    return _checked(_native.manhattan(rows, GRAM_TILE, GRAM_LIMIT, kernels.num_threads()))


def extremes(rows: Rows) -> tuple[Array, Array]:
    return _checked(_native.extremes(rows, kernels.num_threads()))


def majority(rows: Rows, least: int) -> NDArray[np.int8]:
    return _checked(_native.majority(rows, least, kernels.num_threads()))


def sign_counts(rows: Rows) -> NDArray[np.int64]:
    return _checked(_native.sign_counts(rows, kernels.num_threads()))


def outermost(rows: Rows) -> NDArray[np.int64]:
    return _checked(_native.outermost(rows, kernels.num_threads()))


def magnitude_counts(
    rows: Rows, signs: NDArray[np.int8], shift: int, bits: int, prefixes: NDArray[np.int64]
) -> NDArray[np.int64]:
    return _checked(_native.magnitude_counts(rows, signs, shift, bits, prefixes, kernels.num_threads()))


def differences(rows: Rows) -> Array:
    return _checked(_native.differences(rows, kernels.num_threads()))


def agreements(rows: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return _checked(_native.agreements(rows, keys, kernels.num_threads()))


def mix(rows: Rows, matrix: NDArray[np.float64]) -> Array:
    return _checked(_native.mix(rows, matrix, kernels.num_threads()))


def mean_around_median(rows: Rows, k: int) -> Array:
    return _checked(_native.mean_around_median(rows, k, kernels.num_threads()))


def weighted_median(rows: Rows, weights: NDArray[np.float64]) -> Array:
    return _checked(_native.weighted_median(rows, weights, float(weights.sum()) / 2, kernels.num_threads()))


def detect(rows: Rows, options: Confidence, threshold: float) -> Detection:
    return Detection(*_checked(_native.detect(rows, options, threshold, kernels.num_threads())))


def rectified_mean(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    weights: NDArray[np.float64],
    rescale: Rescale,
) -> Array:
    return _checked(_native.rectified_mean(rows, rejected, median, weights, rescale, kernels.num_threads()))


def rectify(rows: Rows, rejected: NDArray[np.uint8], median: Array, rescale: Rescale) -> Array:
    return _checked(_native.rectify(rows, rejected, median, rescale, kernels.num_threads()))


def deviations(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    rescale: Rescale,
    shrunk: NDArray[np.uint8] | None = None,
) -> NDArray[np.float64]:
    note = rejected, median, rescale
    return _checked(_native.deviations(rows, *note, GRAM_TILE, GRAM_LIMIT, shrunk, kernels.num_threads()))


def repeated_median(rows: Rows, intercept: str) -> tuple[Array, Array]:
    return _checked(_native.repeated_median(rows, intercept, kernels.num_threads()))


def confidence(rows: Rows, options: Confidence) -> Array:
    return _checked(_native.confidence(rows, options, kernels.num_threads()))


def residual_weights(rows: Rows, options: Residual) -> NDArray[np.int64]:
    return _checked(_native.residual_weights(rows, options, kernels.num_threads()))


def residual_mean(rows: Rows, weights: NDArray[np.float64], options: Residual, threshold: float) -> Array:
    return _checked(_native.residual_mean(rows, weights, options, threshold, kernels.num_threads()))


def middle_of_line(rows: Rows, intercept: str) -> Array:
    return specification.middle_of(*repeated_median(rows, intercept), len(rows))


home, take, put, window = specification.home, specification.take, specification.put, specification.window
widen, join, split, stack = specification.widen, specification.join, specification.split, specification.stack
flip, offset = specification.flip, specification.offset
sparsify, digits = specification.sparsify, specification.digits


def top_eigenpair(matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    return _native.top_eigenpair(matrix)


def beta_reputation(
    accepted: NDArray[np.int64],
    rejected: NDArray[np.int64],
    positive_weight: float,
    prior: float,
    prior_weight: float,
) -> NDArray[np.float64]:
    return _native.beta_reputation(accepted, rejected, positive_weight, prior, prior_weight)


def decayed_score(
    rounds: NDArray[np.int64], observed: NDArray[np.float64], now: int, decay: float, window: int
) -> NDArray[np.float64]:
    return _native.decayed_score(rounds, observed, now, decay, window)
