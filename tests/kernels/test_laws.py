"""Laws that hold in every backend whatever the values: found by Hypothesis, exact where the arithmetic is."""

from __future__ import annotations

import kernel_cases
import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import THRESHOLD, law, settings
from numpy.testing import assert_allclose, assert_array_equal
from tolerances import ROUNDED, flushed, unit

DTYPES = st.sampled_from([np.float32, np.float64])
INTERCEPTS = st.sampled_from(kernel_cases.INTERCEPTS)
RESCALES = st.sampled_from(kernel_cases.RESCALES)
EXACT_RESCALES = st.sampled_from(kernel_cases.RESCALES[::2])  # a standard deviation depends on the order


def grids(least: int = 1) -> st.SearchStrategy[np.ndarray]:
    """Matrices (n, d) of multiples of 1/64 up to 16: full of ties, and shifts of them are exact."""
    shape = st.tuples(st.integers(least, 24), st.integers(1, 9))
    few, many = st.integers(-4, 4), st.integers(-1024, 1024)
    return shape.flatmap(lambda s: arrays(np.int64, s, elements=few | many)).map(lambda a: a / 64)


def detect(backend, rows, rescale, intercept, factor=1.0):
    if rescale.value_range is not None:
        rescale = rescale._replace(value_range=rescale.value_range * factor)
    options = settings(rescale, intercept)
    return backend.detect(list(rows), options._replace(scale_floor=options.scale_floor * factor), THRESHOLD)


@law
@given(grids(), DTYPES, EXACT_RESCALES, INTERCEPTS, st.randoms(use_true_random=False))
def test_order_of_clients_does_not_matter(backend, matrix, dtype, rescale, intercept, random):
    rows = matrix.astype(dtype)
    order = list(range(len(rows)))
    random.shuffle(order)
    before, after = (detect(backend, r, rescale, intercept) for r in (rows, rows[order]))
    assert_array_equal(after.rejected, before.rejected[order])
    assert_array_equal(after.median, before.median)
    assert_array_equal(after.rejections, before.rejections[order])
    assert_array_equal(backend.median(list(rows[order])), backend.median(list(rows)))


@law
@given(grids(), DTYPES, EXACT_RESCALES, INTERCEPTS, st.integers(-1000, 1000))
def test_shift_changes_no_decision(backend, matrix, dtype, rescale, intercept, shift):
    rows = matrix.astype(dtype)
    before, after = (detect(backend, r, rescale, intercept) for r in (rows, rows + dtype(shift)))
    assert_array_equal(after.rejected, before.rejected)
    assert_array_equal(after.median, before.median + dtype(shift))


@law
@given(grids(), DTYPES, RESCALES, INTERCEPTS, st.integers(-10, 20))
def test_scale_changes_no_decision(backend, matrix, dtype, rescale, intercept, exponent):
    factor = 2.0**exponent
    rows = matrix.astype(dtype)
    before = detect(backend, rows, rescale, intercept)
    after = detect(backend, rows * dtype(factor), rescale, intercept, factor)
    assert_array_equal(after.rejected, before.rejected)
    assert_array_equal(after.median, before.median * dtype(factor))


@law
@given(grids(), DTYPES, RESCALES, INTERCEPTS, st.data())
def test_result_stays_in_the_box(backend, matrix, dtype, rescale, intercept, data):
    rows = matrix.astype(dtype)
    n = len(rows)
    weights = data.draw(arrays(np.float64, n, elements=st.floats(0, 1)))
    weights = weights / weights.sum() if weights.sum() > 1e-9 else np.full(n, 1 / n)
    rejected, median, _ = detect(backend, rows, rescale, intercept)
    values = backend.rectify(list(rows), rejected, median, rescale)
    mean = backend.rectified_mean(list(rows), rejected, median.copy(), weights, rescale)
    near = n * ROUNDED * unit(dtype) * np.abs(matrix).max(axis=0)
    for result in (values, mean, median, backend.weighted_mean(list(rows), weights)):
        assert (result >= matrix.min(axis=0) - near).all()
        assert (result <= matrix.max(axis=0) + near).all()


@law
@given(grids(3), DTYPES, RESCALES, INTERCEPTS, st.data())
def test_equal_values_are_treated_equally(backend, matrix, dtype, rescale, intercept, data):
    rows = matrix.astype(dtype)
    i, j = (data.draw(st.integers(0, len(rows) - 1)) for _ in range(2))
    rows[i] = rows[j]
    rejected, _, counts = detect(backend, rows, rescale, intercept)
    assert_array_equal(rejected[i], rejected[j])
    assert counts[i] == counts[j]


@law
@given(arrays(np.float64, st.integers(0, 70), elements=st.floats(-1e30, 1e30)), DTYPES, RESCALES, INTERCEPTS)
def test_one_in_one_out(backend, row, dtype, rescale, intercept):
    rows = [row.astype(dtype)]
    rejected, median, counts = detect(backend, rows, rescale, intercept)
    assert not rejected.any()
    assert not counts.any()
    slope, start = backend.repeated_median(rows, intercept)
    assert not slope.any()
    mean = backend.rectified_mean(rows, rejected, median.copy(), np.ones(1), rescale)
    for result in (median, start, mean, backend.median(rows), backend.weighted_mean(rows, np.ones(1))):
        assert_allclose(result, rows[0], rtol=0, atol=flushed(rows[0].dtype))


EIGENVALUES = {
    "normal": lambda rng, n: rng.chisquare(5, n),
    "of both signs": lambda rng, n: rng.normal(size=n),
    "negative": lambda rng, n: -1 - rng.random(n),
    "clustered": lambda rng, n: 1 - 1e-14 * rng.random(n),
    "one": lambda rng, n: (np.arange(n) == 0).astype(float),
    "far apart": lambda rng, n: 10.0 ** -np.arange(n),
    "equal": lambda rng, n: np.ones(n),
    "nothing": lambda rng, n: np.zeros(n),
}


@hypothesis_settings(law, max_examples=200)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
    st.sampled_from(sorted(EIGENVALUES)),
    st.sampled_from(["dense", "blocks", "diagonal"]),
    st.sampled_from([1.0, 1e-150, 1e290, 1e-290]),
)
def test_the_top_eigenpair_is_one_and_the_largest(backend, seed, n, kind, shape, scale):
    rng = np.random.default_rng(seed)
    values, basis = EIGENVALUES[kind](rng, n), np.eye(n)
    if shape != "diagonal":
        half = n // 2 if shape == "blocks" else 0  # blocks have nothing to do with each other
        for part in (slice(half), slice(half, n)):
            basis[part, part] = np.linalg.qr(rng.normal(size=basis[part, part].shape))[0]
    matrix = (basis * values) @ basis.T
    matrix = (matrix + matrix.T) / 2
    value, vector = backend.top_eigenpair(matrix * scale)
    near = 1e-15 * (10 + n) * np.abs(values).max()
    assert vector.shape == (n,)
    assert_allclose(value / scale, values.max(), rtol=0, atol=near)
    assert_allclose(vector @ vector, 1, rtol=1e-13)
    assert_allclose(matrix @ vector, value / scale * vector, rtol=0, atol=near)


@law
@given(st.floats(-170, -130), st.booleans())
def test_the_top_eigenpair_beside_numbers_whose_squares_vanish(backend, exponent, turned):
    tiny = 10.0**exponent
    matrix = np.array([[1, tiny, 2 * tiny], [tiny, tiny, 0], [2 * tiny, 0, tiny / 2]])
    value, vector = backend.top_eigenpair(matrix[::-1, ::-1].copy() if turned else matrix)
    assert_allclose(value, 1, rtol=1e-14)
    assert_allclose(np.abs(vector), [0, 0, 1] if turned else [1, 0, 0], rtol=0, atol=1e-14)
