"""What is true: brute force over single columns, and how far rounding may move what the specification says."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from tolerances import LINE, ROUNDED, flushed, unit

from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import Confidence, Rescale

# --- brute force: exact rational arithmetic, one column, written from the page ----------------------------------------


def exact_line(y: list[Fraction], intercept: str) -> tuple[Fraction, Fraction]:
    """The repeated-median line through a sorted column."""
    n = len(y)
    if n == 1:
        return Fraction(0), y[0]
    own = [median((y[j] - y[i]) / (j - i) for j in range(n) if j != i) for i in range(n)]
    slope = median(own)
    if intercept == "separate":
        return slope, median(y[i] - i * own[i] for i in range(n))
    if intercept == "hierarchical":
        return slope, median(y[i] - i * slope for i in range(n))
    return slope, median(y) - slope * Fraction(n - 1, 2)


def exact_confidence(column: list[float], intercept: str, interval_width: float, scale_floor: float) -> list[float]:
    """The confidence of each value of a column that needs no rescaling."""
    n = len(column)
    order = sorted(range(n), key=column.__getitem__)
    y = [Fraction(column[i]) for i in order]
    slope, start = exact_line(y, intercept)
    residual = [abs(y[i] - start - slope * i) for i in range(n)]
    tau = 1.4826 * (1 + 5 / (n - 1)) * float(median(residual)) + scale_floor
    spread = sum((i - (n - 1) / 2) ** 2 for i in range(n))
    best: dict[float, float] = {}
    for rank, client in enumerate(order):
        h = 1 / n + (rank - (n - 1) / 2) ** 2 / spread
        e = float(residual[rank]) / tau
        limit = interval_width * math.sqrt(2 / n)
        c = math.sqrt(1 - h) / e * min(limit, e / math.sqrt(1 - h)) if e else 1.0
        best[column[client]] = max(c, best.get(column[client], 0.0))
    return [best[value] for value in column]


def exact_rescale(column: list[float], value_range: float) -> list[float]:
    """Algorithm 1 of the paper."""
    top, bottom, n = max(column), min(column), len(column)
    if top - bottom <= value_range:
        return column
    mean = sum(map(Fraction, column)) / n
    sigma = math.sqrt(sum((Fraction(v) - mean) ** 2 for v in column) / n)
    return [v - sigma if v == top else v + sigma if v == bottom else v for v in column]


# --- the specification's answer with the room that rounding needs -----------------------------------------------------


def widened(rows: list[NDArray]) -> NDArray[np.float64]:
    return np.stack([specification.widened(row) for row in rows])


def line_scale(ranked: NDArray, slope: NDArray, start: NDArray) -> NDArray:
    """What the errors of the line are proportional to: its rise and the spread around it, not the outliers."""
    n = len(ranked)
    centred = np.abs(ranked - ranked[(n - 1) // 2])
    residual = np.abs(ranked - start - slope * np.arange(n)[:, None])
    scale = n * np.abs(slope) + specification.median_of(residual)
    if n <= 5:  # so few that a median of slopes has outliers in it
        scale = scale + centred.max(axis=0)
    return scale


def confidence_range(
    y: NDArray[np.float64],
    dtype: np.dtype,
    options: Confidence,
) -> tuple[NDArray, NDArray, NDArray]:
    """(low, high, clear): what a confidence may be, and the columns (d,) of which it can be said."""
    n = len(y)
    raw, e = specification.down_scaled(y)
    y = specification.rescaled(raw, e, options.rescale)
    clear = unambiguous(raw, y, e, options.rescale, unit(dtype))
    order = np.argsort(y, axis=0, kind="stable")
    ranked, moved = (np.take_along_axis(a, order, axis=0) for a in (y, y != raw))
    slope, start = specification.line(ranked, options.intercept)
    residual = np.abs(ranked - start - slope * np.arange(n)[:, None])
    scale = line_scale(ranked, slope, start)
    own = LINE * unit(np.float64) * np.abs(ranked).max(axis=0)  # the specification does not centre
    scale = scale + np.where(moved, np.abs(ranked), 0).max(axis=0)  # a rescaled value is rounded
    least = 4 * n * np.ldexp(flushed(dtype), -e) + own + LINE * unit(dtype) * scale
    error = LINE * unit(dtype) * np.abs(ranked - ranked[(n - 1) // 2]) + least
    spread = 1.4826 * (1 + 5 / (n - 1))
    tau = spread * specification.median_of(residual) + np.ldexp(options.scale_floor, -e)
    tau_error = spread * least
    x = np.arange(n)[:, None] - (n - 1) / 2
    bound = options.interval_width * np.sqrt(2 / n * (1 - 1 / n - x**2 / (x**2).sum()))
    smallest, largest = bound * np.maximum(tau - tau_error, 0), bound * (tau + tau_error)
    low = shared(ranked, order, smallest / np.maximum(residual + error, smallest))
    high = shared(ranked, order, largest / np.maximum(residual - error, largest))
    return low, high, clear


def shared(ranked: NDArray, order: NDArray, c: NDArray) -> NDArray:
    """Equal values share the highest confidence; ranks to clients."""
    n = len(ranked)
    for i, j in [*pairwise(range(n)), *pairwise(reversed(range(n)))]:
        c[j] = np.where(ranked[i] == ranked[j], np.maximum(c[i], c[j]), c[j])
    out = np.empty_like(c)
    np.put_along_axis(out, order, c, axis=0)
    return out


def unambiguous(raw: NDArray, y: NDArray, e: NDArray, rescale: Rescale, u: float) -> NDArray:
    """Columns whose rescale rounding cannot change: neither whether it happens, nor the order of what it moves."""
    if rescale.value_range is None:
        return np.ones(y.shape[1], bool)
    near = ROUNDED * u * np.abs(raw).max(axis=0)
    excess = np.abs(np.ptp(raw, axis=0) - np.ldexp(rescale.value_range, -e))
    clear = (excess == 0) | (excess > near)
    if rescale.mode == "clip":  # what is moved becomes equal, however it is rounded
        return clear
    for i in range(len(y)):
        others = (raw != raw[i]) & (np.abs(y - y[i]) <= near)
        clear &= ~(others.any(axis=0) & (y[i] != raw[i]))
    return clear
