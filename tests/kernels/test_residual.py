"""The kernels of residual-based re-weighting: every backend against the specification, and that against brute force."""

from __future__ import annotations

import definitions
import numpy as np
import oracle
import pytest
import zoo
from kernel_cases import RESIDUALS, SIZES, THRESHOLD, compute_dtype, menagerie, weights_of
from numpy.testing import assert_allclose, assert_array_equal
from tolerances import LINE, ROUNDED, unit

from robustagg import kernels
from robustagg.errors import NonFinite
from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import RESIDUAL_UNIT

each_line = pytest.mark.parametrize("line", RESIDUALS, ids=lambda line: line.intercept)


@each_line
@pytest.mark.parametrize("n", [4, 9, 16])
def test_specification_is_the_definition(n, line):
    x = np.random.default_rng(n).normal(size=(n, 20))
    x[0] += 5
    weights, update = definitions.residual_reweighting(x, authors=line.leave_smallest)
    total = specification.residual_weights(list(x), line)
    assert_allclose((total / total.max()) ** 2 / ((total / total.max()) ** 2).sum(), weights, rtol=1e-7, atol=1e-9)
    got = specification.residual_mean(list(x), weights, line, THRESHOLD)
    assert_allclose(got, update, rtol=1e-10, atol=1e-12)


def undecided(rows, line):
    """Columns in which a confidence is so near the threshold, or two ranks' so far apart, that rounding may decide."""
    y = oracle.widened(rows)
    c = specification.judged(*specification.down_scaled(y), line, line.leave_smallest)[0]
    return (np.abs(c - THRESHOLD) < 1e-2 * THRESHOLD).any(axis=0)


@pytest.mark.parametrize("dtype", zoo.COMPUTE_DTYPES)
@pytest.mark.parametrize("n", SIZES)
@each_line
def test_backends_agree_with_the_specification(backend, n, dtype, line):
    rows, _ = menagerie(n, dtype)
    weights = weights_of(n)
    got = backend.residual_mean(rows, weights, line, THRESHOLD)
    expected = specification.residual_mean(rows, weights, line, THRESHOLD)
    assert got.dtype == dtype
    assert np.isfinite(got).all()
    decided = ~undecided(rows, line) if n >= 3 else np.ones(got.size, bool)
    size = np.abs(oracle.widened(rows)).max(axis=0) / 4
    near = LINE * n * unit(got.dtype) * size + np.finfo(got.dtype).smallest_normal
    assert (np.abs(got / 4 - expected / 4) <= ROUNDED * near)[decided].all()


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
@each_line
def test_clients_sums_agree_with_the_specification(backend, n, dtype, line):
    rng = np.random.default_rng(n)
    columns = [kind(rng, n) for kind in (zoo.gaussian, zoo.grid, zoo.colluding, zoo.heavy) for _ in range(16)]
    rows = zoo.read_only(zoo.encode(np.column_stack(columns), dtype))
    got = backend.residual_weights(rows, line)
    expected = specification.residual_weights(rows, line)
    assert got.dtype == np.int64
    near = LINE * n * unit(compute_dtype(dtype)) + RESIDUAL_UNIT
    assert_allclose(got * RESIDUAL_UNIT, expected * RESIDUAL_UNIT, rtol=0, atol=ROUNDED * near * len(columns))


@each_line
def test_sums_do_not_depend_on_threads_or_blocks(backend, line, default_threads):
    rows = zoo.rows_of(7, 5000)
    whole = backend.residual_weights(rows, line)
    for threads in (1, 2, 3, 7):
        kernels.set_num_threads(threads)
        assert_array_equal(backend.residual_weights(rows, line), whole)
    parts = [backend.residual_weights([row[a:b] for row in rows], line) for a, b in ((0, 777), (777, 5000))]
    assert_array_equal(sum(parts), whole)


@each_line
def test_equal_columns_say_nothing(backend, line):
    rows = [np.full(100, 3.5, np.float32)] * 6
    assert_array_equal(backend.residual_weights(rows, line), 0)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_told(backend, n, bad):
    matrix = np.ones((n, 100), np.float32)
    matrix[n - 1, 77] = bad
    for line in RESIDUALS:
        with pytest.raises(NonFinite):
            backend.residual_weights(list(matrix), line)
        with pytest.raises(NonFinite):
            backend.residual_mean(list(matrix), np.full(n, 1 / n), line, THRESHOLD)
