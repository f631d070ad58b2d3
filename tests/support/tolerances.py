"""Every tolerance of the kernel tests, with its reason. What is not listed here is compared bit for bit."""

from __future__ import annotations

import numpy as np

UNIT = {
    np.dtype(np.float32): 2.0**-24,
    np.dtype(np.float64): 2.0**-53,
}  # half an ulp of 1: one rounding's relative error

ROUNDED = 4  # units: one rounding to the result's dtype, and as much in the specification's own float64 arithmetic
SUM = 4  # units, times the sum of |w_i y_i|: float64 accumulation of n products, then one rounding
LINE = 8  # units, times the line's scale: a slope has the errors of two centred values, a reciprocal and a product, is
# multiplied by a rank and enters a residual and their median; a median moves no further than what it is taken of
UNDECIDED = 0.02  # share of Gaussian values so near the threshold that rounding may decide: tests the test


def unit(dtype: np.dtype) -> float:
    return UNIT[np.dtype(dtype)]


def flushed(dtype: np.dtype) -> float:
    """A kernel may take a subnormal number for zero."""
    return float(np.finfo(dtype).smallest_normal)
