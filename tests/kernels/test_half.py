"""Half precision: how results are narrowed, and that they are those of the same values in float32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import oracle
import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import DEFAULTS, RESCALES, RESIDUALS, SIZES, THRESHOLD, law, menagerie, weights_of
from numpy.testing import assert_array_equal

from robustagg.kernels import numpy as specification

STORED = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(np.uint16)}
KNOWN = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
CENTRES = (0, 1e-45, 2.0**-133, 2.0**-126, 2.0**-25, 2.0**-24, 2.0**-14, 1, 2048, 65504, 65520, 2.0**127)

each_half = pytest.mark.parametrize("dtype", zoo.HALVES)


def nearest(values, dtype):
    """NumPy's and ml_dtypes' own rounding, of values that do not overflow."""
    largest = float(ml_dtypes.finfo(KNOWN[dtype]).max)
    return np.clip(values, -largest, largest).astype(KNOWN[dtype]).view(STORED[dtype])


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype
    assert_array_equal(got.view(np.uint16), expected.view(np.uint16))


@each_half
def test_values_of_every_exponent_are_narrowed_to_the_nearest(backend, dtype):
    around = np.arange(-(2**15), 2**15, dtype=np.int32)  # several steps of half precision, wherever ties may lie
    for centre in CENTRES:
        patterns = np.float32(centre).view(np.int32) + around
        values = patterns[(patterns >= 0) & (patterns < 0x7F800000)].view(np.float32)
        for signed in (values, -values):
            assert_same_bits(backend.narrow(signed, STORED[dtype]), nearest(signed, dtype))


@each_half
@law
@given(arrays(np.float32, st.integers(0, 200), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_any_value_is_narrowed_to_the_nearest(backend, dtype, values):
    assert_same_bits(backend.narrow(values, STORED[dtype]), nearest(values, dtype))


@each_half
def test_ties_go_to_the_even_one(backend, dtype):
    step = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    values = np.array([1 + step / 2, 1 + 3 * step / 2, -1 - step / 2, -1 - 3 * step / 2], np.float32)
    found = backend.narrow(values, STORED[dtype]).view(KNOWN[dtype]).astype(np.float64)
    assert_array_equal(found, [1, 1 + 2 * step, -1, -1 - 2 * step])


@each_half
def test_no_finite_value_becomes_infinite(backend, dtype):
    largest = np.finfo(np.float32).max
    found = backend.narrow(np.array([largest, -largest], np.float32), STORED[dtype]).view(KNOWN[dtype])
    assert_array_equal(found.astype(np.float64), np.array([1, -1]) * float(ml_dtypes.finfo(KNOWN[dtype]).max))


@each_half
def test_any_shape(backend, dtype):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for array in (values, values.T, values[:, 1], values[:0]):
        found = backend.narrow(array, STORED[dtype])
        assert found.shape == array.shape
        assert_array_equal(found.view(KNOWN[dtype]).astype(np.float32), array)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint16", "int64"])
def test_what_has_the_dtype_is_left_as_it_is(backend, dtype):
    values = np.ones(5, dtype)
    assert backend.narrow(values, values.dtype) is values


def test_a_double_becomes_any_dtype_of_rows(backend):
    values = np.array([1.0, -2.5, 1e300])
    assert_array_equal(backend.narrow(values, np.dtype(np.float32)), np.float32([1, -2.5, np.finfo(np.float32).max]))
    for dtype in zoo.HALVES:
        assert_same_bits(backend.narrow(values, STORED[dtype]), nearest(values, dtype))


def results(backend, rows, note):
    """Every primitive whose result has the rows' dtype."""
    n, weights = len(rows), weights_of(len(rows))
    rejected, median = note
    return {
        "weighted_mean": backend.weighted_mean(rows, weights),
        "median": backend.median(rows),
        **{f"trimmed_mean {k}": backend.trimmed_mean(rows, k) for k in {0, min(1, (n - 1) // 2), (n - 1) // 2}},
        "mean_around_median": backend.mean_around_median(rows, n // 2 + 1),
        "weighted_median": backend.weighted_median(rows, weights),
        "rectified_mean": backend.rectified_mean(rows, rejected, median.copy(), weights, RESCALES[1]),
        "residual_mean": backend.residual_mean(rows, weights, RESIDUALS[1], THRESHOLD),
    }


@each_half
@pytest.mark.parametrize("n", SIZES)
def test_results_are_those_of_the_same_values_in_float32(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    singles = list(oracle.widened(rows).astype(np.float32))
    rejected, median, _ = backend.detect(rows, DEFAULTS, THRESHOLD)
    found, wide = (results(backend, given, (rejected, median)) for given in (rows, singles))
    for name, values in wide.items():
        expected = backend.narrow(values, rows[0].dtype)
        assert found[name].dtype == rows[0].dtype
        differs = specification.widened(found[name]) != specification.widened(expected)  # but for the sign of a zero
        assert_array_equal(kinds[differs], [], name)


@each_half
@pytest.mark.parametrize("d", [1, 63, 65, 4095, 4097, 70_001])
def test_results_of_any_length(backend, d, dtype):
    rows = zoo.rows_of(3, d, dtype)
    note = np.zeros((3, -(-d // 8)), np.uint8), np.zeros(d, np.float32)
    wide = results(backend, list(oracle.widened(rows).astype(np.float32)), note)
    for name, found in results(backend, rows, note).items():
        assert_same_bits(found, backend.narrow(wide[name], rows[0].dtype))
