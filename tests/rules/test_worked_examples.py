"""Worked examples: each rule on a few numbers, its result derived by hand from the definition of the paper named.

Nothing expected here was computed by a program: a comment holds the arithmetic. One-dimensional updates are written as
numbers; `column` makes rows of them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import robustagg as ra
from robustagg import attacks

NEAR = {"rtol": 1e-12, "atol": 1e-12}
CONVERGED = {"rtol": 0, "atol": 1e-3}  # Weiszfeld's iteration ends near its limit


def column(*values):
    return np.array(values, np.float64)[:, None]


# --- coordinate by coordinate ---------------------------------------------------------------------------------------


def test_mean():
    """McMahan et al. 2017: (1 * 2 + 3 * 6) / (1 + 3) = 5."""
    assert_allclose(ra.Mean()(column(2, 6), sample_counts=[1, 3]), [5], **NEAR)


def test_median():
    """Yin et al. 2018: between the two middle values of four, (3 + 8) / 2; by samples, half the weight is at most 2."""
    assert_allclose(ra.Median()(column(100, 3, 1, 8)), [5.5], **NEAR)
    assert_allclose(ra.Median()(column(1, 2, 3), sample_counts=[1, 1, 2]), [2.5], **NEAR)


@pytest.mark.parametrize("rule", [ra.TrimmedMean(f=1), ra.TrimmedMean(beta=0.2)])
def test_trimmed_mean(rule):
    """Yin et al. 2018: of five values beta = 0.2 drops one at each end, (2 + 4 + 9) / 3."""
    assert_allclose(rule(column(9, 100, 1, 4, 2)), [5], **NEAR)


def test_mean_around_median():
    """Xie et al. 2018: median 4, distances 5, 96, 3, 0, 2; the three nearest are 4, 2 and 1."""
    assert_allclose(ra.MeaMed(f=2)(column(9, 100, 1, 4, 2)), [7 / 3], **NEAR)


def test_repeated_median():
    """Siegel 1982: slopes' medians 1, 1, 1 and 4 (of 3, 4, 7), so 1; intercepts 0, 0, 0, -3, so 0; 1.5 at rank 1.5."""
    assert_allclose(ra.RepeatedMedian()(column(2, 0, 9, 1)), [1.5], **NEAR)


def test_residual_reweighting():
    """Fu et al. 2019: the line is y = x with residuals 0, 0, 0, 0, 10, whose scale is the floor, 1e-7.

    So confidences are 1, 1, 1, 1 and 10^-8 at most, and the squared weights equal but for the last.
    """
    result = ra.ResidualReweighting().aggregate(column(0, 1, 2, 3, 14))
    assert_allclose(result.weights, [1 / 4, 1 / 4, 1 / 4, 1 / 4, 0], atol=1e-6)
    assert_allclose(result.update, [1.5], atol=1e-6)  # (0 + 1 + 2 + 3) / 4


# --- by distances ---------------------------------------------------------------------------------------------------

SPREAD = column(0, 1, 3, 6, 20)


def test_krum():
    """Blanchard et al. 2017, f = 1: the sums of the 2 least squares are 1 + 9, 1 + 4, 4 + 9, 9 + 25, 196 + 289."""
    result = ra.Krum(f=1).aggregate(SPREAD)
    assert_allclose(result.update, [1], **NEAR)
    assert result.reasons == (
        "not selected: Krum score 10",
        "selected: Krum score 5",
        "not selected: Krum score 13",
        "not selected: Krum score 34",
        "not selected: Krum score 485",
    )


def test_krum_as_byzfl_has_it():
    """n - f - 1 = 3 others: 1 + 9 + 36, 1 + 4 + 25, 4 + 9 + 9, 9 + 25 + 36, ..."""
    assert_allclose(ra.Krum(f=1, variant="byzfl")(SPREAD), [3], **NEAR)


def test_multi_krum():
    """The best scores are 5 (the value 1), 10 (0) and 13 (3)."""
    assert_allclose(ra.MultiKrum(f=1)(SPREAD), [1 / 2], **NEAR)  # m = n - f - 2 = 2
    assert_allclose(ra.MultiKrum(f=1, m=3)(SPREAD), [4 / 3], **NEAR)


def test_bulyan():
    """El Mhamdi et al. 2018, f = 1: theta = 5 picks of Krum, then the mean of the theta - 2 = 3 nearest their median.

    4 neighbours: 85, 53.25, 39.25, 41.25, ...: 2 is picked. 3 neighbours: 73.25 for 0, 52.25 for 1, 37.25 for 4: 4.
    2 neighbours: 57.25 for 0, 43.25 for 1, 84.5 for 7.5: 1. One neighbour: 7.5 and 14 share the least, 6.5^2, and 0 and
    what is left of the two the next; who is nearer to all others goes first, so 14 and 7.5. Of 1, 2, 4, 7.5, 14 the
    median is 4, and 4, 2, 1 are nearest it.
    """
    assert_allclose(ra.Bulyan(f=1)(column(0, 1, 2, 4, 7.5, 14, 100)), [7 / 3], **NEAR)


def test_minimum_diameter_averaging():
    """El Mhamdi et al. 2020: diameters of the triples 3, 10, 10, 8: the mean of 0, 2, 3."""
    assert_allclose(ra.MDA(f=1)(column(0, 2, 3, 10)), [5 / 3], **NEAR)


def test_smallest_maximum_eigenvalue_averaging():
    """Allouah et al. 2023: 36 times the variances of the triples are 24, 38, 42, and (25 + 1 + 16) / 3 = 14."""
    assert_allclose(ra.SMEA(f=1)(column(0, 1, 2, 2.5)), [11 / 6], **NEAR)


def test_medoid():
    """Xie et al. 2018: sums of distances 6, 5, 9."""
    assert_allclose(ra.Medoid()(column(0, 1, 5)), [1], **NEAR)


def test_monna():
    """Farhadkhani et al. 2023: the three nearest to client 0 are at distances 0, 1, 2."""
    assert_allclose(ra.MoNNA(f=1, reference=0)(column(5, 4, 7, 0)), [16 / 3], **NEAR)


def test_comparative_gradient_elimination():
    """Gupta et al. 2021: norms 5, 1, 2; the longest goes."""
    assert_allclose(ra.CGE(f=1)(np.array([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]])), [1, 0.5], **NEAR)


def test_aksel():
    """Boussetta et al. 2020: squared distances to the median 2.5 are 6.25, 0.25, 0.25, 56.25."""
    assert_allclose(ra.Aksel(f=1)(column(0, 2, 3, 10)), [5 / 3], **NEAR)


def test_divide_and_conquer():
    """Shejwalkar and Houmansadr 2021: less their mean (2.5, 0) the rows scatter by 75 along x, by 2 along y.

    Their squared places along x are 56.25, 6.25, 6.25, 6.25: the first goes.
    """
    rows = np.array([[10.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.0, 0.0]])
    assert_allclose(ra.DnC(f=1)(rows), [0, 0], **NEAR)


def test_covariance_bound_agnostic_filter():
    """Allouah et al. 2025: the mean is 3, tau = 9, 4, 1, 36, so c = 27/36, 32/36, 35/36, 0 of sum 94/36 > n - 2f.

    Their mean is (32 + 70) / 94 with variance 1441 / 47^2 < 12.5; then c_0 = 0, the sum falls below 2, and that is it.
    """
    result = ra.CAF(f=1).aggregate(column(0, 1, 2, 9))
    assert_allclose(result.update, [51 / 47], rtol=1e-9)
    assert_allclose(result.weights, [27 / 94, 32 / 94, 35 / 94, 0], rtol=1e-9, atol=1e-12)


# --- towards a centre -----------------------------------------------------------------------------------------------


def at(angle, length):
    return [length * math.cos(math.radians(angle)), length * math.sin(math.radians(angle))]


def test_geometric_median_of_a_triangle():
    """Fermat's point sees the corners at 120 degrees; a corner of 120 degrees or more is the median itself."""
    assert_allclose(ra.GeometricMedian()(np.array([at(0, 2), at(120, 3), at(240, 5)])), [0, 0], **CONVERGED)
    assert_allclose(ra.GeometricMedian()(np.array([[0.0, 0.0], at(0, 1), at(150, 2)])), [0, 0], **CONVERGED)


def test_geometric_median_of_a_quadrangle():
    """Of four corners of a convex quadrangle: where the diagonals cross."""
    rows = np.array([[-1.0, 0.0], [0.0, -2.0], [3.0, 0.0], [0.0, 5.0]])
    assert_allclose(ra.GeometricMedian()(rows), [0, 0], **CONVERGED)


def test_geometric_median_on_a_line():
    """The median of an odd count of numbers; with samples, the value in which half of them is passed: 3 of 5."""
    assert_allclose(ra.GeometricMedian()(np.outer([0.0, 5.0, 1.0], [3.0, 4.0])), [3, 4], **CONVERGED)
    assert_allclose(ra.GeometricMedian()(column(0, 5, 1), sample_counts=[1, 3, 1]), [5], **CONVERGED)


def test_a_step_of_weiszfeld():
    """Pillutla et al. 2022: from zero beta = 1 and 1/2, so ((1, 0) + (0, 2) / 2) / 1.5."""
    rule = ra.GeometricMedian(max_iter=1, tol=0, variant="byzfl")
    assert_allclose(rule(np.array([[1.0, 0.0], [0.0, 2.0]])), [2 / 3, 2 / 3], **NEAR)


def test_centered_clipping():
    """Karimireddy et al. 2021, tau = 1: from zero (3, 4) counts as (0.6, 0.8), and (0.3, 0.4) as it is.

    From their mean (0.45, 0.6) the differences are (2.55, 3.4) of length 4.25, cut to (0.6, 0.8), and (-0.15, -0.2).
    """
    rule, rows = ra.CenteredClipping(tau=1.0), np.array([[3.0, 4.0], [0.3, 0.4]])
    assert_allclose(rule(rows), [0.45, 0.6], **NEAR)
    assert_allclose(rule(rows), [0.675, 0.9], **NEAR)  # 0.45 + (0.6 - 0.15) / 2, 0.6 + (0.8 - 0.2) / 2


# --- by trust -------------------------------------------------------------------------------------------------------


def test_fltrust():
    """Cao et al. 2021: cosines 0.6, -1, 1; of length 2 the first is (1.2, 1.6) and the last (2, 0).

    (0.6 * (1.2, 1.6) + (2, 0)) / 1.6.
    """
    rows = np.array([[3.0, 4.0], [-1.0, 0.0], [0.5, 0.0]])
    result = ra.FLTrust().aggregate(rows, server_update=np.array([2.0, 0.0]))
    assert_allclose(result.update, [1.7, 0.6], **NEAR)
    assert_allclose(result.weights, [0.6 / 1.6, 0, 1 / 1.6], **NEAR)


def test_foolsgold():
    """Fung et al. 2020: cosines sqrt(0.12) of a and b, 0.6 of b and c, 0 of a and c, so v = sqrt(0.12), 0.6, 0.6.

    a is pardoned: sqrt(0.12) sqrt(0.12) / 0.6 = 0.2. So 1 - max is 0.8, 0.4, 0.4; over the highest 1 (0.99), 1/2, 1/2;
    ln(0.99 / 0.01) + 1/2 is cut to 1, ln 1 + 1/2 is 1/2. The weights 1, 1/2, 1/2 are shares of 1/2, 1/4, 1/4.
    """
    histories = np.array([[1.0, 0.0, 0.0], [math.sqrt(0.12), 0.6, math.sqrt(0.52)], [0.0, 1.0, 0.0]])
    assert_allclose(ra.FoolsGold().aggregate(histories).weights, [1 / 2, 1 / 4, 1 / 4], rtol=1e-9)
    before = np.array([[3.0, 1.0, -2.0], [1.0, 1.0, 4.0], [0.5, -2.0, 1.0]])
    rule = ra.FoolsGold()
    rule.aggregate(before)
    now = histories - before
    result = rule.aggregate(now)  # it is the sums of both rounds that count
    assert_allclose(result.weights, [1 / 2, 1 / 4, 1 / 4], rtol=1e-9)
    assert_allclose(result.update, now[0] / 2 + now[1] / 4 + now[2] / 4, rtol=1e-9)


# --- pre-aggregation ------------------------------------------------------------------------------------------------


def test_nearest_neighbour_mixing():
    """Allouah et al. 2023, f = 1: 0, 1, 3 are the three nearest to each of themselves, 10, 3, 1 those to 10."""
    assert_allclose(ra.NNM(f=1)(column(0, 1, 3, 10)), column(4 / 3, 4 / 3, 4 / 3, 14 / 3), **NEAR)


def test_bucketing():
    """Karimireddy et al. 2022, s = 2: 0, 1, 2, 4 make pairs in three ways."""
    pairs = [[0.5, 3], [1, 2.5], [1.5, 2]]
    seen = [sorted(ra.Bucketing(s=2, seed=seed)(column(0, 1, 2, 4)).ravel().tolist()) for seed in range(20)]
    assert all(pair in pairs for pair in seen)
    assert all(pair in seen for pair in pairs)


def test_adaptive_robust_clipping():
    """Allouah et al. 2025: n = 5, f = 1: floor(1.6) = 1 is cut to the second length, 5; f = 2: floor(2.4) = 2, to 3."""
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    assert_allclose(ra.ARC(f=1)(rows), [*rows[:4], [3, 4]], **NEAR)
    assert_allclose(ra.ARC(f=2)(rows), [*rows[:3], [1.8, 2.4], [1.8, 2.4]], **NEAR)


def test_norm_clipping():
    """(6, 8) has length 10, and a tenth of it is (0.6, 0.8)."""
    assert_allclose(ra.NormClipping(c=1.0)(np.array([[6.0, 8.0], [0.0, 1.0]])), [[0.6, 0.8], [0, 1]], **NEAR)


# --- reputation -----------------------------------------------------------------------------------------------------


def test_reputation():
    """Chu et al. 2023, 20 coordinates: (0.3 * 20 + 1) / (0.3 * 20 + 2) for who is accepted, 1 / (0.7 * 20 + 2) if not.

    Ranks 0 ... 3 lie on the line y = x / 100; the value 1 is off it by 0.96, and its confidence nearly 0. With ages 0
    and 1 the score of a second round is (1 * R2 + exp(-1/2) * R1) / (1 + exp(-1/2)).
    """
    line = np.tile(column(0, 0.01, 0.02, 0.03), 20)
    rows, rule = np.concatenate([line, np.ones((1, 20))]), ra.Reputation()
    result = rule.aggregate(rows)
    assert_allclose(result.reputation, [0.875] * 4 + [0.0625], **NEAR)
    assert_allclose(result.weights, [1 / 4] * 4 + [0], **NEAR)  # from least to highest: 0 to 1
    assert_allclose(result.update, np.full(20, 0.015), rtol=1e-12)
    result = rule.aggregate(np.tile(column(0, 0.01, 0.02, 0.03, 0.04), 20))
    age = math.exp(-0.5)
    assert_allclose(result.reputation[4], (0.875 + age * 0.0625) / (1 + age), rtol=1e-12)


# --- attacks --------------------------------------------------------------------------------------------------------


def test_a_little_is_enough():
    """Baruch et al. 2019: n = 50, f = 24: s = 26 - 24 = 2 and 24 / 26 = 0.923 is the normal distribution at 1.43."""
    assert round(attacks.alie_z(50, 24), 2) == 1.43
    assert_allclose(attacks.alie(column(1, 3), 1, z=0.5), [[1.5]], **NEAR)  # mean 2, deviation 1


def test_inner_product_manipulation():
    """Xie et al. 2019: minus epsilon times the mean of (1, 2) and (3, 2)."""
    assert_allclose(attacks.ipm(np.array([[1.0, 2.0], [3.0, 2.0]]), 1, epsilon=0.5), [[-1, -1]], **NEAR)
