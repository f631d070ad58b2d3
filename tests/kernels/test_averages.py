"""Means, order statistics and products in every backend against the specification."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import zoo
from kernel_cases import SIZES, compute_dtype, menagerie, weights_of
from numpy.testing import assert_allclose, assert_array_equal
from tolerances import ROUNDED, SUM, flushed, unit

from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import GRAM_LIMIT, GRAM_TILE
from robustagg.rules.evidence.sums import Digits


@pytest.mark.parametrize("dtype", zoo.COMPUTE_DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_weighted_mean(backend, n, dtype):
    rows, _ = menagerie(n, dtype)
    y, weights = oracle.widened(rows), weights_of(n)
    got, expected = backend.weighted_mean(rows, weights), specification.weighted_mean(rows, weights)
    assert got.dtype == dtype
    size = np.max(np.abs(y), axis=0)
    assert (np.abs(got / 4 - expected / 4) <= SUM * n * unit(got.dtype) * (size / 4) + flushed(got.dtype)).all()
    assert np.isfinite(got).all()


@pytest.mark.parametrize("dtype", zoo.COMPUTE_DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_median_and_trimmed_mean(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    y = oracle.widened(rows)
    for k in {None, 0, (n - 1) // 4, n // 4, (n - 1) // 2}:
        primitive = (lambda b, k=k: b.median(rows)) if k is None else (lambda b, k=k: b.trimmed_mean(rows, k))
        got, expected = primitive(backend), primitive(specification)
        assert got.dtype == dtype
        size = np.abs(expected) if k is None else np.abs(np.sort(y, axis=0)[k : n - k]).max(axis=0)
        near = ROUNDED * (1 if k is None else n) * unit(got.dtype) * (size / 4) + flushed(got.dtype)
        assert_array_equal(kinds[np.abs(got / 4 - expected / 4) > near], [])
        if k is None:
            assert ((got >= y.min(axis=0)) & (got <= y.max(axis=0))).all()


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_mixed_rows(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    for matrix in mixtures(n):
        got, expected = backend.mix(rows, matrix), specification.mix(rows, matrix)
        assert got.dtype == compute_dtype(dtype)
        size = np.abs(oracle.widened(rows)).max(axis=0)
        near = 3 * SUM * n * unit(got.dtype) * (size / 4) + flushed(got.dtype)
        assert_array_equal(kinds[(np.abs(got / 4 - expected / 4) > near).any(axis=0)], [])


def mixtures(n):
    """Matrices of every kind that a kernel may treat in its own way."""
    rng = np.random.default_rng(n)
    yield np.vstack([weights_of(n), -3 * weights_of(n), np.zeros(n)])
    yield np.diag(weights_of(n))
    few = rng.random((17, n)) < 0.6  # one weight, 0 for the others: in each row another
    few[0] = False
    yield few * np.linspace(-1, 1, 17)[:, None] / n


@pytest.mark.parametrize("dtype", zoo.COMPUTE_DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_mean_around_median(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    for k in {1, max(1, n // 2), n}:
        got, expected = backend.mean_around_median(rows, k), specification.mean_around_median(rows, k)
        assert got.dtype == dtype
        near = ROUNDED * n * unit(got.dtype) * (np.abs(oracle.widened(rows)).max(axis=0) / 4) + flushed(got.dtype)
        assert_array_equal(kinds[np.abs(got / 4 - expected / 4) > near], [])


@pytest.mark.parametrize("dtype", zoo.COMPUTE_DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_weighted_median(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    rng = np.random.default_rng(n)
    for weights in (np.ones(n), rng.integers(0, 4, n) + (np.arange(n) == 0), 2.0**40 * rng.integers(1, 4, n)):
        weights = weights.astype(np.float64)
        got, expected = backend.weighted_median(rows, weights), specification.weighted_median(rows, weights)
        assert got.dtype == dtype
        near = ROUNDED * unit(got.dtype) * (np.abs(expected) / 4) + flushed(got.dtype)
        assert_array_equal(kinds[np.abs(got / 4 - expected / 4) > near], [])


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_measure(backend, n, dtype):
    for rows in (zoo.rows_of(n, GRAM_TILE + 100, dtype), menagerie(n, dtype)[0]):
        for reference in (None, 0, n - 1):
            got, expected = backend.measure(rows, reference), specification.measure(rows, reference)
            y = np.stack([specification.widened(row[:GRAM_TILE]) for row in rows]).clip(-GRAM_LIMIT, GRAM_LIMIT)
            size = np.sqrt((y * y).sum(axis=1).max())
            assert got.dtype == np.float64
            assert_allclose(got, expected, rtol=0, atol=SUM * GRAM_TILE * unit(np.float64) * size**2)
            if reference is not None:
                assert_array_equal(got[:, reference, 0], 0)


def test_measure_of_numbers_that_say_what_it_is(backend):
    rows = [np.array(row, np.float32) for row in ([3, 4], [0, 2], [3, 4])]
    assert_array_equal(backend.measure(rows, 1), [[[13, 8, 25], [0, 4, 4], [13, 8, 25]]])
    assert_array_equal(backend.measure(rows, None), [[[25, 0, 25], [4, 0, 4], [25, 0, 25]]])
    assert backend.measure([row[:0] for row in rows], None).shape == (0, 3, 3)


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [n for n in SIZES if n <= 33])
def test_gram(backend, n, dtype):
    rows = zoo.rows_of(n, GRAM_TILE + 100, dtype)
    got, expected = backend.gram(rows), specification.gram(rows)
    assert got.shape == (2, n + 1, n + 1)
    assert got.dtype == np.float64
    assert_array_equal(got, got.transpose(0, 2, 1))
    assert_allclose(got, expected, rtol=0, atol=GRAM_TILE * unit(np.float64) * expected.max())
    rows, _ = menagerie(n, dtype)
    size = np.sqrt(np.diagonal(specification.gram(rows)[0]))
    assert_allclose(
        backend.gram(rows)[0], specification.gram(rows)[0], rtol=0, atol=SUM * n * unit(np.float64) * size.max() ** 2
    )


def test_digits(backend):
    """What NumPy's arithmetic says, to the bit, where the matrices lie or at the host; and the sum itself."""
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(37, 4, 5)) * np.exp2(rng.integers(-990, 900, (1, 4, 5)) + rng.integers(0, 60, (37, 4, 5)))
    terms[:, 0] = [0.0, 2.0**-1000, 2.0**-992, 1.0, 2.0**32]
    machine = getattr(backend, "machine", None)
    counts, level = backend.digits(terms if machine is None else machine.bring(terms))
    expected = specification.digits(terms)
    assert_array_equal(counts, expected[0])
    assert_array_equal(level, expected[1])
    exact = [[math.fsum(terms[:, i, j]) for j in range(5)] for i in range(4)]
    assert_allclose(Digits(counts, level).value()[:, 1:], np.array(exact)[:, 1:], rtol=2e-16, atol=1e-290)
