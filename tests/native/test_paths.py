"""Every way of fitting the line, forced, under every instruction set: the decisions are the specification's."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kernel_cases import INTERCEPTS, RESCALES, check_detection, menagerie

PATHS = {"networks": 1, "pairs": 2, "merge": 3, "rows": 4}  # csrc/line.hpp; one that n does not allow is not taken


@pytest.fixture(params=PATHS.values(), ids=PATHS.keys())
def path(native, request):
    native._native.force_path(request.param)
    yield request.param
    native._native.force_path(0)


@pytest.mark.usefixtures("isa", "path")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [13, 16, 33, 50, 64, 65, 100, 129])  # fewer are fitted in registers, always
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


@pytest.mark.usefixtures("isa", "path")
@pytest.mark.parametrize("order", ["ascending", "descending", "alternating"])
def test_the_order_of_the_clients_is_no_matter(native, order):
    y = np.sort(np.random.default_rng(5).standard_normal((70, 48)).astype(np.float32), axis=0)
    turned = {"ascending": y, "descending": y[::-1], "alternating": np.concatenate([y[::2], y[1::2][::-1]])}[order]
    check_detection(native, [row.copy() for row in turned], np.full(48, "gaussian"), RESCALES[0], "separate")


def test_an_unknown_path_is_an_error(native):
    with pytest.raises(ValueError, match="path"):
        native._native.force_path(9)
