"""Nothing contradicts docs/guarantees.md: no search its lemmas, no gradient descent under attack its bounds."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.testing import assert_allclose

import robustagg as ra
from robustagg import theory
from robustagg.rules.reputation import INTERCEPTS

STUDY = Path(__file__).parents[1] / "studies" / "theory" / "convergence.py"
CURVED = {"learning_rate": 0.3, "smoothness": 4.0, "strong_convexity": 0.5}
THIRD = 12 / np.e - 2  # absolute central moment of exponential samples, of deviation 1
SIZE = {"n": 60, "f": 5, "m": 400}


# --- a value that detection leaves ---


def attacked(rng, n, f, columns):
    """Columns in which n - f values span exactly [0, 1], many of them clustered, and f lie outside or anywhere."""
    shape = rng.integers(0, 4, columns)
    u = rng.random((n - f, columns))
    power = rng.integers(1, 20, columns)
    u = np.choose(shape, [u, u**power, 1 - (1 - u) ** power, np.round(2 * u) / 2])
    u[0], u[-1] = 0.0, 1.0
    far = 10.0 ** rng.uniform(-2, 3, (f, columns))
    return np.concatenate([u, np.where(np.arange(f)[:, None] < rng.integers(0, f + 1, columns), 1 + far, -far)])


def sit_on_the_line(y, f, intercept):
    """The attackers outside move to where their line has gone, which is the least suspicious place."""
    order = np.argsort(y, axis=0)
    slope, start = ra.repeated_median(y, intercept=intercept)
    fitted = np.empty_like(y)
    np.put_along_axis(fitted, order, start + slope * np.arange(len(y))[:, None], axis=0)
    away = (y < 0) | (y > 1)
    away[:-f] = False
    return np.where(away, fitted, y)


@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_no_value_lies_further_outside_than_proven(intercept):
    nearest = 0.0
    for n in (4, 5, 6, 7, 8, 9, 12, 15, 20, 33):
        for f in sorted({1, n // 4, n // 2 - 1} - {0}):
            rng = np.random.default_rng([n, f])
            y = attacked(rng, n, f, 300)
            for width, threshold in ((2.0, 0.1), (1.0, 0.5), (1e-3, 1.0)):
                options = {"interval_width": width, "confidence_threshold": threshold, "value_range": None}
                most = theory.outside(n=n, f=f, spread=1.0, **options)
                for tried in (y, sit_on_the_line(y, f, intercept)):
                    kept = ra.rectify(tried, intercept=intercept, **options)[0]
                    out = max(kept.max() - 1, -kept.min())
                    assert out <= most * (1 + 1e-9)
                    nearest = max(nearest, out / most)
    assert nearest > 0.2


def test_one_client_can_be_further_outside_than_its_share_of_the_interval():
    """Why the bound has a term of the line's own: the others' values rise for half of the ranks, then are level."""
    n, r, options = 50, 0.01, {"interval_width": 1.0, "confidence_threshold": 0.5}
    x = np.zeros((n, n))
    x[:, 0] = r * np.minimum(np.arange(n) / (n // 2 + 1), 1)
    x[-1, 0] = 2 * r
    slope, start = ra.repeated_median(x)
    x[-1, 0] = start[0] + slope[0] * (n - 1)
    x[np.arange(n - 1), np.arange(1, n)] = 1  # each of the others is rejected once, at a coordinate of its own
    result = ra.Reputation(**options, normalize="minmax").aggregate(x)
    assert result.weights[-1] == 1
    interval = 2 * np.sqrt(2 / n) * (1.4826 * (1 + 5 / (n - 1)) * r + 1e-7)
    assert interval < result.update[0] - r < theory.outside(n=n, f=1, spread=r, **options)


# --- the median ---


@pytest.mark.parametrize(("n", "f"), [(10, 3), (60, 0), (60, 6), (101, 12)])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_median_is_within_its_rate_but_for_the_failures(n, f, skewed):
    m, times, failure = 400, 4000, 0.2
    rng = np.random.default_rng([n, f, skewed])
    drawn = rng.gamma(m, size=(times, n - f)) / m - 1 if skewed else rng.normal(size=(times, n - f)) / np.sqrt(m)
    worst = np.concatenate([drawn, np.full((times, f), np.inf)], axis=1)
    most = theory.median_rate(n=n, f=f, m=m, sigma=1.0, d=1, skewness=THIRD if skewed else 0.0, failure=failure)
    assert (np.abs(np.median(worst, axis=1)) > most).mean() <= failure


def test_the_rate_grows_with_what_makes_it_harder():
    least = theory.median_rate(**SIZE, sigma=1.0, d=3)
    for harder in ({"f": 10}, {"m": 100}, {"n": 40}, {"skewness": 0.5}, {"rounds": 50}, {"failure": 0.001}, {"d": 9}):
        assert theory.median_rate(**{**SIZE, "sigma": 1.0, "d": 3, **harder}) > least
    assert_allclose(theory.median_rate(**SIZE, sigma=[2.0] * 3), 2 * least)
    assert theory.median_rate(n=11, f=5, m=400, sigma=1.0, d=1) < np.inf
    rare = theory.median_rate(n=3, f=1, m=10, sigma=1.0, d=1000, rounds=10**6, failure=1e-7)
    assert theory.median_rate(n=3, f=1, m=10, sigma=1.0, d=1000, rounds=10**6, failure=1e-6) < rare < np.inf
    assert theory.median_rate(n=11, f=5, m=400, sigma=1.0, d=1, skewness=2.0) == np.inf


def test_the_rate_is_the_binomials_and_below_hoeffdings():
    for n, f in ((60, 5), (101, 0), (400, 100)):
        rate = theory.median_rate(n=n, f=f, m=1, sigma=1.0, d=1, failure=0.1)
        exceeds = 1 - NormalDist().cdf(rate)
        tail = sum(
            math.comb(n - f, k) * exceeds**k * (1 - exceeds) ** (n - f - k) for k in range(-(-n // 2) - f, n - f + 1)
        )
        assert_allclose(tail, 0.05, rtol=1e-6)
        assert 0.5 - exceeds <= f / (2 * (n - f)) + math.sqrt(math.log(20) / (2 * (n - f)))


# --- gradient descent ---


def test_a_step_contracts_at_least_so_much():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        values = rng.uniform(0.5, 4, 5)
        values[:2] = 0.5, 4.0
        w = rng.normal(size=5)
        after = np.linalg.norm(w - CURVED["learning_rate"] * values * w)
        assert after <= theory.contraction(**CURVED) * np.linalg.norm(w) * (1 + 1e-12)


def test_the_distance_is_the_sum_that_it_says():
    q, errors = theory.contraction(**CURVED), [0.5, 0.0, 2.0]
    expected = q**3 * 7 + 0.3 * (q**2 * 0.5 + 2.0)
    assert_allclose(theory.distance(7.0, errors, **CURVED), expected)
    assert_allclose(theory.distance(7.0, [1.0] * 500, **CURVED), 4.5 / 2.0)  # (lambda + L) / (lambda L)
    assert theory.distance(7.0, [np.inf], **CURVED) == np.inf


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("convergence", STUDY)
    module = importlib.util.module_from_spec(spec)
    sys.modules["convergence"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["convergence"]


def test_descent_under_attack_stays_within_the_bounds(study, default_threads):
    ra.set_num_threads(1)  # rounds are small
    trials = [study.trial(seed, rounds=10) for seed in range(2 * (len(study.ATTACKS) + 1))]
    assert {t.attack for t in trials} == {*study.ATTACKS, "strongest"}
    for t in trials:
        assert t.measured <= t.certified <= t.foreseen, t
        assert t.kind == "logistic" or t.foreseen < np.inf, t
        assert max(t.median, t.deviation) <= 1, t


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: theory.contraction(**{**CURVED, "learning_rate": 0.5}),
            "learning_rate must be above 0 and at most 0.44",
        ),
        (lambda: theory.contraction(**{**CURVED, "smoothness": 0.1}), "smoothness must be at least strong_convexity"),
        (lambda: theory.distance(-1.0, [], **CURVED), "start must be at least 0"),
        (lambda: theory.distance(1.0, [np.nan], **CURVED), "error must be at least 0"),
        (lambda: theory.median_rate(n=4, f=2, m=9, sigma=1.0, d=1), "n must be at least 5 for f = 2, got 4"),
        (lambda: theory.median_rate(**SIZE, sigma=1.0), "sigma must be a number of at least 0 with d"),
        (lambda: theory.median_rate(**SIZE, sigma=1.0, d=2, failure=1.0), "failure must be above 0 and below 1"),
        (lambda: theory.median_rate(**SIZE, sigma=[1.0, 2.0], d=3), "sigma must be a number of at least 0 with d"),
        (lambda: theory.median_rate(**SIZE, sigma=[]), "sigma must be a number of at least 0 with d"),
        (lambda: theory.median_rate(**SIZE, sigma=1.0, d=2, skewness=-1), "skewness must be a number of at least 0"),
        (lambda: theory.median_rate(**SIZE, sigma=1.0, d=2, skewness=np.nan), "skewness must be a number"),
        (lambda: theory.median_rate(**SIZE, sigma=1.0, d=2, skewness=[1, 2, 3]), "skewness must be a number"),
        (lambda: theory.outside(n=10, f=1, spread=1.0, interval_width=-1), "interval_width must be positive"),
        (lambda: theory.outside(n=10, f=1, spread=1.0, value_range=-1), "value_range must be positive, or None"),
        (lambda: theory.outside(n=10, f=1, spread=1.0, confidence_threshold=0), "confidence_threshold must be above"),
        (lambda: theory.outside(n=10, f=1, spread=1.0, scale_floor=np.nan), "scale_floor must be at least 0"),
        (lambda: theory.deviation(n=10, f=10, m=9, proxy=1.0, d=1), "n must be at least 22 for f = 10, got 10"),
        (lambda: theory.deviation(n=10, f=12, m=9, proxy=1.0, d=1), "n must be at least 26 for f = 12, got 10"),
        (lambda: theory.deviation(**SIZE, proxy=1.0, d=1, value_range=0), "value_range must be positive, or None"),
        (lambda: theory.outside(n=5, f=2, spread=1.0), "n must be at least 6 for f = 2, got 5"),
        (lambda: theory.deviation(**SIZE, proxy=-1.0, d=1), "proxy must be"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_only_parameters_of_the_bound_are_taken():
    with pytest.raises(TypeError, match="decay"):
        theory.deviation(**SIZE, proxy=1.0, d=1, decay=0.5)
