"""Every rule of the table against its definition and the laws it obeys; distance rules against what is theirs alone."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import definitions
import ml_dtypes
import numpy as np
import pytest
import scipy.optimize
from cases import CASES, Case, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg.kernels.interface import GRAM_TILE
from robustagg.rules.evidence.gram import Gram
from robustagg.rules.evidence.sums import Sum
from robustagg.rules.subsets import least_diameter, least_spread

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64 in, float64 out, sums in another order
SINGLE = {"rtol": 1e-5, "atol": 1e-5}  # one rounding to float32 of numbers around 1

seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([2.0**-900, 1.0, 2.0**900])
each_case = pytest.mark.parametrize("case", CASES, ids=str)
laws = settings(max_examples=25, deadline=None)


def honest(seed: int, n: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng([seed, n, d]).normal(size=(n, d))


def sizes(case: Case, most: int = 8):
    """(n, f) that the rule can do."""
    return [(n, f) for n in range(1, most + 1) for f in range(4) if n >= case.least(f)]


# --- definitions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(definition=any), ids=str)
def test_definition(case):
    for n, f in sizes(case):
        for seed in range(3):
            x = honest(seed, n)
            assert_allclose(case.make(f)(x), case.definition(x, f), **EXACT, err_msg=f"n = {n}, f = {f}")


@pytest.mark.parametrize("case", cases(definition=any, permutation=False), ids=str)
def test_ties_go_to_the_first(case):
    for (n, f), seed in itertools.product(sizes(case), range(5)):
        x = np.random.default_rng([seed, n]).integers(0, 3, (n, 2)).astype(np.float64)
        assert_allclose(case.make(f)(x), case.definition(x, f), **EXACT)


def test_krum_breaks_ties_by_the_distance_to_all():
    x = np.array([[0.0], [1.0], [3.0]])  # the best score, 1, is that of the first two
    assert_array_equal(ra.Krum(0).aggregate(x).weights, [0, 1, 0])
    assert_array_equal(ra.Krum(0).aggregate(x[::-1]).weights, [0, 1, 0])


@given(seeds, st.integers(1, 9), st.integers(0, 4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_least_diameter_is_what_enumeration_finds(seed, n, f, tied):
    f = min(f, (n - 1) // 2)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (n, 2)) if tied else rng.normal(size=(n, 3))
    distances = ((x[:, None] - x) ** 2).sum(axis=2)

    def diameter(subset):
        return distances[np.ix_(subset, subset)].max()

    expected = min((list(subset) for subset in itertools.combinations(range(n), n - f)), key=diameter)
    assert least_diameter(distances, f).tolist() == expected


def test_least_diameter_of_many_clients():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(80, 50)), rng.normal(3, 1, size=(40, 50))])
    distances = ((x[:, None] - x) ** 2).sum(axis=2)
    assert_array_equal(np.sort(least_diameter(distances, 40)), np.arange(80))


@given(
    seeds,
    st.integers(1, 9),
    st.integers(0, 4),
    st.sampled_from(["normal", "tied", "apart", "equal"]),
    st.sampled_from([2.0**-900, 1.0, 2.0**900]),
)
@settings(max_examples=200, deadline=None)
def test_least_spread_is_what_enumeration_finds(seed, n, f, kind, scale):
    f = min(f, (n - 1) // 2)
    rng = np.random.default_rng(seed)
    x = {
        "normal": rng.normal(size=(n, 3)),
        "tied": rng.integers(0, 3, (n, 2)),
        "apart": np.eye(n),
        "equal": (np.arange(n) < f)[:, None] * rng.normal(size=(n, 2)),
    }[kind]
    subsets = [list(subset) for subset in itertools.combinations(range(n), n - f)]
    spreads = np.array([definitions.top_variance(x[subset]) ** 2 for subset in subsets])
    expected = subsets[np.flatnonzero(spreads <= spreads.min() * (1 + 1e-9) + 1e-20)[0]]
    chosen, spread = least_spread(((x[:, None] - x) ** 2).sum(axis=2) * scale, f)
    assert chosen.tolist() == expected
    assert_allclose(spread / scale, spreads.min(), rtol=1e-12, atol=1e-15)


def test_least_spread_of_many_clients():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(30, 500)), rng.normal(3, 1, size=(10, 500))])
    distances = ((x[:, None] - x) ** 2).sum(axis=2)
    assert_array_equal(least_spread(distances, 10)[0], np.arange(30))


def test_geometric_median_has_the_least_sum_of_distances():
    for seed in range(5):
        x = honest(seed, 9, 3)
        counts = np.random.default_rng(seed).uniform(0.1, 1, 9)

        def total(z, x=x, counts=counts):
            return counts @ np.linalg.norm(x - z, axis=1)

        best = scipy.optimize.minimize(total, x.mean(axis=0), method="BFGS", options={"gtol": 1e-9}).fun
        z = ra.GeometricMedian().aggregate(x, sample_counts=counts).update
        assert total(z) <= best * (1 + 1e-7)  # where a client is very near, the iteration creeps


def test_geometric_median_of_one_and_of_two():
    assert_allclose(ra.GeometricMedian()(np.array([[1.0, 2.0]])), [1, 2])
    assert_allclose(ra.GeometricMedian()(np.array([[1.0, 2.0], [3.0, 6.0]])), [2, 4])


def test_geometric_median_reaches_the_honest_from_a_mean_that_is_far_away():
    x = np.concatenate([honest(0, 6), np.full((4, 5), 1e30)])
    assert_allclose(ra.GeometricMedian()(x), honest(0, 6).mean(axis=0), atol=4)


@pytest.mark.parametrize("size", [1e3, 1e9, 1e15, 1e30])
@pytest.mark.parametrize("idle", [False, True], ids=["dense", "sparse, one idle"])
def test_however_far_one_client_is_the_iteration_goes_on_to_the_geometric_median(idle, size):
    """How far it is decides neither where the iteration begins nor when it stops; idle: on a row that is no minimum."""
    d = 24
    x = np.abs(honest(3, 8, d)) * (np.arange(d) % 8 == np.arange(8)[:, None]) if idle else honest(3, 9, d)
    direction = np.ones(d) / np.sqrt(d)
    near = np.concatenate([x, np.zeros((1, d))]) if idle else x

    def total(z: np.ndarray) -> float:  # of a client infinitely far along the direction, but for a constant
        return float(np.linalg.norm(near - z, axis=1).sum() - direction @ z)

    best = scipy.optimize.minimize(total, near.mean(axis=0), method="BFGS", options={"gtol": 1e-10})
    update = ra.GeometricMedian()(np.concatenate([near, [size * direction]]))
    assert_allclose(update, best.x, rtol=0, atol=1e-4 if size > 1e3 else 0.05)
    assert total(update) <= best.fun * (1 + 1e-6) + (0 if size > 1e3 else 0.01)


@pytest.mark.parametrize("size", [1e3, 1e9, 1e15, 1e18, 1e30, 1e300])
def test_however_far_one_client_is_the_medoid_has_the_least_sum_of_distances(size):
    x = np.concatenate([np.full((1, 60), -5.0), 0.01 * honest(0, 8, 60)])  # the bad client is the first of equal sums
    direction = np.ones(60) / np.sqrt(60)
    sums = [np.linalg.norm(x - row, axis=1).sum() - direction @ row for row in x]
    weights = ra.Medoid().aggregate(np.concatenate([x, [size * direction]])).weights
    assert weights.argmax() == np.argmin(sums)


@given(st.integers(1, 4), seeds, st.floats(-1e6, 1e6))
@laws
def test_of_equal_sums_of_distances_the_first(copies, seed, by):
    x = np.repeat(honest(seed, 2), copies, axis=0) + by
    x = x[np.random.default_rng(seed).permutation(len(x))]
    assert_array_equal(ra.Medoid().aggregate(x).weights, np.eye(2 * copies)[0])


# --- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(permutation=True), ids=str)
@given(seeds, st.data())
@laws
def test_the_order_of_clients_does_not_matter(case, seed, data):
    n, f = data.draw(st.sampled_from([(n, f) for n, f in sizes(case, 12) if n != 2]))  # two are always a tie
    copies = case.name.startswith("FoundationFL")  # of two clients at the ends of every coordinate, either
    x = honest(seed, n, 40 if copies else 5)
    order = np.random.default_rng(seed).permutation(n)
    one, other = case.make(f).aggregate(x), case.make(f).aggregate(x[order])
    assert_allclose(other.update, one.update, **EXACT)
    assert_allclose(other.weights, one.weights[order], **EXACT)


@pytest.mark.parametrize("case", cases(shift=True), ids=str)
@given(seeds, st.data())
@laws
def test_moved_updates_move_the_result(case, seed, data):
    n, f = data.draw(st.sampled_from(sizes(case, 12)))
    x, by = honest(seed, n), 100 * honest(seed, 1)
    tolerance = 1e-9 if case.picks else 1e-5  # iterations stop at a relative change
    assert_allclose(case.make(f)(x + by), case.make(f)(x) + by[0], rtol=0, atol=100 * tolerance)


@pytest.mark.parametrize("case", cases(scale=True), ids=str)
@given(seeds, st.integers(-3, 40), st.data())
@laws
def test_scaled_updates_scale_the_result(case, seed, exponent, data):
    n, f = data.draw(st.sampled_from(sizes(case, 12)))
    x, by = honest(seed, n), 2.0**exponent
    assert_allclose(case.make(f)(x * by) / by, case.make(f)(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", cases(mean_at_zero=True), ids=str)
def test_without_attackers_it_is_the_mean(case):
    for n in range(case.least(0), 8):
        x = honest(n, n)
        assert_allclose(case.make(0)(x), x.mean(axis=0), **EXACT)


@pytest.mark.parametrize("dtypes", ["float64 float32", "float32 float64", "bfloat16 float32", "float64 bfloat16"])
@each_case
def test_tensors_of_several_dtypes_are_one_model(case, dtypes):
    """The same numbers, all of which the narrowest dtype holds, have the same weights."""
    x = np.concatenate([honest(7, 9, 40) / 8, 5 + honest(8, 2, 40)])
    x[:, :20] /= 16
    x = x.astype(ml_dtypes.bfloat16).astype(np.float64)

    def tree(row: np.ndarray, dtypes: list[str]) -> dict[str, np.ndarray]:
        return {name: part.astype(dtype) for name, part, dtype in zip("ab", np.split(row, 2), dtypes, strict=True)}

    def weights(*dtypes: str) -> np.ndarray:
        extras = {name: tree(row, dtypes) for name, row in case.extras(x).items()}
        return case.make(2).aggregate([tree(row, dtypes) for row in x], **extras).weights

    assert_allclose(weights(*dtypes.split()), weights("float64", "float64"), rtol=1e-4, atol=1e-6)


ATTACKS = {
    "huge": lambda x, f: np.full((f, x.shape[1]), 1e30),
    "largest": lambda x, f: np.full((f, x.shape[1]), -3.4e38),
    "far": lambda x, f: 50 + honest(99, f, x.shape[1]),
    "sign flip": lambda x, f: np.tile(-10 * x.mean(axis=0), (f, 1)),
    "a little is enough": lambda x, f: np.tile(x.mean(axis=0) - 1.2 * x.std(axis=0), (f, 1)),
    "one coordinate": lambda x, f: np.tile(x.mean(axis=0) + np.eye(1, x.shape[1])[0] * 1e6, (f, 1)),
    "mimic": lambda x, f: np.tile(x[0], (f, 1)),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_case
def test_attackers_move_the_result_no_further_than_proven(case, attack, dtype):
    for n, f in ((11, 1), (11, 2), (15, 3)):
        x = honest(n, n - f, 20).astype(dtype)
        y = np.concatenate([x, ATTACKS[attack](x.astype(np.float64), f).astype(dtype)])
        update = np.asarray(case.make(f)(y), np.float64)
        assert np.isfinite(update).all()
        if case.bound is not None:
            diameter = max(np.linalg.norm(a - b) for a, b in itertools.combinations(x.astype(np.float64), 2))
            away = np.linalg.norm(update - x.astype(np.float64).mean(axis=0))
            assert away <= case.bound(n, f) * diameter * (1 + 1e-5)


VALUES = st.one_of(
    st.sampled_from([0.0, 1e-7, 100.0, 1000.0, -1e6, 1e30, 3.4e38, -3.4e38, 1.7e308, -1.7e308, 5e-324]),
    st.floats(-50, 50),
    st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.mark.parametrize("kind", ["dense", "sparse", "equal", "grid"])
@pytest.mark.parametrize("case", cases(box=any), ids=str)
@given(st.data())
@laws
def test_whatever_attackers_send_the_result_stays_in_the_honest_box(case, kind, data):
    n = data.draw(st.integers(5, 14))
    f = data.draw(st.integers(1, (n - 1) // 2))
    x = 0.01 * honest(data.draw(seeds), n - f, 8)
    rng = np.random.default_rng(n)
    if kind == "sparse":
        x *= rng.random(x.shape) < 0.1
    elif kind == "grid":
        x = np.round(x, 2)
    elif kind == "equal":
        x[:] = x[0]
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    largest = float(np.finfo(dtype).max)
    sent = np.array(data.draw(st.lists(st.lists(VALUES, min_size=8, max_size=8), min_size=f, max_size=f)))
    y = np.concatenate([x, sent.clip(-largest, largest)])[rng.permutation(n)].astype(dtype)
    update, x = np.asarray(case.make(f)(y), np.float64), x.astype(dtype).astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    outside = np.maximum(low - update, update - high)
    assert (outside <= case.box(n, f, high - low) + 1e-6 * np.abs(x).max() * (dtype is np.float32) + 1e-15).all()


@pytest.mark.parametrize("case", cases(picks=True), ids=str)
def test_far_attackers_have_no_weight(case):
    x = np.concatenate([honest(1, 9, 30), 1e3 + honest(2, 2, 30)])
    weights = case.make(2).aggregate(x).weights
    assert_array_equal(weights[9:], 0)
    assert set(weights[weights > 0]) == {weights.max()}


@pytest.mark.parametrize("case", [case for case in cases(refuses=True) if case.least(3) > 1], ids=str)
def test_left_out_clients_do_not_make_too_few_enough(case):
    x = honest(0, case.least(3) - 1)
    x[-1] = np.nan
    with pytest.raises(ValueError, match=r"needs .* clients are admitted"):
        case.make(3)(x)


@pytest.mark.parametrize("case", cases(refuses=True), ids=str)
def test_too_few_clients_are_named(case):
    for f in (1, 3):
        if case.least(f) > 1:
            with pytest.raises(ValueError, match=f"needs .*; {case.least(f) - 1} clients are admitted"):
                case.make(f)(honest(0, case.least(f) - 1))


@each_case
def test_weights_say_what_each_client_made_of_the_result(case):
    result = case.make(2).aggregate(honest(0, 11, 30))
    assert result.weights.min() >= 0
    assert math.isclose(result.weights.sum(), 1)
    assert all(result.reasons)


@pytest.mark.parametrize("case", cases(counts=True, picks=True), ids=str)
def test_sample_counts_weigh_the_chosen_and_nobody_else(case):
    x = np.concatenate([honest(1, 9, 30), 1e3 + honest(2, 2, 30)])
    chosen = case.make(2).aggregate(x).weights > 0
    counts = np.arange(1.0, 12) ** 2
    result = case.make(2).aggregate(x, sample_counts=counts)
    assert_allclose(result.weights, np.where(chosen, counts, 0) / counts[chosen].sum())
    assert_allclose(result.update, result.weights @ x, **EXACT)
    nothing = case.make(2).aggregate(x, sample_counts=np.where(chosen, 0, 1e300))  # attackers boast
    assert_allclose(nothing.weights, chosen / chosen.sum())


@pytest.mark.parametrize("case", cases(counts=False), ids=str)
def test_sample_counts_that_would_not_count_are_refused(case):
    with pytest.raises(ValueError, match="sample_counts"):
        case.make(1).aggregate(honest(0, 9), sample_counts=np.ones(9))


# --- precision ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(picks=True, shift=True), ids=str)
def test_a_large_offset_does_not_blur_a_small_spread(case):
    rng = np.random.default_rng(0)
    for f in (1, 2):
        x = rng.normal(scale=1e-3, size=(11, 200))
        x[:f] += 4e-4  # attackers just outside
        x = (1000 + x).astype(np.float32)
        exact = x.astype(np.float64) - 1000  # without rounding
        assert_array_equal(case.make(f).aggregate(x).weights, case.make(f).aggregate(exact).weights)
        if case.definition is not None:
            small = exact[:, :40]
            assert_allclose(case.make(f)(x[:, :40]) - 1000.0, case.definition(small, f), atol=1e-4)


def test_an_attacker_at_the_end_of_the_range_does_not_blur_the_others():
    for dtype, value in (("float32", 3e38), ("float64", 1.7e308)):
        x = honest(0, 9, 500).astype(dtype)
        y = np.concatenate([x, [np.full(500, value, dtype), np.full(500, -value, dtype)]])
        distances = Gram.of(list(y)).geometry().distances[:9, :9]
        expected = ((x[:, None].astype(np.float64) - x) ** 2).sum(axis=2)
        assert_allclose(distances, expected, rtol=1e-12, atol=1e-9)
        assert np.isfinite(Gram.of(list(y)).geometry().products).all()


def test_equal_rows_are_at_distance_zero():
    x = np.repeat(honest(0, 4, 10_000), 3, axis=0)
    distances = Gram.of(list(x)).geometry().distances
    assert_array_equal(distances.reshape(4, 3, 4, 3)[range(4), :, range(4)], 0)


@given(seeds, st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_sums_of_tiles_are_exact_and_of_any_order(seed, t):
    rng = np.random.default_rng(seed)
    tiles = rng.normal(size=(t, 2, 2)) * 10.0 ** rng.uniform(-rng.integers(1, 140), rng.integers(1, 140), (t, 2, 2))
    tiles[rng.random((t, 2, 2)) < 0.2] = 0
    whole = Sum.sum(tiles).value()
    one_by_one = [Sum.sum(tile[None]) for tile in tiles[rng.permutation(t)]]
    total = one_by_one[0]
    for further in one_by_one[1:]:
        total = further + total
    assert_array_equal(total.value(), whole)
    for i, j in itertools.product(range(2), range(2)):
        terms = [Fraction(float(v)) for v in tiles[:, i, j]]
        error = abs(Fraction(float(whole[i, j])) - sum(terms))
        assert error <= max(abs(sum(terms)) * Fraction(1, 2**52), max(map(abs, terms)) * Fraction(t, 2**60))


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_one_tile_is_its_own_sum(seed):
    rng = np.random.default_rng(seed)
    tile = rng.normal(size=(1, 4, 4)) * 10.0 ** rng.uniform(-308, 290, (1, 4, 4))
    alone = Sum.sum(tile)
    assert_allclose(alone.value(), tile[0], rtol=0, atol=2.0**-992)
    assert_array_equal(alone.value()[np.abs(tile[0]) > 1e-280], tile[0][np.abs(tile[0]) > 1e-280])
    assert_array_equal((alone + Sum.sum(tile[:0])).value(), alone.value())
    assert_array_equal((alone + alone).value(), 2 * alone.value())


# --- the same bits everywhere ---------------------------------------------------------------------------------------


@each_case
def test_bits_do_not_depend_on_threads(case, default_threads):
    x = honest(0, 11, 3 * GRAM_TILE + 100).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 7):
        ra.set_num_threads(threads)
        results.append(case.make(2).aggregate(x))
    for result in results[1:]:
        assert_array_equal(result.update, results[0].update)
        assert_array_equal(result.weights, results[0].weights)


@each_case
def test_bits_are_those_of_files(case, tmp_path):
    x = honest(0, 11, 5 * GRAM_TILE + 100).astype(np.float32)
    for i, row in enumerate(x):
        np.save(tmp_path / f"{i:02}.npy", row)
    paths, out = sorted(tmp_path.glob("*.npy")), tmp_path / "out.npy"
    with pytest.raises(ValueError, match="needs") as too_little:
        ra.aggregate_files(case.make(2), paths, out, ids=range(11), max_memory=1)
    memory = int(str(too_little.value).split()[-1])  # for one tile at a time
    result = ra.aggregate_files(case.make(2), paths, out, ids=range(11), max_memory=memory)
    in_memory = case.make(2).aggregate(x)
    assert_array_equal(result.weights, in_memory.weights)
    assert_array_equal(np.load(out), in_memory.update)


def test_bits_do_not_depend_on_the_layout_of_the_array():
    x = honest(0, 5, 2**20 + 5).astype(np.float32)
    expected = ra.MultiKrum(1).aggregate(x)
    result = ra.MultiKrum(1).aggregate(np.asfortranarray(x))
    assert_array_equal(result.update, expected.update)
    assert result.reasons == expected.reasons


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ra.Krum(-1), "f must be an integer of at least 0, got -1"),
        (lambda: ra.Krum(1.0), "f must be"),
        (lambda: ra.Krum(True), "f must be"),
        (lambda: ra.Krum(1, variant="flower"), "variant must be one of 'paper', 'byzfl'"),
        (lambda: ra.MultiKrum(1, 0), "m must be an integer of at least 1"),
        (lambda: ra.Bulyan(-1), "f must be"),
        (lambda: ra.MDA("1"), "f must be"),
        (lambda: ra.SMEA(-1), "f must be"),
        (lambda: ra.CAF(-1), "f must be"),
        (lambda: ra.CGE(-1), "f must be"),
        (lambda: ra.MoNNA(-1), "f must be"),
        (lambda: ra.DnC(-1), "f must be"),
        (lambda: ra.DnC(1, iterations=0), "iterations must be"),
        (lambda: ra.DnC(1, filter_frac=-1), "filter_frac must be"),
        (lambda: ra.GeometricMedian(nu=0), "nu must be positive"),
        (lambda: ra.GeometricMedian(max_iter=0), "max_iter must be"),
        (lambda: ra.GeometricMedian(tol=1), "tol must be"),
        (lambda: ra.GeometricMedian(variant="paper"), "variant must be"),
        (lambda: ra.CenteredClipping(tau=0), "tau must be positive"),
        (lambda: ra.CenteredClipping(iterations=0), "iterations must be"),
    ],
)
def test_bad_parameters_are_named(make, text):
    with pytest.raises(ValueError, match=text):
        make()


# --- what is theirs alone -------------------------------------------------------------------------------------------


def test_multi_krum_means_as_many_as_asked():
    x = honest(0, 9)
    for m in range(1, 10):
        assert np.count_nonzero(ra.MultiKrum(2, m).aggregate(x).weights) == m
    with pytest.raises(ValueError, match="at least m = 10"):
        ra.MultiKrum(2, 10)(x)


def test_monna_trusts_a_client_by_its_id():
    x = np.array([[1.0], [2.0], [3.0], [900.0]])
    rule = ra.MoNNA(1, reference="lima")
    assert_array_equal(rule(x, clients=["oslo", "rome", "lima", "york"]), [2])
    with pytest.raises(ValueError, match="client 'lima', the rule's reference, takes no part"):
        rule(x, clients=["oslo", "rome", "bern", "york"])


def test_monna_without_its_trusted_client_trusts_the_median():
    x = np.array([[1.0], [2.0], [np.nan], [900.0], [3.0]])
    for rule in (ra.MoNNA(1, reference=2), ra.Pipeline(ra.NormClipping(1e6), ra.MoNNA(1, reference=2))):
        result = rule.aggregate(x)
        assert_allclose(result.update, [2])
        assert "from the median: client 2 is left out" in result.reasons[0]


def test_caf_drops_a_client_at_each_step_and_stops():
    x = np.concatenate([honest(0, 8, 30), 20 + honest(1, 3, 30)])
    result = ra.CAF(3).aggregate(x)
    assert_allclose(result.weights[8:], 0, atol=1e-3)


def test_geometric_median_leaves_a_row_that_is_no_minimum():
    x = 64 * honest(33554432, 4)  # the coordinate-wise lower median is one of the rows
    assert (np.sort(x, axis=0)[1] == x).all(axis=1).any()
    assert ra.GeometricMedian().aggregate(x).weights.max() < 0.9
    assert_allclose(ra.GeometricMedian()(x), ra.GeometricMedian(nu=1e-3)(x), rtol=1e-4)


def test_dnc_draws_by_seed_and_round():
    x = honest(0, 9, 5000)
    rule = ra.DnC(2, iterations=2, sub_dim=10, seed=3)
    first, second = rule.aggregate(x), rule.aggregate(x)
    again = ra.DnC(2, iterations=2, sub_dim=10, seed=3).aggregate(x)
    assert_array_equal(first.weights, again.weights)
    assert first.reasons != second.reasons


def test_dnc_keeps_somebody_where_the_draws_agree_on_nobody():
    result = ra.DnC(1, iterations=40, sub_dim=1).aggregate(honest(0, 4, 1000))
    assert math.isclose(result.weights.sum(), 1)


# --- memory ---------------------------------------------------------------------------------------------------------


def clipped_mean(x, center, tau):
    moves = x - center
    return center + np.mean([move * min(1, tau / np.linalg.norm(move)) for move in moves], axis=0)


def test_centered_clipping_goes_on_from_its_result():
    rule, center = ra.CenteredClipping(tau=1.0, iterations=2), np.zeros(5)
    for seed in range(4):
        x = honest(seed, 6)
        for _ in range(2):
            center = clipped_mean(x, center, 1.0)
        assert_allclose(rule(x), center, **EXACT)


def test_centered_clipping_of_updates_at_the_centre():
    rule = ra.CenteredClipping(tau=10.0)
    for _ in range(2):
        assert_array_equal(rule(np.zeros((3, 4))), 0)


def test_centered_clipping_takes_a_centre_of_the_updates_structure():
    x = honest(0, 6)
    trees = [{"a": row[:2], "b": [row[2:]]} for row in x]
    center = honest(9, 1)[0]
    rule = ra.CenteredClipping(tau=0.5)
    result = rule.aggregate(trees, center={"a": center[:2], "b": [center[2:]]}).update
    expected = clipped_mean(x, center, 0.5)
    assert_allclose([*result["a"], *result["b"][0]], expected, **EXACT)
    assert_allclose(rule(x), clipped_mean(x, expected, 0.5), **EXACT)
    with pytest.raises(ValueError, match="'center': shape"):
        rule.aggregate(x, center=center[:3])
    with pytest.raises(TypeError, match="centre"):
        rule.aggregate(x, centre=center)


def test_centered_clipping_is_as_before_after_a_round_that_failed():
    rule = ra.CenteredClipping(tau=1.0)
    rule(honest(0, 6))
    before = rule.state_dict()
    with pytest.raises(ValueError, match="the model has 4 coordinates, but had 5"):
        rule(honest(0, 6, 4))
    assert rule.state_dict() == before


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_centered_clipping_continues_from_a_saved_state(dtype):
    rule, other = ra.CenteredClipping(tau=1.0), ra.CenteredClipping(tau=1.0)
    rule(honest(0, 6).astype(dtype))
    other.load_state_dict(rule.state_dict())
    x = honest(1, 6).astype(dtype)
    assert_array_equal(rule(x), other(x))
    assert rule.last_round == other.last_round == 2
    with pytest.raises(ValueError, match=r"tau = 1\.0 \(here 2\.0\)"):
        ra.CenteredClipping(tau=2.0).load_state_dict(rule.state_dict())


def test_centered_clipping_of_bfloat16():
    torch = pytest.importorskip("torch")
    rule, center = ra.CenteredClipping(tau=1.0), np.zeros(5)
    for seed in range(3):
        x = torch.tensor(honest(seed, 6)).to(torch.bfloat16)
        update = rule(x)
        assert update.dtype == torch.bfloat16
        center = clipped_mean(x.double().numpy(), center, 1.0)
        assert_allclose(update.double().numpy(), center, atol=0.02)
        center = update.double().numpy()
