"""Every primitive of every backend against the specification, and the specification against brute force and SciPy."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import siegelslopes

import oracle
import zoo
from robustagg.errors import NonFinite
from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import GRAM_TILE
from tolerances import LINE, ROUNDED, SUM, UNDECIDED, flushed, unit

SIZES = (1, 2, 3, 4, 5, 15, 16, 17, 33, 64, 65, 100)
LENGTHS = (0, 1, 7, 8, 63, 64, 65, 1000)
INTERCEPTS = ("separate", "hierarchical", "median_point")
RESCALES = ((None, "paper"), (2.0, "paper"), (2.0, "clip"))
THRESHOLD = 0.1
DEFAULTS = {"value_range": 2.0, "rescale": "paper", "intercept": "separate", "interval_width": 2.0, "scale_floor": 1e-7}

menagerie = cache(zoo.menagerie)


def settings(rescale=RESCALES[1], intercept="separate"):
    return {**DEFAULTS, "value_range": rescale[0], "rescale": rescale[1], "intercept": intercept}


def weights_of(n):
    weights = np.random.default_rng(n).random(n)
    weights[0] = 0 if n > 1 else 1
    return weights / weights.sum()


def compute_dtype(dtype):
    return np.dtype("float64" if dtype == "float64" else "float32")


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
        got = specification.confidence(list(column[:, None]), **settings((None, "paper"), intercept))
        low, high, _ = oracle.confidence_range(
            column[:, None], np.dtype(np.float64), **settings((None, "paper"), intercept)
        )
        low, high = low - ROUNDED * unit(np.float64), high + ROUNDED * unit(np.float64)
        for confidence in (np.array(expected)[:, None], got):
            assert ((low <= confidence) & (confidence <= high)).all(), kind.__name__


@pytest.mark.parametrize("n", [3, 4, 10, 33])
def test_specification_of_the_rescale_agrees_with_exact_arithmetic(n):
    rng = np.random.default_rng(n)
    for kind in zoo.ORDINARY:
        column = kind(rng, n)
        nothing_rejected = np.zeros((n, 1), np.uint8)
        got = specification.rectify(
            list(column[:, None]), nothing_rejected, np.zeros(1), value_range=2.0, rescale="paper"
        )
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
def test_weighted_mean(backend, n, dtype):
    rows, _ = menagerie(n, dtype)
    y, weights = oracle.widened(rows), weights_of(n)
    got, expected = backend.weighted_mean(rows, weights), specification.weighted_mean(rows, weights)
    assert got.dtype == compute_dtype(dtype)
    size = np.max(np.abs(y), axis=0)
    assert (np.abs(got / 4 - expected / 4) <= SUM * n * unit(got.dtype) * (size / 4) + flushed(got.dtype)).all()
    assert np.isfinite(got).all()


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_median_and_trimmed_mean(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    y = oracle.widened(rows)
    for k in {None, 0, (n - 1) // 4, (n - 1) // 2}:
        primitive = (lambda b, k=k: b.median(rows)) if k is None else (lambda b, k=k: b.trimmed_mean(rows, k))
        got, expected = primitive(backend), primitive(specification)
        assert got.dtype == compute_dtype(dtype)
        size = np.abs(expected) if k is None else np.abs(np.sort(y, axis=0)[k : n - k]).max(axis=0)
        near = ROUNDED * (1 if k is None else n) * unit(got.dtype) * (size / 4) + flushed(got.dtype)
        assert_array_equal(kinds[np.abs(got / 4 - expected / 4) > near], [])
        if k is None:
            assert ((got >= y.min(axis=0)) & (got <= y.max(axis=0))).all()


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_mixed_rows(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    matrix = np.vstack([weights_of(n), -3 * weights_of(n), np.zeros(n)])
    got, expected = backend.mix(rows, matrix), specification.mix(rows, matrix)
    assert got.dtype == compute_dtype(dtype)
    size = np.abs(oracle.widened(rows)).max(axis=0)
    near = 3 * SUM * n * unit(got.dtype) * (size / 4) + flushed(got.dtype)
    assert_array_equal(kinds[(np.abs(got / 4 - expected / 4) > near).any(axis=0)], [])
    assert_array_equal(got[0], backend.weighted_mean(rows, matrix[0]))


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_mean_around_median(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    for k in {1, max(1, n // 2), n}:
        got, expected = backend.mean_around_median(rows, k), specification.mean_around_median(rows, k)
        assert got.dtype == compute_dtype(dtype)
        near = ROUNDED * n * unit(got.dtype) * (np.abs(oracle.widened(rows)).max(axis=0) / 4) + flushed(got.dtype)
        assert_array_equal(kinds[np.abs(got / 4 - expected / 4) > near], [])


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_weighted_median(backend, n, dtype):
    rows, kinds = menagerie(n, dtype)
    rng = np.random.default_rng(n)
    for weights in (np.ones(n), rng.integers(0, 4, n) + (np.arange(n) == 0), 2.0**40 * rng.integers(1, 4, n)):
        weights = weights.astype(np.float64)
        got, expected = backend.weighted_median(rows, weights), specification.weighted_median(rows, weights)
        assert got.dtype == compute_dtype(dtype)
        near = ROUNDED * unit(got.dtype) * (np.abs(expected) / 4) + flushed(got.dtype)
        assert_array_equal(kinds[np.abs(got / 4 - expected / 4) > near], [])


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


def check_detection(backend, rows, kinds, rescale, intercept):
    """The decisions and the confidences are the specification's, but for what rounding decides."""
    n, d = len(rows), rows[0].size
    options = settings(rescale, intercept)
    rejected, median, counts = backend.detect(rows, **options, confidence_threshold=THRESHOLD)
    bits = np.unpackbits(rejected, axis=1, bitorder="little")
    assert rejected.shape == (n, -(-d // 8))
    assert not bits[:, d:].any()
    assert_array_equal(counts, bits.sum(axis=1))
    assert (rejected.dtype, counts.dtype) == (np.uint8, np.int64)
    confidence = backend.confidence(rows, **options)
    assert median.dtype == confidence.dtype == specification.compute_dtype(rows)
    if n < 3:
        assert not bits.any()
        assert (confidence == 1).all()
        return
    low, high, clear = oracle.confidence_range(oracle.widened(rows), median.dtype, **options)
    near = ROUNDED * unit(median.dtype)
    wrong = ((high < THRESHOLD - near) & (bits[:, :d] == 0)) | ((low >= THRESHOLD + near) & (bits[:, :d] == 1))
    assert_array_equal(kinds[(clear & wrong.any(axis=0))], [])
    off = (confidence < low - near) | (confidence > high + near)
    assert_array_equal(kinds[(clear & off.any(axis=0))], [])
    undecided = (((low < THRESHOLD + near) & (high >= THRESHOLD - near)) | ~clear)[:, kinds == "gaussian"]
    assert n <= 5 or undecided.sum() <= UNDECIDED * undecided.size


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("rescale", RESCALES)
def test_rectification(backend, n, dtype, rescale):
    rows, kinds = menagerie(n, dtype)
    options = {"value_range": rescale[0], "rescale": rescale[1]}
    rejected, median, _ = specification.detect(rows, **settings(rescale), confidence_threshold=THRESHOLD)
    own = backend.detect(rows, **settings(rescale), confidence_threshold=THRESHOLD).median
    y = np.abs(oracle.widened(rows)).max(axis=0)
    near = n * ROUNDED * unit(median.dtype) * (y / 4) + flushed(median.dtype)
    assert_array_equal(kinds[np.abs(own / 4 - median / 4) > near], [])
    got = backend.rectify(rows, rejected, median, **options)
    expected = specification.rectify(rows, rejected, median, **options)
    assert got.dtype == median.dtype
    assert got.shape == (n, y.size)
    assert_array_equal(kinds[(np.abs(got / 4 - expected / 4) > near).any(axis=0)], [])
    note = median.copy()
    mean = backend.rectified_mean(rows, rejected, note, weights_of(n), **options)
    assert mean is note
    expected = specification.rectified_mean(rows, rejected, median.copy(), weights_of(n), **options)
    assert_array_equal(kinds[np.abs(mean / 4 - expected / 4) > near], [])


@pytest.mark.parametrize("n", [3, 17])
@pytest.mark.parametrize("d", LENGTHS)
def test_any_length(backend, n, d):
    rows = zoo.rows_of(n, d)
    check_detection(backend, rows, np.full(d, "grid" if d < 64 else "gaussian"), RESCALES[1], "separate")
    rejected, median, counts = backend.detect(rows, **DEFAULTS, confidence_threshold=THRESHOLD)
    assert backend.rectify(rows, rejected, median, value_range=2.0, rescale="paper").shape == (n, d)
    assert backend.rectified_mean(rows, rejected, median, weights_of(n), value_range=2.0, rescale="paper").shape == (d,)
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


@pytest.mark.parametrize("n", [129, 200, 333])
def test_more_clients(backend, n):
    rows, kinds = menagerie(n, "float32", 1)
    for rescale, intercept in zip(RESCALES, INTERCEPTS, strict=True):
        check_detection(backend, rows, kinds, rescale, intercept)
    assert_allclose(backend.median(rows), specification.median(rows), rtol=ROUNDED * unit(np.float32))


@pytest.mark.parametrize("dtype", zoo.DTYPES)
def test_unaligned_rows(backend, dtype):
    aligned = zoo.rows_of(5, 70, dtype)
    rows = [np.frombuffer(b"." + row.tobytes(), row.dtype, offset=1) for row in aligned]
    for primitive in (backend.median, lambda rows: backend.detect(rows, **DEFAULTS, confidence_threshold=0.1).rejected):
        assert_array_equal(primitive(rows), primitive(aligned))


# --- what is not finite; what must not change -----------------------------------------------------------------------


def primitives(backend, n):
    """Every primitive that reads rows and needs finite ones."""
    detect = {**DEFAULTS, "confidence_threshold": THRESHOLD}
    rescale = {"value_range": 2.0, "rescale": "paper"}

    def note(rows):
        return np.zeros((n, -(-rows[0].size // 8)), np.uint8), np.zeros(rows[0].size, specification.compute_dtype(rows))

    return {
        "weighted_mean": lambda rows: backend.weighted_mean(rows, weights_of(n)),
        "median": backend.median,
        "mix": lambda rows: backend.mix(rows, np.ones((2, n))),
        "mean_around_median": lambda rows: backend.mean_around_median(rows, 1),
        "weighted_median": lambda rows: backend.weighted_median(rows, weights_of(n)),
        "gram": backend.gram,
        "trimmed_mean": lambda rows: backend.trimmed_mean(rows, (n - 1) // 2),
        "mean": lambda rows: backend.trimmed_mean(rows, 0),
        "detect": lambda rows: backend.detect(rows, **detect),
        "confidence": lambda rows: backend.confidence(rows, **DEFAULTS),
        "repeated_median": lambda rows: backend.repeated_median(rows, "separate"),
        "rectify": lambda rows: backend.rectify(rows, *note(rows), **rescale),
        "rectified_mean": lambda rows: backend.rectified_mean(rows, *note(rows), np.full(n, 1 / n), **rescale),
    }


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 17])
def test_a_value_that_is_not_finite_is_refused(backend, n, dtype):
    good = zoo.rows_of(n, 70, dtype)
    for value, (client, coordinate) in product((np.nan, np.inf, -np.inf), ((0, 0), (n - 1, 69), (n // 2, 64))):
        rows = [row.copy() for row in good]
        rows[client][coordinate] = zoo.encode(np.array(value), dtype)
        assert_array_equal(backend.finite(rows), np.arange(n) != client)
        for name, primitive in primitives(backend, n).items():
            with pytest.raises(NonFinite):
                raise AssertionError(f"{name} returned {primitive(rows)}")


@pytest.mark.parametrize("dtype", zoo.DTYPES)
def test_callers_arrays_are_left_alone(backend, dtype):
    rows, _ = menagerie(5, dtype)
    rows = [row.copy() for row in rows]
    before = [row.tobytes() for row in rows]
    backend.finite(rows)
    for primitive in primitives(backend, 5).values():
        primitive(rows)
    assert [row.tobytes() for row in rows] == before


# --- reputation -----------------------------------------------------------------------------------------------------


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
