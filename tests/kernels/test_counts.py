"""Extremes, counts of signs and magnitudes, and sums of differences, in every backend against the specification."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import zoo
from kernel_cases import SIZES, menagerie
from numpy.testing import assert_allclose, assert_array_equal
from tolerances import SUM, unit

from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import GRAM_LIMIT, GRAM_TILE


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_extremes_and_signs(backend, n, dtype):
    for rows in (menagerie(n, dtype)[0], zoo.rows_of(n, 5000, dtype)):
        y = oracle.widened(rows)
        greatest, least = backend.extremes(rows)
        assert greatest.dtype == least.dtype == rows[0].dtype
        assert_array_equal(oracle.widened([greatest, least]), [y.max(axis=0), y.min(axis=0)])
        for least in (1, 2, n):
            signs, sums = backend.majority(rows, least), np.sign(y).sum(axis=0)
            assert signs.dtype == np.int8
            assert_array_equal(signs, np.where(np.abs(sums) >= least, np.sign(sums), 0))
        outer = backend.outermost(rows)
        assert outer.dtype == np.int64
        assert_array_equal(outer, ((y == y.max(axis=0)) | (y == y.min(axis=0))).sum(axis=1))
        counts = backend.sign_counts(rows)
        assert counts.dtype == np.int64
        assert_array_equal(counts, np.stack([(y > 0).sum(axis=1), (y < 0).sum(axis=1)], axis=1))


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [n for n in SIZES if n <= 33])
def test_magnitude_counts(backend, n, dtype):
    for rows in (menagerie(n, dtype)[0], zoo.rows_of(n, 3000, dtype)):
        signs = np.sign(np.arange(rows[0].size) % 3 - 1.0).astype(np.int8)
        prefixes = np.zeros(n, np.int64)
        for shift, bits in ((20, 11), (10, 10), (0, 10)):
            counts = backend.magnitude_counts(rows, signs, shift, bits, prefixes)
            assert (counts.dtype, counts.shape) == (np.int64, (n, 2, 1 << bits))
            assert_array_equal(counts, specification.magnitude_counts(rows, signs, shift, bits, prefixes))
            prefixes = prefixes << bits | counts.sum(axis=1).argmax(axis=1)  # on to the fullest


def test_magnitude_counts_of_numbers_that_say_what_it_is(backend):
    row = np.array([1.0, -1.0, 1.5, 0.0, -0.0, 2.0], np.float32)  # exponents 127, 127, 127, 0, 0, 128
    counts = backend.magnitude_counts([row], np.array([1, 1, 1, 0, 1, 1], np.int8), 23, 8, np.zeros(1, np.int64))
    assert {(int(a), int(k)): int(counts[0, a, k]) for a, k in zip(*np.nonzero(counts[0]), strict=True)} == {
        (0, 0): 1,
        (0, 127): 1,
        (1, 0): 1,
        (1, 127): 2,
        (1, 128): 1,
    }


@pytest.mark.parametrize("dtype", zoo.DTYPES)
def test_sparsify_leaves_what_is_as_large_as_a_key_and_larger(backend, dtype):
    rows = zoo.rows_of(4, 3000, dtype)
    sizes = abs(oracle.widened(rows))
    wide = specification.compute_dtype(rows)
    least = sizes[np.arange(4), [0, 1, 2, 3]].astype(wide)
    keys = (least.view(f"u{wide.itemsize}") >> (8 * wide.itemsize - 32)).astype(np.int64)
    kept = backend.sparsify(rows, keys)
    assert all(row.dtype == rows[0].dtype for row in kept)
    assert_array_equal(oracle.widened(kept), np.where(sizes >= least[:, None], oracle.widened(rows), 0))


def test_agreements_of_numbers_that_say_what_it_is(backend):
    rows = [np.array(row, np.float32) for row in ([2, -2, 1, 0, -0.5], [2, 2, -4, 4, -0.5], [0, -2, -1, 0, -0.5])]
    keys = np.array([127, 127, 0], np.int64) << 23  # from 1, 1 and 0 on
    assert_array_equal(backend.agreements(rows, keys), [[3, -1, 0], [-1, 4, 0], [0, 0, 3]])


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [n for n in SIZES if n > 1])
def test_differences_from_the_last_row(backend, n, dtype):
    for rows in (menagerie(n, dtype)[0], zoo.rows_of(n, 3000, dtype)):
        wide = specification.compute_dtype(rows)
        y, largest = oracle.widened(rows).astype(wide), np.finfo(wide).max
        found = backend.differences(rows)
        assert found.dtype == wide
        with np.errstate(over="ignore"):
            assert_array_equal(found, np.clip(y[:-1] - y[-1], -largest, largest))


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [n for n in SIZES if n <= 33])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_agreements(backend, n, dtype, share):
    for rows in (menagerie(n, dtype)[0], zoo.rows_of(n, 3000, dtype)):
        y = oracle.widened(rows).astype(specification.compute_dtype(rows))
        keys = specification.magnitude_keys(y)
        least = np.quantile(keys, share, axis=1, method="higher")
        signs = np.where(keys >= least[:, None], np.sign(y), 0).astype(np.int64)
        found = backend.agreements(rows, least)
        assert found.dtype == np.int64
        assert_array_equal(found, [[sum(a * b) for b in signs] for a in signs])


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [n for n in SIZES if n <= 33])
def test_manhattan(backend, n, dtype):
    for rows in (zoo.rows_of(n, GRAM_TILE + 100, dtype), menagerie(n, dtype)[0]):
        got, expected = backend.manhattan(rows), specification.manhattan(rows)
        assert (got.dtype, got.shape) == (np.float64, expected.shape)
        assert_array_equal(got, got.transpose(0, 2, 1))
        assert_allclose(got, expected, rtol=SUM * GRAM_TILE * unit(np.float64), atol=0)


def test_manhattan_of_numbers_that_say_what_it_is(backend):
    rows = [np.array(row, np.float64) for row in ([3, 4], [0, 2], [1.7e308, -1.7e308])]
    assert_array_equal(backend.manhattan(rows[:2]), [[[0, 5], [5, 0]]])
    assert_array_equal(backend.manhattan(rows)[0, 2], [2 * GRAM_LIMIT, 2 * GRAM_LIMIT, 0])
    assert backend.manhattan([row[:0] for row in rows]).shape == (0, 3, 3)
