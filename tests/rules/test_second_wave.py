"""What the rules of the second wave have that the laws of the table do not ask for."""

from __future__ import annotations

import itertools

import definitions
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg.kernels.interface import GRAM_TILE
from robustagg.rules import cosine, fldetector
from robustagg.rules.evidence.magnitudes import Search

EXACT = {"rtol": 1e-9, "atol": 1e-12}


def honest(seed: int, n: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng([seed, n, d]).normal(size=(n, d))


def backdoored(seed: int, n: int = 10, f: int = 3, d: int = 200) -> np.ndarray:
    """Honest updates along a common direction; the last f go another way together."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=d) + rng.normal(size=(n, d))
    x[n - f :] = 3 * (rng.normal(size=d) + 0.1 * rng.normal(size=(f, d)))
    return x


@pytest.mark.parametrize("rule", [ra.FLAME(), ra.ClippedClustering(), ra.MultiMetrics()], ids=str)
def test_a_group_that_goes_its_own_way_has_no_weight(rule):
    for seed in range(3):
        result = rule.aggregate(backdoored(seed))
        assert_array_equal(result.weights[7:], 0)
        assert result.weights[:7].max() > 0


# --- clusters -------------------------------------------------------------------------------------------------------


def test_flame_adds_noise_of_the_median_length():
    x = honest(0, 9, 3 * GRAM_TILE)
    noise = ra.FLAME(noise=0.01)(x) - ra.FLAME(noise=0)(x)
    assert_allclose(noise.std(), 0.01 * np.median(np.linalg.norm(x, axis=1)), rtol=0.02)
    assert abs(np.corrcoef(noise[:GRAM_TILE], noise[GRAM_TILE : 2 * GRAM_TILE])[0, 1]) < 0.05
    rule = ra.FLAME(noise=0.01, seed=1)
    assert not np.array_equal(rule(x), rule(x))  # each round its own


def test_noise_does_not_depend_on_the_cut():
    whole = cosine.normal((3, 4), 0, 3 * GRAM_TILE)
    for start, stop in ((0, 0), (0, 5), (GRAM_TILE - 1, GRAM_TILE + 1), (100, 2 * GRAM_TILE + 7)):
        assert_array_equal(cosine.normal((3, 4), start, stop), whole[start:stop])


def test_clipped_clustering_clips_to_the_lengths_of_all_rounds():
    rule, norms = ra.ClippedClustering(), []
    for number in range(3):
        x = honest(number, 5) * 10.0**number
        assert_allclose(rule(x), definitions.clipped_clustering(x, 0, norms), **EXACT)
        norms.extend(np.linalg.norm(x, axis=1))
    state = {**rule.state_dict(), "norms": [1.0, -1.0]}
    with pytest.raises(ra.InvalidLedger):
        ra.ClippedClustering().load_state_dict(state)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    with pytest.raises(ImportError, match=r"needs scikit-learn.*robustagg\[cluster\]"):
        ra.FLAME()(honest(0, 5))
    assert ra.FLAME()(honest(0, 1)).shape == (5,)


# --- signs ----------------------------------------------------------------------------------------------------------


def test_rlr_reverses_what_too_few_agree_on():
    x = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -3.0], [1.0, -4.0, 0.0]])
    assert_allclose(ra.RLR(theta=2, server_lr=3)(x), [3.0, 2.0, 2.0])
    assert_allclose(ra.RLR(theta=100)(x[:, :1]), [1.0])
    result = ra.RLR(theta=1).aggregate(x, sample_counts=[1, 0, 0])
    assert_allclose(result.update, [1, 1, -1])


def test_sign_guard_looks_at_other_coordinates_every_round():
    x = honest(0, 9, 1000)
    rule = ra.SignGuard()
    counts = {rule.aggregate(x).reasons[0] for _ in range(5)}
    assert len(counts) > 1
    assert all("of 100" in why for why in counts)


def test_sign_guard_is_its_definition():
    for n, seed in itertools.product((1, 2, 3, 4, 7, 10, 20), range(4)):
        x = honest(seed, n, 400) + (np.arange(n) % 3 == 0)[:, None] * 0.2  # shares of signs without ties
        assert_allclose(ra.SignGuard(share=1)(x), definitions.sign_guard(x, 0), **EXACT)


def test_sign_guards_clusters_do_not_depend_on_who_comes_first():
    for seed in (179761, 0, 1, 2):  # of the first, some lie at the very edge of the bandwidth
        x = np.random.default_rng([seed, 6, 5]).normal(size=(6, 5))
        order = np.random.default_rng(seed).permutation(6)
        expected = ra.SignGuard(share=1).aggregate(x).weights[order]
        assert_allclose(ra.SignGuard(share=1).aggregate(x[order]).weights, expected, **EXACT)


def test_sign_guard_tells_who_turns_the_signs():
    for seed in range(3):
        x = backdoored(seed, f=0) + 1.5
        x[7:] *= -1
        assert_array_equal(ra.SignGuard().aggregate(x).weights[7:], 0)


def test_sign_guard_sim_remembers_its_result():
    x = backdoored(0)
    x[7:] = x[:3] * np.where(np.arange(200) % 2, 1, -1)  # as many signs of each kind, another direction
    rule = ra.SignGuard(share=1, variant="sim")
    first = rule(x)
    vector = rule.state_dict()["vectors"]
    assert [name for name, _ in vector] == ["aggregate"]
    assert np.isfinite(first).all()
    assert_array_equal(rule.aggregate(x).weights[7:], 0)
    with pytest.raises(ValueError, match="200"):
        rule(x[:, :100])


# --- AlignIns -------------------------------------------------------------------------------------------------------


def test_align_ins_is_its_definition():
    for n, seed, d in itertools.product((1, 3, 4, 9, 15), range(3), (5, 40, 300)):
        x, model = honest(seed, n, d), honest(seed + 10, 1, d)[0]
        expected = definitions.align_ins(x, model)
        assert_allclose(ra.AlignIns().aggregate(x, global_model=model).update, expected, **EXACT)
        single = ra.AlignIns().aggregate(x.astype(np.float32), global_model=model.astype(np.float32)).update
        assert_allclose(single, expected, rtol=1e-5, atol=1e-5)


def test_the_largest_magnitudes_are_found_exactly():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.float16):
        rows = list(rng.normal(size=(4, 700)).astype(dtype))
        rows[1][rng.random(700) < 0.6] = 0.5  # equal magnitudes
        signs = rng.integers(-1, 2, 700).astype(np.int8)
        for k in (1, 100, 350, 700):
            search = Search.of(4, k)
            while not search.done:
                search = search.refined(search.counts(rows[:], signs))
            for row, found in zip(rows, search.agreeing, strict=True):
                size = abs(row.astype(np.float64))
                least, agrees = np.sort(size)[-k], np.sign(row) == signs
                above, tied = size > least, size == least
                share = agrees[tied].mean()
                assert_allclose(found, agrees[above].sum() + (k - above.sum()) * share, rtol=1e-12)


@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32", "float64"), ("float16", "float64")], ids=str)
def test_align_ins_compares_magnitudes_of_tensors_of_several_dtypes(dtypes):
    x = honest(0, 11, 2000).astype(np.float16)
    x[:, :1000] /= 16
    x[8:, 1000:] *= -1  # what is large

    def reasons(*dtypes):
        tree = [
            {name: part.astype(t) for name, part, t in zip("ab", np.split(row, 2), dtypes, strict=True)} for row in x
        ]
        model = {name: np.ones(1000, dtype) for name, dtype in zip("ab", dtypes, strict=True)}
        return ra.AlignIns().aggregate(tree, global_model=model).reasons

    assert reasons(*dtypes) == reasons("float64", "float64")


def test_align_ins_keeps_nobody_where_both_measures_disagree():
    x = np.array([[1.0, 1.0], [-1.0, -1.0]])
    result = ra.AlignIns().aggregate(x, global_model=np.array([1.0, 0.0]))
    assert not result.weights.any()
    assert_array_equal(result.update, 0)
    assert all("nobody is kept" in why for why in result.reasons)
    with pytest.raises(TypeError, match="global_model"):
        ra.AlignIns()(x)


def test_align_ins_after_a_pre_aggregation():
    x, model = honest(0, 9, 60), np.ones(60)
    mixed = ra.NormClipping(c=3.0)(x)
    expected = ra.AlignIns().aggregate(mixed, global_model=model)
    for first in (ra.NormClipping(c=3.0), ra.Bucketing(s=1)):
        found = ra.Pipeline(first, ra.AlignIns()).aggregate(x, global_model=model)
        assert np.isfinite(found.update).all()
    found = ra.Pipeline(ra.NormClipping(c=3.0), ra.AlignIns()).aggregate(x, global_model=model)
    assert_allclose(found.update, expected.update, **EXACT)
    assert_array_equal(found.weights, expected.weights)


# --- FoundationFL ---------------------------------------------------------------------------------------------------


def test_synthesis_goes_before_any_rule():
    for seed in range(3):
        x = honest(seed, 9, 20)
        rows = definitions.synthesis(x)
        assert_allclose(ra.Synthesis()(x), rows)
        rules = (ra.Median(), ra.TrimmedMean(f=2), ra.Krum(f=2), ra.GeometricMedian(), ra.CGE(f=1), ra.MultiMetrics())
        for rule in rules:
            found = ra.Pipeline(ra.Synthesis(), rule).aggregate(x)
            assert_allclose(found.update, rule(rows), rtol=1e-6, atol=1e-6, err_msg=repr(rule))
        assert_allclose(ra.FoundationFL()(x), ra.Pipeline(ra.Synthesis(), ra.Median())(x), **EXACT)


def test_synthesis_measures_the_rows_that_were_sent():
    for members in ((ra.NNM(1), ra.Synthesis()), (ra.Synthesis(), ra.NNM(1)), (ra.Bucketing(), ra.Synthesis())):
        with pytest.raises(TypeError, match="Synthesis must come first"):
            ra.Pipeline(*members, ra.Median())


# --- Multi-Metrics --------------------------------------------------------------------------------------------------


def test_multi_metrics_says_that_the_covariance_is_singular():
    result = ra.MultiMetrics().aggregate(np.tile(honest(0, 1), (5, 1)))
    assert all("singular" in why for why in result.reasons)
    assert not any("singular" in why for why in ra.MultiMetrics().aggregate(honest(0, 9)).reasons)


@pytest.mark.parametrize("linkage", ["single", "average", "complete"])
def test_an_update_of_zeros_joins_no_two_clusters(linkage):
    """It lies at 1 from everyone, and so joins both clusters at one height."""
    x = np.ones((9, 200)) + 0.3 * honest(0, 9, 200)
    x[6:] *= -1
    weights = ra.ClippedClustering(linkage=linkage).aggregate(np.concatenate([x, np.zeros((1, 200))])).weights
    assert (weights[:6] > 0).all()
    assert_array_equal(weights[6:9], 0)


# --- FLDetector -----------------------------------------------------------------------------------------------------


def descent(rounds: int, n: int = 7, d: int = 30, seed: int = 0) -> list[np.ndarray]:
    """Updates of clients who go down a bowl, each towards a minimum of its own, with some noise."""
    rng = np.random.default_rng(seed)
    place, aims, steep = 5 * rng.normal(size=d), 0.1 * rng.normal(size=(n, d)), rng.uniform(0.05, 0.3, d)
    sent = []
    for _ in range(rounds):
        sent.append(-steep * (place - aims) + 1e-3 * rng.normal(size=(n, d)))
        place = place + sent[-1].mean(axis=0)
    return sent


def test_fl_detector_scores_as_defined():
    for window in (1, 2, 4):
        rule, rounds = ra.FLDetector(window=window, start=100), descent(9)
        expected = definitions.fl_detector_scores(rounds, window)
        for number, x in enumerate(rounds):
            rule(x)
            if number >= 2:
                found = [record.scores[-1] for record in rule._records.values()]
                assert_allclose(found, expected[number - 2], rtol=1e-5)
        assert all(len(record.scores) == window for record in rule._records.values())


def test_fl_detector_excludes_whoever_does_not_follow_and_hears_them_again():
    rng, names = np.random.default_rng(0), [*"abcdef", 7]
    rule = ra.FLDetector(window=4, readmit=5)
    weights = []
    for number, x in enumerate(descent(10)):
        x[6] = 0.3 * rng.normal(size=30) if number < 6 else x[6]
        order = rng.permutation(7)
        result = rule.aggregate(x[order], clients=[names[i] for i in order])
        weights.append(result.weights[result.clients.index(7)])
    assert all(weights[:4])
    assert not any(weights[4:9])
    assert weights[9] > 0


def test_fl_detector_leaves_newcomers_alone():
    rule = ra.FLDetector(window=4)
    for x in descent(6):
        rule(x)
    result = rule.aggregate(descent(1, n=8)[0])
    assert "no score yet" in result.reasons[7]
    assert result.weights[7] > 0


def test_fl_detector_predicts_whoever_has_missed_rounds_from_all_results_since():
    """All send what follows from what they sent last, whenever that was."""
    rule = ra.FLDetector(window=3)
    for number in range(30):
        update = 0.9**number * np.ones(40)
        here = [i for i in range(7) if (number + i) % 4] + [7] * (number % 6 == 5)
        result = rule.aggregate([update for _ in here], clients=here)
        assert result.weights.all()
        assert_allclose(result.update, update)
    assert "no score yet" in result.reasons[-1]  # its last update is older than the results


def test_fl_detector_is_not_blinded_by_one_huge_update():
    rng, rule = np.random.default_rng(0), ra.FLDetector(window=3)
    for x in descent(8, n=10):
        x[8:] = rng.normal(size=(2, 30))
        x[9] *= 1e9
        result = rule.aggregate(x)
    assert (result.weights > 0).tolist() == [True] * 8 + [False] * 2


def test_two_means_is_the_best_of_all_divisions():
    for seed in range(20):
        values = np.random.default_rng(seed).exponential(size=7)
        within = [
            sum(part.size * part.var() for part in (values[inside], values[~inside]))
            for inside in map(np.array, itertools.product([True, False], repeat=7))
            if 0 < inside.sum() < 7
        ]
        found, high = fldetector.two_means(values)
        assert_allclose(found, min(within))
        assert values[high].min() > values[~high].max()


def test_gap_statistic_tells_two_groups_from_one():
    rng = np.random.default_rng(0)
    one = [fldetector.clustered(rng.uniform(size=20), np.random.default_rng(k)) for k in range(20)]
    two = [
        fldetector.clustered(np.append(rng.normal(1, 0.05, 14), rng.normal(3, 0.05, 6)), np.random.default_rng(k))
        for k in range(20)
    ]
    assert sum(one) <= 4
    assert all(two)
    assert not fldetector.clustered(np.full(5, 0.2), rng)


def test_fl_detector_refuses_a_damaged_memory():
    rule = ra.FLDetector(window=2)
    for x in descent(3):
        rule(x)
    state = rule.state_dict()
    for damage in (
        *({"records": [record]} for record in ([0, [-2.0], None, 2], [0, [2.0], None, 3], [0, [2.0], None])),
        {"rounds": -1},
        {"vectors": state["vectors"][1:]},
    ):
        with pytest.raises(ra.InvalidLedger):
            ra.FLDetector(window=2).load_state_dict({**state, **damage})


@pytest.mark.parametrize("n", [5, 6, 8, 9, 12])
@pytest.mark.parametrize("d", [50, 200, 10_000])
def test_a_result_of_zero_does_not_blind_the_next_scores(n, d):
    """Rounding that is divided by rounding would make every prediction huge, and all scores equal."""
    rng, rule = np.random.default_rng(0), ra.FLDetector(window=3, start=100)
    base = rng.normal(size=d)
    for number in range(3):
        x = 0.9**number * base + rng.normal(size=(n, d))
        x[-1] = 8 * rng.normal(size=d)
        rule.aggregate(x if number else 0 * x)
    last = [record.scores[-1] for record in rule._records.values()]
    assert last[-1] > 2 * max(last[:-1])
