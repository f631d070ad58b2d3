"""The reputation rule's primitives in every backend against the specification, and that against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
import oracle
import pytest
import zoo
from kernel_cases import (
    DEFAULTS,
    INTERCEPTS,
    LENGTHS,
    RESCALES,
    SIZES,
    THRESHOLD,
    check_detection,
    compute_dtype,
    menagerie,
    settings,
    weights_of,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import siegelslopes
from tolerances import LINE, ROUNDED, flushed, unit

from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import GRAM_LIMIT, GRAM_TILE, SHRINK, Rescale

# --- the specification is right -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_specification_of_the_line_agrees_with_exact_arithmetic(n, intercept):
    rng = np.random.default_rng(n)
    for kind in zoo.ORDINARY[: 3 if n > 64 else None]:
        y = np.sort(kind(rng, n))
        expected = oracle.exact_line([Fraction(v) for v in y], intercept)
        got = specification.repeated_median(list(y[:, None]), intercept)
        near = LINE * unit(np.float64) * n * max(1.0, np.abs(y).max())
        assert_allclose(np.ravel(got), [float(v) for v in expected], rtol=0, atol=near, err_msg=kind.__name__)


@pytest.mark.parametrize("n", [n for n in SIZES if 3 <= n <= 65])
@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_specification_of_the_confidence_agrees_with_exact_arithmetic(n, intercept):
    rng = np.random.default_rng(n)
    for kind in (zoo.gaussian, zoo.grid, zoo.sparse, zoo.colluding):
        column = kind(rng, n)
        expected = oracle.exact_confidence(column.tolist(), intercept, 2.0, 1e-7)
        got = specification.confidence(list(column[:, None]), settings(RESCALES[0], intercept))
        low, high, _ = oracle.confidence_range(column[:, None], np.dtype(np.float64), settings(RESCALES[0], intercept))
        low, high = low - ROUNDED * unit(np.float64), high + ROUNDED * unit(np.float64)
        for confidence in (np.array(expected)[:, None], got):
            assert ((low <= confidence) & (confidence <= high)).all(), kind.__name__


@pytest.mark.parametrize("n", [3, 4, 10, 33])
def test_specification_of_the_rescale_agrees_with_exact_arithmetic(n):
    rng = np.random.default_rng(n)
    for kind in zoo.ORDINARY:
        column = kind(rng, n)
        nothing_rejected = np.zeros((n, 1), np.uint8)
        got = specification.rectify(list(column[:, None]), nothing_rejected, np.zeros(1), RESCALES[1])
        near = n * ROUNDED * unit(np.float64) * max(1.0, np.abs(column).max())
        assert_allclose(got[:, 0], oracle.exact_rescale(column.tolist(), 2.0), rtol=0, atol=near)


@pytest.mark.parametrize("method", ["separate", "hierarchical"])
@pytest.mark.parametrize("n", [2, 3, 10, 33, 100])
def test_line_is_that_of_scipy(backend, n, method):
    columns = np.random.default_rng(n).normal(size=(n, 9))
    slope, intercept = backend.repeated_median(list(columns), method)
    expected = np.array([siegelslopes(np.sort(column), np.arange(n), method=method) for column in columns.T])
    assert_allclose(slope, expected[:, 0], rtol=0, atol=LINE * n * unit(np.float64))
    assert_allclose(intercept, expected[:, 1], rtol=0, atol=LINE * n * n * unit(np.float64))


# --- every backend agrees with it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_repeated_median(backend, n, dtype, intercept):
    rows, kinds = menagerie(n, dtype)
    slope, start = backend.repeated_median(rows, intercept)
    assert slope.dtype == start.dtype == compute_dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # the huge columns are compared in a smaller unit
        y, e = specification.down_scaled(
            oracle.widened(rows) if dtype == "float64" else oracle.widened(rows) * 2.0**-32
        )
    e = e if dtype == "float64" else e + 32
    ranked = np.sort(y, axis=0)
    expected = specification.line(ranked, intercept)
    scale = oracle.line_scale(ranked, *expected)
    near = LINE * unit(slope.dtype) * scale + np.ldexp(4 * n * flushed(slope.dtype), -e)
    largest = np.ldexp(float(np.finfo(slope.dtype).max), -e)
    for got, wanted, more in zip((slope, start), expected, (0, np.abs(ranked[(n - 1) // 2])), strict=True):
        difference = np.abs(np.ldexp(got.astype(float), -e) - np.clip(wanted, -largest, largest))
        assert_array_equal(kinds[difference > near + ROUNDED * unit(slope.dtype) * (np.abs(wanted) + more)], [])


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("rescale", "intercept"), list(product(RESCALES, INTERCEPTS)))
def test_detection(backend, n, dtype, rescale, intercept):
    rows, kinds = menagerie(n, dtype)
    check_detection(backend, rows, kinds, rescale, intercept)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [n for n in (*SIZES, 7, 10) if n >= 3])
def test_where_most_values_are_equal_the_floor_decides(backend, n, dtype):
    """The residuals' median is 0 or nearly so: what is rejected depends on how far the floor reaches."""
    rng, d = np.random.default_rng(n), 500
    width = DEFAULTS.interval_width * np.sqrt(2 / n) / THRESHOLD
    off = DEFAULTS.scale_floor * width * rng.uniform(0.1, 2, (n, d)) * rng.choice([-1.0, 1.0], (n, d))
    off[:, ::5] *= 1e6  # far beyond it
    off[rng.random((n, d)) < rng.uniform(0.3, 1, d)] = 0
    level = np.where(np.arange(d) % 2 == 0, 0.0, 2.0**-20)
    rows = list((off + level).astype(dtype))
    for intercept in INTERCEPTS:
        check_detection(backend, rows, np.full(d, "level"), RESCALES[0], intercept)


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("rescale", RESCALES)
def test_rectification(backend, n, dtype, rescale):
    rows, kinds = menagerie(n, dtype)
    rejected, median, _ = specification.detect(rows, settings(rescale), THRESHOLD)
    own = backend.detect(rows, settings(rescale), THRESHOLD).median
    y = np.abs(oracle.widened(rows)).max(axis=0)
    near = n * ROUNDED * unit(median.dtype) * (y / 4) + flushed(median.dtype)
    assert_array_equal(kinds[np.abs(own / 4 - median / 4) > near], [])
    got = backend.rectify(rows, rejected, median, rescale)
    expected = specification.rectify(rows, rejected, median, rescale)
    assert got.dtype == median.dtype
    assert got.shape == (n, y.size)
    assert_array_equal(kinds[(np.abs(got / 4 - expected / 4) > near).any(axis=0)], [])
    if dtype in zoo.COMPUTE_DTYPES:
        note = median.copy()
        mean = backend.rectified_mean(rows, rejected, note, weights_of(n), rescale)
        assert_array_equal(note, median)
        expected = specification.rectified_mean(rows, rejected, median.copy(), weights_of(n), rescale)
        assert_array_equal(kinds[np.abs(mean / 4 - expected / 4) > near], [])


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 33])
@pytest.mark.parametrize("rescale", [*RESCALES, Rescale(6.0, "clip")], ids=str)
def test_deviations(backend, n, dtype, rescale):
    """Of two tiles, of which clipping changes no row, some or all, and of strange columns, huge ones shrunk."""
    shrunk = np.ones(n, np.uint8) if dtype == "float64" else None
    for rows, marks in ((zoo.rows_of(n, GRAM_TILE + 100, dtype), None), (menagerie(n, dtype)[0], shrunk)):
        y = oracle.widened(rows)
        bits = np.random.default_rng(n).random(y.shape) < 0.2
        median = specification.quiet(specification.median_of)(y).astype(compute_dtype(dtype))
        note = np.packbits(bits, axis=1, bitorder="little"), median
        got = backend.deviations(rows, *note, rescale, marks)
        expected = specification.deviations(rows, *note, rescale, marks)
        near = n * ROUNDED * unit(median.dtype) * np.abs(y).max(axis=0) + flushed(median.dtype)
        room = np.linalg.norm(near * (1 if marks is None else SHRINK))
        assert got.dtype == np.float64
        assert_allclose(np.sqrt(got[..., 0]), np.sqrt(expected[..., 0]), rtol=1e-12, atol=room)
        assert_allclose(got[..., 1], expected[..., 1], rtol=4 * unit(median.dtype), atol=near.max())


def test_deviations_of_numbers_that_say_what_they_are(backend):
    rows = [np.array(row, np.float64) for row in ([3, 0, 1], [1, 9, 1], [1, 0, 2**600])]
    rejected, median = np.array([[0], [0b010], [0]], np.uint8), np.array([1.0, 0, 1])
    told = partial(backend.deviations, rows, rejected, median)
    none, shrunk = Rescale(None, "clip"), np.array([0, 0, 1], np.uint8)
    assert_array_equal(told(none, shrunk), [[[4, 2], [0, 0], [(2.0**600 * SHRINK) ** 2, 2.0**600]]])
    assert_array_equal(told(none), [[[4, 2], [0, 0], [GRAM_LIMIT**2, 2.0**600]]])
    assert_array_equal(told(Rescale(1.0, "clip")), [[[0.25, 0.5], [0, 0], [0.25, 0.5]]])
    assert backend.deviations([row[:0] for row in rows], rejected[:, :0], median[:0], none).shape == (0, 3, 2)


@pytest.mark.parametrize("n", [3, 17])
@pytest.mark.parametrize("d", LENGTHS)
def test_any_length(backend, n, d):
    rows = zoo.rows_of(n, d)
    check_detection(backend, rows, np.full(d, "grid" if d < 64 else "gaussian"), RESCALES[1], "separate")
    rejected, median, counts = backend.detect(rows, DEFAULTS, THRESHOLD)
    assert backend.rectify(rows, rejected, median, RESCALES[1]).shape == (n, d)
    assert backend.rectified_mean(rows, rejected, median, weights_of(n), RESCALES[1]).shape == (d,)
    for result in (
        backend.median(rows),
        backend.trimmed_mean(rows, 1),
        backend.weighted_mean(rows, weights_of(n)),
        backend.mean_around_median(rows, 2),
        backend.weighted_median(rows, weights_of(n)),
    ):
        assert result.shape == (d,)
    assert [part.shape for part in backend.repeated_median(rows, "separate")] == [(d,), (d,)]
    assert backend.finite(rows).all()
    assert counts.shape == (n,)


@pytest.mark.parametrize("n", range(3, 34))
def test_every_number_of_few_clients(backend, n):
    """Numba compiles networks for each number up to 32."""
    for dtype in ("float32", "float64"):
        rows, kinds = menagerie(n, dtype, 1)
        check_detection(backend, rows, kinds, RESCALES[1], "separate")


@pytest.mark.parametrize("n", [129, 200, 333])
def test_more_clients(backend, n):
    rows, kinds = menagerie(n, "float32", 1)
    for rescale, intercept in zip(RESCALES, INTERCEPTS, strict=True):
        check_detection(backend, rows, kinds, rescale, intercept)
    near = {"rtol": ROUNDED * unit(np.float32), "atol": flushed(np.float32)}
    assert_allclose(backend.median(rows), specification.median(rows), **near)


def test_two_thousand_clients(backend):
    rows = zoo.rows_of(2000, 9)
    check_detection(backend, rows, np.full(9, "many"), RESCALES[1], "separate")


# --- reputation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [0, 1, 100])
def test_a_matrix_is_its_rows(backend, d):
    matrix = np.random.default_rng(d).normal(size=(10, d)).astype(np.float32)
    assert_array_equal(backend.median(matrix), backend.median(list(matrix)))
    detect = partial(backend.detect, options=settings(RESCALES[0], INTERCEPTS[0]), threshold=THRESHOLD)
    for one, other in zip(detect(matrix), detect(list(matrix)), strict=True):
        assert_array_equal(one, other)


def test_beta_reputation(backend):
    accepted = np.array([0, 20, 10, 10**15], np.int64)
    rejected = np.array([20, 0, 10, 0], np.int64)
    got = backend.beta_reputation(accepted, rejected, 0.3, 0.5, 2.0)
    expected = [float(Fraction(3, 10) * p + 1) / float(Fraction(3, 10) * p + Fraction(7, 10) * q + 2)
                for p, q in zip(accepted.tolist(), rejected.tolist(), strict=True)]  # fmt: skip
    assert got.dtype == np.float64
    assert_allclose(got, expected, rtol=1e-15)


@pytest.mark.parametrize(("decay", "window"), [(0.5, 10), (0.0, 10), (2.0, 3), (0.5, 10**6)])
def test_decayed_score(backend, decay, window):
    rng = np.random.default_rng(7)
    now = 20
    rounds = np.where(rng.random((50, 10)) < 0.3, -1, rng.integers(5, now + 1, (50, 10)))
    rounds[:, 0] = now
    observed = rng.random((50, 10))
    got = backend.decayed_score(rounds, observed, now, decay, window)
    for r, values, score in zip(rounds.tolist(), observed.tolist(), got, strict=True):
        kept = [(np.exp(-decay * (now - t)), v) for t, v in zip(r, values, strict=True) if t >= 0 and now - t < window]
        assert score == pytest.approx(sum(w * v for w, v in kept) / sum(w for w, _ in kept), rel=1e-14)
