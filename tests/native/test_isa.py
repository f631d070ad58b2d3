"""What only the native backend has: instruction sets, and algorithms that begin above the sizes of the shared tests."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from robustagg.kernels import numpy as specification

MANY = (128, 129, 130, 257, 1000, 2001)  # around where counting takes over from networks, and far above


def geometric(rng, n):
    """Values over all magnitudes: interpolation gains nothing on them, so that patterns of bits are halved."""
    return rng.permutation(np.geomspace(1e-37, 3e38, n) * np.where(np.arange(n) % 3 == 0, -1, 1))


KINDS = (zoo.gaussian, zoo.grid, zoo.sparse, zoo.colluding, geometric)


def rows_of(n, dtype):
    rng = np.random.default_rng(n)
    return list(np.stack([kind(rng, n) for kind in KINDS * 7], axis=1).astype(dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", MANY)
def test_order_statistics_of_many(native, n, dtype):
    rows = rows_of(n, dtype)
    near = 4 * np.finfo(dtype).eps
    assert_allclose(native.median(rows), specification.median(rows), rtol=near)
    for k in (1, n // 5, (n - 1) // 2):
        got, expected = native.trimmed_mean(rows, k), specification.trimmed_mean(rows, k)
        kept = np.sort(np.stack(rows), axis=0)[k : n - k]
        assert_allclose(got, expected, rtol=0, atol=n * near * np.abs(kept).max())
        assert (kept[0] <= got).all()
        assert (got <= kept[-1]).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [3, 33, 70])
def test_products_and_mixtures(native, n, dtype):
    rows, rng = zoo.rows_of(n, 1003, dtype), np.random.default_rng(n)
    some = rng.random((20, n)) < 0.7
    near = 1e-6 if dtype != "float64" else 1e-13
    for matrix in (rng.normal(size=(20, n)), some / n, np.eye(n)):
        assert_allclose(native.mix(rows, matrix), specification.mix(rows, matrix), rtol=near, atol=near)
    for reference in (None, 1):
        assert_allclose(native.measure(rows, reference), specification.measure(rows, reference), rtol=1e-12, atol=1e-9)
    products = native.gram(rows)[0]
    assert_allclose(products, specification.gram(rows)[0], rtol=1e-12, atol=1e-9)
    value, vector = native.top_eigenpair(products)
    assert_allclose(value, np.linalg.eigvalsh(products)[-1], rtol=1e-13)
    assert_allclose(products @ vector, value * vector, rtol=0, atol=1e-13 * value)


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [*range(1, 19), 37])  # up to 16 in registers, one group of rows; then in groups of 4
def test_means_and_medians_have_the_same_bits_under_every_instruction_set(native, n, dtype):
    rows, rng = zoo.rows_of(n, 1003, dtype), np.random.default_rng(n)
    weights = rng.dirichlet(np.ones(n))
    rejected = rng.integers(0, 256, (n, 126), dtype=np.uint8)
    before, results = native._native.isa(), []
    for isa in native._native.usable_isas():
        native._native.set_isa(isa)
        median = native.median(rows)
        mean = native.rectified_mean(rows, rejected, median.copy(), weights, value_range=2.0, rescale="paper")
        trimmed = [native.trimmed_mean(rows, k) for k in range((n + 1) // 2)]
        results.append([median, mean, native.weighted_mean(rows, weights), *trimmed])
    native._native.set_isa(before)
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            assert_array_equal(got, expected)


def test_unknown_instruction_set(native):
    with pytest.raises(ValueError, match="sse1"):
        native._native.set_isa("sse1")
