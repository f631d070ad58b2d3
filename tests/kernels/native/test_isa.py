"""What only the native backend has: instruction sets, and algorithms that begin above the sizes of the shared tests."""

from __future__ import annotations

from functools import partial

import numpy as np
import oracle
import pytest
import zoo
from kernel_cases import RESCALES, menagerie
from numpy.testing import assert_allclose, assert_array_equal

from robustagg.errors import NonFinite
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
    note = rng.normal(size=1003).astype("float64" if dtype == "float64" else "float32")
    before, results = native._native.isa(), []
    for isa in native._native.usable_isas():
        native._native.set_isa(isa)
        mean = native.rectified_mean(rows, rejected, note.copy(), weights, RESCALES[1])
        trimmed = [native.trimmed_mean(rows, k) for k in range((n + 1) // 2)]
        results.append([native.median(rows), mean, native.weighted_mean(rows, weights), *trimmed])
    native._native.set_isa(before)
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            assert_array_equal(got, expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", zoo.HALVES)
@pytest.mark.parametrize("n", range(1, 18))  # up to 16 are sorted as whole numbers
def test_halves_are_ordered_like_the_same_values_in_float32(native, n, dtype):
    rows, kinds = menagerie(n, dtype)
    singles = list(oracle.widened(rows).astype(np.float32))
    for primitive in (native.median, *(partial(native.trimmed_mean, k=k) for k in range((n + 1) // 2))):
        got, expected = primitive(rows), native.narrow(primitive(singles), rows[0].dtype)
        assert_array_equal(kinds[specification.widened(got) != specification.widened(expected)], [])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", zoo.HALVES)
@pytest.mark.parametrize("n", [1, 2, 10, 16])
def test_a_half_that_is_not_finite_is_refused_whatever_its_bits(native, n, dtype):
    infinity = {"float16": 0x7C00, "bfloat16": 0x7F80}[dtype]
    for bits in (infinity, infinity + 1, 0x7FFF, infinity | 0x8000, infinity + 1 | 0x8000, 0xFFFF):
        for coordinate in (0, 63, 64, 69):
            rows = [row.copy() for row in zoo.rows_of(n, 70, dtype)]
            rows[n // 2].view(np.uint16)[coordinate] = bits
            for primitive in (native.median, partial(native.trimmed_mean, k=(n - 1) // 2)):
                with pytest.raises(NonFinite):
                    primitive(rows)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", zoo.HALVES)
def test_narrowed_values_are_the_specification_s(native, dtype):
    patterns = np.arange(0, 0x7F800000, 1009, np.uint32)
    values = np.concatenate([patterns, patterns | np.uint32(0x80000000)]).view(np.float32)
    stored = zoo.rows_of(1, 1, dtype)[0].dtype
    assert native.narrow(values, stored).tobytes() == specification.narrow(values, stored).tobytes()


def test_only_half_precision_is_narrowed_to(native):
    for dtype in ("int16", ">f2", "float32"):
        with pytest.raises(TypeError, match=r"half precision|rows must be"):
            native._native.narrow(np.ones(3, np.float32), np.dtype(dtype), 1)


def test_unknown_instruction_set(native):
    with pytest.raises(ValueError, match="sse1"):
        native._native.set_isa("sse1")
