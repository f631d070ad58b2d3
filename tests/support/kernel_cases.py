"""The cases that the kernel tests share."""

from __future__ import annotations

from functools import cache

import numpy as np
import oracle
import zoo
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from numpy.testing import assert_array_equal
from tolerances import ROUNDED, UNDECIDED, unit

from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import Confidence, Rescale, Residual

SIZES = (1, 2, 3, 4, 5, 15, 16, 17, 33, 64, 65, 100)
LENGTHS = (0, 1, 7, 8, 63, 64, 65, 1000)
INTERCEPTS = ("separate", "hierarchical", "median_point")
RESCALES = (Rescale(None, "paper"), Rescale(2.0, "paper"), Rescale(2.0, "clip"))
THRESHOLD = 0.1
DEFAULTS = Confidence(RESCALES[1], "separate", interval_width=2.0, scale_floor=1e-7)
RESIDUALS = (Residual("median_point", 2.0, 1e-7, True), Residual("separate", 2.0, 1e-7, False))

menagerie = cache(zoo.menagerie)

law = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def settings(rescale=RESCALES[1], intercept="separate"):
    return DEFAULTS._replace(rescale=rescale, intercept=intercept)


def weights_of(n):
    weights = np.random.default_rng(n).random(n)
    weights[0] = 0 if n > 1 else 1
    return weights / weights.sum()


def compute_dtype(dtype):
    return np.dtype("float64" if dtype == "float64" else "float32")


def check_detection(backend, rows, kinds, rescale, intercept):
    """The decisions and the confidences are the specification's, but for what rounding decides."""
    n, d = len(rows), rows[0].size
    options = settings(rescale, intercept)
    rejected, median, counts = backend.detect(rows, options, THRESHOLD)
    bits = np.unpackbits(rejected, axis=1, bitorder="little")
    assert rejected.shape == (n, -(-d // 8))
    assert not bits[:, d:].any()
    assert_array_equal(counts, bits.sum(axis=1))
    assert (rejected.dtype, counts.dtype) == (np.uint8, np.int64)
    confidence = backend.confidence(rows, options)
    assert median.dtype == confidence.dtype == specification.compute_dtype(rows)
    if n < 3:
        assert not bits.any()
        assert (confidence == 1).all()
        return
    low, high, clear = oracle.confidence_range(oracle.widened(rows), median.dtype, options)
    near = ROUNDED * unit(median.dtype)
    wrong = ((high < THRESHOLD - near) & (bits[:, :d] == 0)) | ((low >= THRESHOLD + near) & (bits[:, :d] == 1))
    assert_array_equal(kinds[(clear & wrong.any(axis=0))], [])
    off = (confidence < low - near) | (confidence > high + near)
    assert_array_equal(kinds[(clear & off.any(axis=0))], [])
    undecided = (((low < THRESHOLD + near) & (high >= THRESHOLD - near)) | ~clear)[:, kinds == "gaussian"]
    assert n <= 5 or undecided.sum() <= UNDECIDED * undecided.size
