"""Sample counts as people have them, and as nobody should send them: an answer, or our own words."""

from __future__ import annotations

from fractions import Fraction
from itertools import repeat

import numpy as np
import pandas
import pytest

import robustagg as ra

X = np.array([[0.0], [4.0], [8.0]])
NAMES = ("ada", "bob", "cem")


def mean(counts):
    return ra.Mean().aggregate(X, clients=NAMES, sample_counts=counts).update[0]


class Empty:
    """A framework's tensor without values, or one whose numbers are had otherwise."""

    ndim = 0

    def __float__(self):
        raise RuntimeError("no values")


class Number(Empty):
    def __float__(self):
        return 2.0


@pytest.mark.parametrize(
    "counts",
    [
        [1, 1, 2],
        (0.5, Fraction(1, 2), 1.0),
        np.array([1, 1, 2], np.uint8),
        np.array([1, 1, 2], ">f4"),
        [np.int64(1), np.float16(1), np.array(2)],
        iter([1, 1, 2]),
        [1, 1, Number()],
        {"ada": 1, "bob": 1, "cem": 2, "dan": 1e300},
        pandas.Series({"cem": 2, "bob": 1, "ada": 1}),
        {"x": 1, "y": 1, "z": 2}.values(),
        [10**300, 10**300, 2 * 10**300],
        [8e307, 8e307, 16e307],
        [5e-324, 5e-324, 1e-323],
    ],
)
def test_counts_that_say_one_quarter_one_quarter_one_half(counts):
    assert mean(counts) == 5
    assert mean(None) == 4


def test_weighted_median_of_huge_counts():
    counts = [1.7e308, 1.7e308, 1.7e308]
    assert ra.Median().aggregate(X, sample_counts=counts).update == 4


@pytest.mark.parametrize(
    ("counts", "error", "told"),
    [
        ("123", TypeError, "sample_counts must be a number for each client, .*, got '123'"),
        ({1, 2, 3}, TypeError, "sample_counts must be"),
        (np.ma.array([5, 1, 1], mask=[1, 0, 0]), TypeError, "a sample count must be a number, got masked"),
        ([Empty(), 1, 1], TypeError, "a sample count must be a number"),
        (3, TypeError, "sample_counts must be .* got 3"),
        (np.array(3.0), TypeError, "sample_counts must be"),
        (["1", 1, 1], TypeError, "client 'ada': a sample count must be a number, got '1'"),
        ([1, None, 1], TypeError, "client 'bob': .* got None"),
        ([1, 1, True], TypeError, "client 'cem': .* got True"),
        ([1, 1, np.True_], TypeError, "client 'cem'"),
        ([1, 1, 1j], TypeError, "client 'cem'"),
        ([[1], [1], [1]], TypeError, r"client 'ada': .* got \[1\]"),
        (np.ones((3, 1)), TypeError, "client 'ada'"),
        ([1, -1, 1], ValueError, "client 'bob': a sample count must be finite and not negative, got -1"),
        ([1, np.nan, 1], ValueError, "client 'bob': .* got nan"),
        ([1, 1, np.inf], ValueError, "client 'cem': .* got inf"),
        ([1, 1, 10**400], ValueError, r"client 'cem': .* got 1000\d*\.\.\."),
        ([1, 1, 10**5000], ValueError, "client 'cem': .* got a huge int"),
        ([1, 1, np.longdouble("1e4000")], ValueError, "client 'cem'"),
        ([1, 1], ValueError, "2 sample counts for 3 clients"),
        ([], ValueError, "0 sample counts for 3 clients"),
        ([1, 1, 1, 1], ValueError, "4 sample counts for 3 clients"),
        (repeat(1), ValueError, r"\d+ sample counts for 3 clients"),
        ({"ada": 1, "bob": 1}, ValueError, "no sample count for client 'cem'"),
        ({0: 1, 1: 1, 2: 1}, ValueError, "no sample count for client 'ada'"),
        ([0, 0, 0], ValueError, "the sample counts of all admitted clients are zero"),
    ],
)
def test_counts_that_make_no_sense_are_refused_and_change_nothing(counts, error, told):
    rule = ra.Reputation()
    rule.aggregate(X, clients=NAMES)
    before = rule.state_dict()
    with pytest.raises(error, match=told):
        rule.aggregate(X, clients=NAMES, sample_counts=counts)
    np.testing.assert_equal(rule.state_dict(), before)
