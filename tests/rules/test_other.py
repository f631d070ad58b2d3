"""Weighted median, residual-based re-weighting, FoolsGold and FLTrust: what is theirs besides the laws of the table."""

from __future__ import annotations

import itertools

import definitions
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg.kernels.interface import GRAM_TILE

COUNTED = {"rtol": 1e-7, "atol": 1e-8}  # clients' sums are rounded to whole numbers of 2**-30 per coordinate
SINGLE = {"rtol": 2e-5, "atol": 2e-6}  # float32 arithmetic on numbers around 1


def honest(seed: int, n: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng([seed, n, d]).normal(size=(n, d))


# --- medians --------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=9))
@settings(max_examples=200, deadline=None)
def test_weighted_median(pairs):
    values, counts = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    if not counts.any():
        with pytest.raises(ValueError, match="sample counts of all admitted clients are zero"):
            ra.Median().aggregate(values[:, None], sample_counts=counts)
        return
    result = ra.Median().aggregate(values[:, None], sample_counts=counts)
    assert result.update == [definitions.weighted_median(values, counts)]
    assert_allclose(result.weights, counts / counts.sum())
    repeated = np.repeat(values, counts.astype(int))
    assert result.update == [np.median(repeated)]


def test_equal_sample_counts_change_nothing():
    for n in (1, 2, 5, 10):
        x = honest(0, n, 100).astype(np.float32)
        assert_array_equal(ra.Median().aggregate(x, sample_counts=np.full(n, 7)).update, ra.Median()(x))


def test_repeated_median_is_the_line_of_scipy_at_the_middle():
    x = honest(1, 12, 6)
    for method in ("separate", "hierarchical"):
        lines = [scipy.stats.siegelslopes(np.sort(column), method=method) for column in x.T]
        expected = [line.intercept + line.slope * 5.5 for line in lines]
        assert_allclose(ra.RepeatedMedian(intercept=method)(x), expected, rtol=1e-12, atol=1e-12)
    assert_allclose(ra.RepeatedMedian(intercept="median_point")(x), np.median(x, axis=0), rtol=1e-12, atol=1e-12)


def test_repeated_median_of_the_largest_numbers_is_finite():
    for dtype in (np.float32, np.float64):
        x = np.finfo(dtype).max * np.sign(honest(0, 9, 200)).astype(dtype)
        assert np.isfinite(ra.RepeatedMedian()(x)).all()


# --- residual-based re-weighting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["authors", "paper"])
@pytest.mark.parametrize("n", [4, 5, 8, 15, 16, 40])
def test_residual_reweighting_is_its_definition(n, variant):
    for seed in range(3):
        x = honest(seed, n, 30)
        x[: n // 4] += 3
        weights, update = definitions.residual_reweighting(x, variant == "authors")
        result = ra.ResidualReweighting(variant=variant).aggregate(x)
        assert_allclose(result.weights, weights, **COUNTED)
        assert_allclose(result.update, update, **COUNTED)
        single = ra.ResidualReweighting(variant=variant).aggregate(x.astype(np.float32))
        assert_allclose(single.weights, weights, **SINGLE)
        assert_allclose(single.update, update, **SINGLE)


def test_residual_reweighting_pulls_outliers_onto_the_line():
    x = np.arange(9.0)[:, None] / 100 + np.zeros((9, 3))
    x[8] = 50
    result = ra.ResidualReweighting().aggregate(x)
    assert result.weights[8] < result.weights[:8].min() / 10
    assert_allclose(result.update, result.weights @ np.arange(9) / 100, atol=1e-4)


def test_residual_reweighting_treats_equal_values_equally():
    x = honest(0, 9, 20)
    x[5:] = 7 + x[5]  # four colluders, rejected together
    order = np.random.default_rng(0).permutation(9)
    one, other = ra.ResidualReweighting().aggregate(x), ra.ResidualReweighting().aggregate(x[order])
    assert len(set(one.weights[5:])) == 1
    assert_allclose(other.weights, one.weights[order], rtol=1e-12)
    assert_allclose(other.update, one.update, rtol=1e-9, atol=1e-12)
    assert_allclose(ra.ResidualReweighting()(-x), -one.update, rtol=1e-6, atol=1e-9)


def test_residual_reweighting_where_nothing_can_be_told():
    for x in (honest(0, 1), honest(0, 2), np.tile(honest(0, 1), (6, 1))):
        result = ra.ResidualReweighting().aggregate(x)
        assert_allclose(result.weights, 1 / len(x))
        assert_allclose(result.update, x.mean(axis=0))


def test_residual_reweighting_multiplies_by_samples():
    x, counts = honest(0, 8, 20), np.arange(1.0, 9)
    plain, weighed = (ra.ResidualReweighting().aggregate(x, sample_counts=c).weights for c in (None, counts))
    assert_allclose(weighed, plain * counts / (plain @ counts))


# --- FoolsGold ------------------------------------------------------------------------------------------------------


def test_foolsgold_remembers_by_client_id():
    rule, sums = ra.FoolsGold(), {}
    for number, clients in enumerate((["a", "b", "c", 7], ["c", "a", "new", "7"], ["7", "c", "b", "a", 7]), start=1):
        x = honest(number, len(clients), 20)
        for client, row in zip(clients, x, strict=True):
            sums[client] = sums.get(client, 0) + row
        expected = definitions.foolsgold(np.array([sums[client] for client in clients]))
        result = rule.aggregate(x, clients=clients)
        assert_allclose(result.weights, expected / expected.sum(), rtol=1e-9, atol=1e-12)
        assert_allclose(result.update, result.weights @ x, rtol=1e-9, atol=1e-12)


def test_foolsgold_finds_sybils_whose_single_updates_differ():
    rng = np.random.default_rng(0)
    aims, rule = rng.normal(size=(6, 200)), ra.FoolsGold()
    aims[3:] = aims[5]  # three of one mind
    for _ in range(100):
        weights = rule.aggregate(aims + 3 * rng.normal(size=(6, 200))).weights
    assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 0, 0, 0], atol=1e-3)
    assert ra.FoolsGold().aggregate(aims + 3 * rng.normal(size=(6, 200))).weights[3:].min() > 0.1


def test_foolsgold_of_proportional_updates():
    x = np.outer([1.0, 3.0, 0.7, 1e20], honest(0, 1, 50)[0])
    assert_array_equal(ra.FoolsGold().aggregate(x).weights, 1 / 4)
    x[0] = honest(1, 1, 50)
    assert_array_equal(ra.FoolsGold().aggregate(x).weights, [1, 0, 0, 0])


def test_foolsgold_as_its_authors_add_up():
    rule, sums = ra.FoolsGold(variant="authors"), 0
    for number in (1, 2):
        x = honest(number, 5, 20) * np.array([[0.1], [1], [2], [3], [1e-3]])
        cut = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1)
        sums = sums + cut
        expected = definitions.foolsgold(sums)
        result = rule.aggregate(x)
        assert_allclose(result.update, expected @ cut, rtol=1e-9, atol=1e-12)
        assert_allclose(result.weights, expected / expected.sum(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("features", [(0, 3), (5, 20), (GRAM_TILE - 5, GRAM_TILE + 5), (GRAM_TILE + 7, GRAM_TILE + 40)])
@pytest.mark.parametrize("memory", [True, False])
def test_foolsgold_compares_features_only(features, memory):
    rule = ra.FoolsGold(features=features, memory=memory)
    sums = 0
    for number in (1, 2):
        x = honest(number, 6, GRAM_TILE + 50)
        sums = sums + x if memory else x
        expected = definitions.foolsgold(sums[:, slice(*features)])
        halves = [{"a": row[:20], "b": row[20:]} for row in x]  # tensors, and so blocks, begin elsewhere
        result = rule.aggregate(halves)
        assert_allclose(result.weights, expected / expected.sum(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_foolsgold_continues_from_its_state(dtype):
    x = [honest(number, 5, 300).astype(dtype) for number in (1, 2)]
    rule = ra.FoolsGold()
    rule(x[0])
    other = ra.FoolsGold()
    other.load_state_dict(rule.state_dict())
    expected = rule.aggregate(x[1])
    assert_array_equal(other.aggregate(x[1]).update, expected.update)
    assert expected.update.dtype == dtype
    assert other.last_round == 2
    with pytest.raises(ValueError, match="kappa"):
        ra.FoolsGold(kappa=2.0).load_state_dict(rule.state_dict())


def test_foolsgold_is_saved_and_loaded(tmp_path):
    rule, clients = ra.FoolsGold(features=(1, 4)), [7, "7", "a", "b"]
    rule.aggregate(honest(0, 4), clients=clients)
    rule.save(tmp_path / "state.npz")
    other = ra.FoolsGold.load(tmp_path / "state.npz")
    assert other.parameters == rule.parameters
    x = honest(1, 4)
    assert_array_equal(
        other.aggregate(x, clients=clients[::-1]).weights, rule.aggregate(x, clients=clients[::-1]).weights
    )


def test_foolsgold_forgets_a_round_that_fails():
    rule = ra.FoolsGold()
    rule(honest(0, 4))
    before = rule.state_dict()
    with pytest.raises(ValueError, match="the model has 6 coordinates, but had 5"):
        rule(honest(0, 4, 6))
    with pytest.raises(ValueError, match="no client's update can be used"):
        rule(np.full((4, 5), np.nan))
    after = rule.state_dict()
    assert after["round"] == before["round"] == 1
    assert after["vectors"] == before["vectors"]


@pytest.mark.parametrize("rule", [ra.RepeatedMedian(), ra.ResidualReweighting()], ids=str)
@pytest.mark.parametrize("f", [1, 2, 3, 4])
def test_of_two_more_than_twice_f_clients_f_break_no_line(rule, f):
    """As docs/rules.md says; of one less, where n - 1 is even, half of an honest client's slopes are bad."""

    def far(n: int) -> float:
        sent = np.concatenate([0.01 * honest(f, n - f, 1), (-1e6) ** np.arange(1, f + 1)[:, None]])
        return float(np.abs(rule(sent)).max())

    assert far(2 * f + 2) < 1
    assert far(2 * f + 3) < 1
    assert f == 1 or far(2 * f + 1) > 100


@pytest.mark.parametrize(
    "counts", [[0.3, 0.1, 0.2, 0.2], [0.7, 0.1, 0.6, 0.2], [159 - 2.0**-45, 53, 53, 159 - 2.0**-45]]
)
def test_whether_it_is_half_of_the_samples_does_not_depend_on_the_order_of_clients(counts):
    x, counts = np.arange(1.0, 5)[:, None], np.array(counts)
    orders = [list(order) for order in itertools.permutations(range(4))]
    found = {ra.Median().aggregate(x[order], sample_counts=counts[order]).update.item() for order in orders}
    assert len(found) == 1
    if counts[0] == counts[-1]:
        assert found == {2.5}


# --- FLTrust --------------------------------------------------------------------------------------------------------


def test_fltrust_is_its_definition():
    for n in (1, 2, 8):
        for seed in range(5):
            x, server = honest(seed, n), honest(seed, 1)[0]
            result = ra.FLTrust().aggregate(x, server_update=server)
            assert_allclose(result.update, definitions.fltrust(x, server), rtol=1e-9, atol=1e-12)
            assert np.linalg.norm(result.update) <= np.linalg.norm(server) * (1 + 1e-9)


def test_fltrust_takes_the_servers_update_as_a_tree():
    x, server = honest(0, 5, 12), honest(1, 1, 12)[0]
    trees = [{"w": row[:8].reshape(2, 4), "b": row[8:]} for row in x]
    update = ra.FLTrust()(trees, server_update={"b": server[8:], "w": server[:8].reshape(2, 4)})
    flat = np.concatenate([update["w"].ravel(), update["b"]])
    assert_allclose(flat, definitions.fltrust(x, server), rtol=1e-9)


def test_fltrust_without_trust_is_zero_and_says_so():
    x = np.abs(honest(0, 3))
    for server in (-np.ones(5), np.zeros(5)):
        result = ra.FLTrust().aggregate(x, server_update=server)
        assert_array_equal(result.update, 0)
        assert_array_equal(result.weights, 0)
        assert all(reason.startswith("no trust") for reason in result.reasons)
    x[1] = 0  # no direction
    result = ra.FLTrust().aggregate(x, server_update=np.ones(5))
    assert result.weights[1] == 0
    assert result.reasons[1].startswith("no trust")


@pytest.mark.parametrize("size", [1e30, 1e150, 1e300])
def test_fltrust_of_a_majority_far_away_is_that_of_the_others(size):
    server = honest(1, 1, 50)[0]
    x = server + 0.3 * honest(0, 4, 50)
    result = ra.FLTrust().aggregate([*x, *[-size * server] * 6], server_update=server)
    assert_allclose(result.update, definitions.fltrust(x, server), rtol=1e-9)
    assert_array_equal(result.weights[4:], 0)


def test_fltrust_needs_a_usable_update_of_the_server():
    with pytest.raises(TypeError, match=r"FLTrust.aggregate.. needs the keyword argument 'server_update'"):
        ra.FLTrust()(honest(0, 3))
    with pytest.raises(ValueError, match="NaN or infinite values in server_update"):
        ra.FLTrust()(honest(0, 3), server_update=np.full(5, np.nan))
    with pytest.raises(ValueError, match="server_update"):
        ra.FLTrust()(honest(0, 3), server_update=np.ones(4))
    with pytest.raises(TypeError, match="unexpected keyword argument 'server_updates'"):
        ra.FLTrust()(honest(0, 3), server_update=np.ones(5), server_updates=1)


def test_fltrust_leaves_out_who_sends_a_nan():
    x = honest(0, 6)
    y = np.concatenate([x, np.full((1, 5), np.nan)])
    result = ra.FLTrust().aggregate(y, server_update=x[0])
    assert_array_equal(result.update, ra.FLTrust()(x, server_update=x[0]))
    assert not result.admitted[6]


def test_fltrust_over_files(tmp_path):
    x = honest(0, 6, 2 * GRAM_TILE + 9).astype(np.float32)
    for i, row in enumerate(x):
        np.savez(tmp_path / f"{i}.npz", w=row)
    paths, out = sorted(tmp_path.glob("*.npz")), tmp_path / "out.npz"
    result = ra.aggregate_files(ra.FLTrust(), paths, out, server_update={"w": x[3]})
    expected = ra.FLTrust().aggregate([{"w": row} for row in x], server_update={"w": x[3]})
    assert_array_equal(np.load(out)["w"], expected.update["w"])
    assert_array_equal(result.weights, expected.weights)


def test_fltrust_after_mixing():
    x, server = honest(0, 7), honest(1, 1)[0]
    result = ra.Pipeline(ra.NNM(2), ra.FLTrust()).aggregate(x, server_update=server)
    assert_allclose(result.update, definitions.fltrust(definitions.nnm(x, 2), server), rtol=1e-9)


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ra.MeaMed(-1), "f must be an integer of at least 0"),
        (lambda: ra.RepeatedMedian(intercept="median"), "intercept must be one of"),
        (lambda: ra.ResidualReweighting(interval_width=0), "interval_width must be positive"),
        (lambda: ra.ResidualReweighting(confidence_threshold=0), "confidence_threshold must be"),
        (lambda: ra.ResidualReweighting(scale_floor=-1), "scale_floor must be"),
        (lambda: ra.ResidualReweighting(variant="irls"), "variant must be one of 'authors', 'paper'"),
        (lambda: ra.FoolsGold(kappa=0), "kappa must be positive"),
        (lambda: ra.FoolsGold(features=(3, 3)), "features must be None, or two integers"),
        (lambda: ra.FoolsGold(features="last"), "features must be"),
        (lambda: ra.FoolsGold(variant="byzfl"), "variant must be one of 'paper', 'authors'"),
        (lambda: ra.FoolsGold(features=(0, 6))(honest(0, 3)), "features must be within the model's 5 coordinates"),
    ],
)
def test_bad_parameters_are_named(make, text):
    with pytest.raises(ValueError, match=text):
        make()
