"""What every primitive does with its input: refuses what is not finite, leaves the caller's arrays alone."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
import zoo
from kernel_cases import DEFAULTS, RESCALES, THRESHOLD, menagerie, settings, weights_of
from numpy.testing import assert_array_equal

from robustagg.errors import NonFinite
from robustagg.kernels import numpy as specification


@pytest.mark.parametrize("dtype", zoo.DTYPES)
def test_unaligned_rows(backend, dtype):
    aligned = zoo.rows_of(5, 70, dtype)
    rows = [np.frombuffer(b"." + row.tobytes(), row.dtype, offset=1) for row in aligned]
    for primitive in (backend.median, lambda rows: backend.detect(rows, DEFAULTS, THRESHOLD).rejected):
        assert_array_equal(primitive(rows), primitive(aligned))


def primitives(backend, n):
    """Every primitive that reads rows and needs finite ones."""
    paper, clip = RESCALES[1:]

    def note(rows):
        return np.zeros((n, -(-rows[0].size // 8)), np.uint8), np.zeros(rows[0].size, specification.compute_dtype(rows))

    return {
        "weighted_mean": lambda rows: backend.weighted_mean(rows, weights_of(n)),
        "median": backend.median,
        "mix": lambda rows: backend.mix(rows, np.ones((2, n))),
        "mean_around_median": lambda rows: backend.mean_around_median(rows, 1),
        "weighted_median": lambda rows: backend.weighted_median(rows, weights_of(n)),
        "gram": backend.gram,
        "measure": lambda rows: backend.measure(rows, None),
        "measure from a row": lambda rows: backend.measure(rows, 0),
        "manhattan": backend.manhattan,
        "extremes": backend.extremes,
        "majority": lambda rows: backend.majority(rows, 1),
        "outermost": backend.outermost,
        "sign_counts": backend.sign_counts,
        "magnitude_counts": lambda rows: backend.magnitude_counts(
            rows, np.zeros(rows[0].size, np.int8), 20, 11, np.zeros(n, np.int64)
        ),
        "differences": lambda rows: backend.differences([*rows, rows[0]]),
        "agreements": lambda rows: backend.agreements(rows, np.zeros(n, np.int64)),
        "trimmed_mean": lambda rows: backend.trimmed_mean(rows, (n - 1) // 2),
        "mean": lambda rows: backend.trimmed_mean(rows, 0),
        "detect": lambda rows: backend.detect(rows, DEFAULTS, THRESHOLD),
        "detect, clipped": lambda rows: backend.detect(rows, settings(clip), THRESHOLD),
        "confidence": lambda rows: backend.confidence(rows, DEFAULTS),
        "repeated_median": lambda rows: backend.repeated_median(rows, "separate"),
        "rectify": lambda rows: backend.rectify(rows, *note(rows), paper),
        "deviations": lambda rows: backend.deviations(rows, *note(rows), paper),
        "deviations, clipped": lambda rows: backend.deviations(rows, *note(rows), clip),
        "rectified_mean": lambda rows: backend.rectified_mean(rows, *note(rows), np.full(n, 1 / n), paper),
    }


@pytest.mark.parametrize("dtype", zoo.DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 17])
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


def test_rows_may_name_this_machines_order_of_bytes(backend):
    mark = "<" if sys.byteorder == "little" else ">"
    dtype = np.dtype("f4").newbyteorder(mark)
    assert dtype.byteorder == mark
    rows = [np.array([1, 2, 3], dtype), np.array([3, 2, 1], dtype), np.array([2, 2, 2], dtype)]
    np.testing.assert_array_equal(backend.median(rows), [2, 2, 2])
    np.testing.assert_array_equal(backend.weighted_mean(rows, np.array([1.0, 0.0, 0.0])), [1, 2, 3])
