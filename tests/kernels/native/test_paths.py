"""Every way of fitting the line, forced, under every instruction set: the decisions are the specification's."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import zoo
from kernel_cases import INTERCEPTS, RESCALES, check_detection, menagerie, settings
from numpy.testing import assert_array_equal

PATHS = {"networks": 1, "pairs": 2, "merge": 3, "rows": 4}  # csrc/line/line.hpp; one that n does not allow is not taken


@pytest.fixture(params=PATHS.values(), ids=PATHS.keys())
def path(native, request):
    native._native.force_path(request.param)
    yield request.param
    native._native.force_path(0)


@pytest.mark.usefixtures("isa", "path")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [7, 13, 16, 33, 50, 64, 65, 100, 129])  # up to 5 are fitted in registers, always
def test_detection(native, n, dtype):
    rows, kinds = menagerie(n, dtype, 3)
    for rescale, intercept in product(RESCALES[:2], INTERCEPTS):
        check_detection(native, rows, kinds, rescale, intercept)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [*range(3, 14), 34, 47, 63])
def test_detection_at_every_size_of_few(native, n, dtype):
    """Up to 12 clients each number has code of its own, and so has each half of the slopes from 33 to 64."""
    rows, kinds = menagerie(n, dtype, 3)
    for rescale, intercept in product(RESCALES, INTERCEPTS):
        check_detection(native, rows, kinds, rescale, intercept)


def near_the_threshold(n, each, rng):
    """Columns whose decisions are close: lines with a little noise, one value off the line by about what is allowed."""
    noise = 10.0 ** rng.uniform(-4, 0, (1, each))
    columns = np.arange(n)[:, None] + noise * rng.standard_normal((n, each))
    columns[rng.integers(n, size=each), np.arange(each)] += noise[0] * rng.uniform(0, 30, each)
    return rng.permuted(columns, axis=0) * 10.0 ** rng.uniform(-6, 3, each)


def nearly_equal(n, each, rng):
    """Columns of few different values, but for noise that floats do not show."""
    return np.round(rng.standard_normal((n, each)) * 4) / 4 + rng.standard_normal((n, each)) * rng.choice([1e-12, 1e-8])


# 16-bit whole numbers before floats and doubles, and floats before doubles.
FILTERED = [*product(range(6, 13), ["float16", "float32", "float64"]), *product([13, 20, 33, 50, 64], ["float64"])]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("n", "dtype"), FILTERED)
def test_the_filter_decides_what_the_exact_rule_would(native, n, dtype):
    rng = np.random.default_rng(n)
    close = zoo.encode(np.hstack([near_the_threshold(n, 3001, rng), nearly_equal(n, 500, rng)]), dtype)
    rows = [np.concatenate(both) for both in zip(close, menagerie(n, dtype, 40)[0], strict=True)]
    thresholds = (0.1, 0.5, 1.0)
    for rescale, intercept, threshold, floor in product(RESCALES, INTERCEPTS, thresholds, (0.0, 1e-7, 1e-2)):
        options = settings(rescale, intercept)._replace(scale_floor=floor)
        got = native.detect(rows, options, threshold)
        native._native.force_path(PATHS["networks"])
        exact = native.detect(rows, options, threshold)
        native._native.force_path(0)
        for ours, expected in zip(got, exact, strict=True):
            assert_array_equal(ours, expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "n", [81, 256, 257, 2049, 3072]
)  # words sort up to 256 floats; 3,072 is the last that counting takes
def test_counting_finds_what_all_rows_give(native, n, dtype):
    rows = menagerie(n, dtype, 5 if n < 1000 else 1)[0]
    for intercept in INTERCEPTS:
        found = {}
        for name in ("pairs", "merge", "rows"):
            native._native.force_path(PATHS[name])
            found[name] = native.repeated_median(rows, intercept)
        native._native.force_path(0)
        for name in ("pairs", "merge"):
            for got, expected in zip(found[name], found["rows"], strict=True):
                assert_array_equal(got, expected)


@pytest.mark.usefixtures("isa", "path")
@pytest.mark.parametrize("order", ["ascending", "descending", "alternating"])
def test_the_order_of_the_clients_is_no_matter(native, order):
    y = np.sort(np.random.default_rng(5).standard_normal((70, 48)).astype(np.float32), axis=0)
    turned = {"ascending": y, "descending": y[::-1], "alternating": np.concatenate([y[::2], y[1::2][::-1]])}[order]
    check_detection(native, [row.copy() for row in turned], np.full(48, "gaussian"), RESCALES[0], "separate")


def test_an_unknown_path_is_an_error(native):
    with pytest.raises(ValueError, match="path"):
        native._native.force_path(9)
