"""Primitives that move rows, so that no rule touches them itself."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from robustagg.kernels import numpy as specification


def test_values_at_places_and_pieces_joined(backend):
    rows = [np.arange(9, dtype=np.float32), np.arange(9, 18, dtype=np.float32)]
    first, second = backend.take(rows, np.array([0, 2, 8])), backend.take(rows, np.array([4]))
    assert_array_equal(first, [[0, 2, 8], [9, 11, 17]])
    assert_array_equal(backend.join([first[1], second[1]]), [9, 11, 17, 13])
    assert_array_equal(backend.join([np.ones((2, 1)), np.zeros((2, 2))]), [[1, 0, 0], [1, 0, 0]])


def test_other_numbers_at_some_places_of_a_copy(backend):
    values, piece = np.arange(4, dtype=np.float32), np.zeros((2, 4))
    assert_array_equal(backend.put(values, np.array([1, 3]), np.array([-np.inf, 8])), [0, -np.inf, 2, 8])
    assert_array_equal(backend.put(piece, np.array([2]), np.array([5.0])), [[0, 0, 5, 0]] * 2)
    assert_array_equal(values, np.arange(4))
    assert not piece.any()


def test_a_window_is_zero_before_its_first_and_a_copy_then(backend):
    row = np.arange(9, dtype=np.float32)
    (cut,) = backend.window([row], 2, 7, 4)
    assert_array_equal(cut, [0, 0, 4, 5, 6])
    assert_array_equal(row, np.arange(9))
    (cut,) = backend.window([row], 2, 12)
    assert_array_equal(cut, np.arange(2, 9))
    assert np.shares_memory(cut, row)


def test_rows_as_a_matrix_and_back(backend):
    matrix = np.arange(6.0).reshape(2, 3)
    rows = backend.split(matrix)
    assert_array_equal(rows, matrix)
    assert_array_equal(backend.stack(rows), matrix)
    assert_array_equal(backend.stack(rows[:1]), matrix[:1])


@pytest.mark.parametrize("dtype", [np.float16, np.uint16, np.float32, np.float64])
def test_half_precision_widens_exactly(backend, dtype):
    row = np.array([1, 0x3F80, 0x0001], np.uint16) if dtype is np.uint16 else np.array([1.5, -2.0, 6e-8], dtype)
    wide = backend.widen(row)
    assert wide.dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert_array_equal(wide, specification.widened(row))


def test_the_middle_of_the_line_is_its_value_there(backend):
    rows = list(np.random.default_rng(0).standard_normal((7, 90)))
    slope, start = backend.repeated_median(rows, "hierarchical")
    np.testing.assert_allclose(backend.middle_of_line(rows, "hierarchical"), start + 3 * slope, rtol=1e-12, atol=1e-12)
