"""Memory of the native backend's results: where large ones lie, and how they are written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernel_cases import RESCALES
from numpy.testing import assert_array_equal

MEBIBYTE = 2**20
LARGE = 128 * 1024  # bytes, from which on memory is kept for the next result
AROUND = 8 * MEBIBYTE  # from which on results are written around the caches
LINE = 64


def rows_of(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(d, dtype=np.float32) for _ in range(n)]


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("n", [3, 17, 33])
def test_results_too_large_for_a_cache_have_the_same_bits(native, n):
    d = AROUND // 4 + 1003
    rows, weights = rows_of(n, d), np.full(n, 1 / n)
    rejected = np.random.default_rng(1).integers(0, 256, (n, -(-d // 8)), dtype=np.uint8)

    def results(a, b):
        part = [row[a:b] for row in rows]
        median = native.median(part)
        bits = np.ascontiguousarray(rejected[:, a // 8 : -(-b // 8)])
        mean = native.rectified_mean(part, bits, median.copy(), weights, RESCALES[1])
        return [median, mean, native.weighted_mean(part, weights), native.trimmed_mean(part, 1)]

    assert address(native.median(rows)) % LINE == 0
    cut = d // 2 // 64 * 64
    for whole, first, second in zip(results(0, d), results(0, cut), results(cut, d), strict=True):
        assert_array_equal(whole, np.concatenate([first, second]))


def test_memory_is_used_again_when_nobody_holds_it(native):
    first_rows, other_rows = rows_of(3, LARGE // 4), rows_of(3, LARGE // 4, seed=1)
    first = native.median(first_rows)
    kept, place, view = first.copy(), address(first), first[1000:2000]
    del first
    second = native.median(other_rows)  # a view still holds the first
    assert not np.shares_memory(view, second)
    assert_array_equal(view, kept[1000:2000])
    del view
    third = native.median(first_rows)
    assert address(third) == place
    assert_array_equal(third, kept)


def test_results_of_two_sizes_take_turns(native):
    rows, half = rows_of(3, LARGE), np.dtype(np.float16)

    def places():
        median = native.median(rows)
        return address(median), address(native.narrow(median, half))

    first = places()
    assert all(places() == first for _ in range(3))


def test_memory_far_too_large_for_a_result_is_not_given_to_it(native):
    large = native.median(rows_of(3, LARGE))
    place = address(large)
    del large
    assert address(native.median(rows_of(3, LARGE // 4))) != place


def test_a_result_belongs_to_its_holder(native):
    result = native.median(rows_of(3, LARGE // 4))
    assert result.flags.writeable
    assert result.flags.c_contiguous
    assert address(result) % LINE == 0


def test_results_of_several_threads_lie_apart(native):
    problems = [rows_of(3, LARGE // 4, seed) for seed in range(8)]
    expected = [np.median(rows, axis=0) for rows in problems]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = list(pool.map(native.median, problems))
            for got, wanted in zip(results, expected, strict=True):
                assert_array_equal(got, wanted)
