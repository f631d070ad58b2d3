"""The reputation rule against its definition: the figures of the paper, its laws, and who pays for what."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import robustagg as ra
from robustagg import kernels, ledger
from robustagg.attacks import whitewashing

CLIENTS = ["ada", "bob", "cem", "dan", "eve", "fay", "gil"]
OUTLIER = 5.0


@pytest.fixture
def rng():
    return np.random.default_rng(2023)


def honest(rng, n, d, spread=0.01, dtype=np.float64):
    return rng.normal(0, spread, (n, d)).astype(dtype)


def agreeing(n, d):
    """Clients whose values lie on a line at every coordinate: nobody is ever rejected."""
    return np.linspace(-0.01, 0.01, n)[:, None] + np.zeros(d)


def with_attacker(n, d, value=OUTLIER):
    updates = agreeing(n, d)
    updates[-1] = value
    return updates


# --- E. figures of the paper ----------------------------------------------------------------------------------------


def test_an_honest_round_of_20_parameters_earns_0_875():
    result = ra.Reputation().aggregate(agreeing(7, 20))
    assert result.observed.tolist() == [0.875] * 7
    assert result.accepted.tolist() == [20] * 7


def test_a_round_with_every_parameter_rejected_earns_0_0625():
    result = ra.Reputation().aggregate(with_attacker(7, 20))
    assert result.rejected[-1] == 20
    assert result.observed[-1] == 0.0625


def scores(rounds):
    """Scores of the last client, over rounds in which it attacks or not."""
    rule = ra.Reputation()
    return [float(rule.aggregate(with_attacker(7, 20) if bad else agreeing(7, 20)).reputation[-1]) for bad in rounds]


def test_one_attack_after_ten_honest_rounds_costs_a_quarter_of_the_score():  # Fig. 4a
    *_, before, after = scores([False] * 10 + [True])
    assert (before - after) / before >= 0.2511


def test_attacking_on_ends_below_a_half():  # Fig. 4b
    falling = scores([False] * 10 + [True] * 10)[9:]
    assert all(later < earlier for earlier, later in pairwise(falling))
    assert falling[-1] < 0.5


def test_the_drop_grows_with_the_number_of_parameters():  # Figs. 3 and 5
    drops = []
    for d in (5, 20, 100, 1000):
        rule = ra.Reputation()
        before = rule.aggregate(agreeing(7, d)).reputation[-1]
        drops.append(before - rule.aggregate(with_attacker(7, d)).reputation[-1])
    assert drops == sorted(drops)
    assert drops[0] < drops[-1]


# --- A to C, end to end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_crude_attacker_gets_no_weight_and_moves_nothing(rng, dtype):
    updates = honest(rng, 7, 500, dtype=dtype)
    updates[3] = 100.0
    result = ra.Reputation().aggregate(updates, clients=CLIENTS)
    assert result.weights[3] == 0
    assert abs(result.update).max() < 0.05
    assert result.update.dtype == dtype
    assert "least reputable" in result.reasons[3]


def test_the_update_is_the_weighted_mean_of_the_rectified_values(rng):
    updates = rng.normal(0, 1, (9, 300))
    result = ra.Reputation().aggregate(updates)
    rectified, rejected = ra.rectify(updates)
    np.testing.assert_array_equal(rejected.sum(axis=1), result.rejected)
    np.testing.assert_allclose(result.update, result.weights @ rectified, rtol=1e-12, atol=1e-12)


def test_rejected_values_become_the_median_of_their_rescaled_coordinate():
    updates = np.array([[0.0], [0.1], [0.2], [0.3], [9.0]])
    rectified, rejected = ra.rectify(updates, value_range=None)
    assert rejected.T.tolist() == [[False, False, False, False, True]]
    assert rectified.T.tolist() == [[0.0, 0.1, 0.2, 0.3, 0.2]]


def test_as_published_weights_are_the_min_max_normalised_scores(rng):
    result = ra.Reputation.as_published().aggregate(rng.normal(size=(8, 400)))
    lowest, highest = result.reputation.min(), result.reputation.max()
    rho = (result.reputation - lowest) / (highest - lowest)
    np.testing.assert_allclose(result.weights, rho / rho.sum(), rtol=1e-15)


def test_sum_normalisation_gives_everyone_a_say(rng):
    result = ra.Reputation(normalize="sum").aggregate(rng.normal(size=(8, 400)))
    np.testing.assert_allclose(result.weights, result.reputation / result.reputation.sum(), rtol=1e-15)


def test_the_median_client_and_the_better_ones_have_a_full_and_equal_say(rng):
    for n in (1, 2, 3, 8, 25):
        result = ra.Reputation().aggregate(rng.normal(size=(n, 400)))
        above = result.reputation - np.median(result.reputation)
        share = np.clip(1 + above / max(1.4826 * np.median(abs(above)), 0.02), 0, 1)
        np.testing.assert_allclose(result.weights, share / share.sum(), rtol=1e-12)
        assert (result.weights == result.weights.max()).sum() >= n / 2


def test_near_equal_clients_weigh_nearly_the_same(rng):
    """Stretched between the least and the most reputable, one of them would weigh nothing and one nearly half."""
    for _ in range(20):
        weights = ra.Reputation().aggregate(rng.normal(size=(5, 20_000))).weights
        assert weights.max() < 0.25
        assert weights.min() > 0.15


def test_a_sacrifice_lifts_nobody(rng):
    """A client that is far worse than the attackers does not make them look like anybody."""
    updates = rng.normal(0, 0.01, (10, 2000))
    updates[7:, :100] = 1
    share = {}
    for normalize in ("median", "minmax"):
        rule = ra.Reputation(normalize=normalize)
        alone = rule.aggregate(updates).weights[7:].sum()
        beside = ra.Reputation(normalize=normalize).aggregate([*updates, np.full(2000, 1e6)]).weights[7:10].sum()
        share[normalize] = alone, beside
    assert share["median"] == (0, 0)
    assert share["minmax"][0] < 0.01
    assert share["minmax"][1] > 0.25


@pytest.mark.parametrize("step", [ra.repeated_median, ra.confidence, ra.rectify])
def test_the_steps_name_who_sent_a_nan(step):
    with pytest.raises(ValueError, match="NaN or infinite values in the update of client 1"):
        step(np.array([[1.0], [np.nan], [2.0]]))


@pytest.mark.parametrize("name", ["decay", "window", "newcomer"])
def test_what_the_memory_depends_on_is_fixed(name):
    rule = ra.Reputation()
    with pytest.raises(AttributeError, match=f"{name} is fixed"):
        setattr(rule, name, 0)
    rule.normalize = "sum"
    assert pickle.loads(pickle.dumps(rule)).parameters == rule.parameters


def test_equal_scores_give_equal_weights():
    assert ra.Reputation().aggregate(agreeing(5, 10)).weights.tolist() == [0.2] * 5


@pytest.mark.parametrize("normalize", ["median", "minmax"])
def test_scores_that_differ_by_rounding_are_equal(normalize):
    rule, rng, differ = ra.Reputation(normalize=normalize), np.random.default_rng(0), 0
    for _ in range(30):
        here = np.flatnonzero(rng.random(10) < 0.6).tolist() or [0]
        result = rule.aggregate(np.tile(rng.normal(0, 0.01, 20), (len(here), 1)), clients=here)
        differ += np.ptp(result.reputation) > 0
        np.testing.assert_allclose(result.weights, 1 / len(here), rtol=1e-9)
    assert differ  # in the last digit


def test_sample_counts_multiply_the_weights():
    weights = ra.Reputation().aggregate(agreeing(3, 10), sample_counts=[1, 2, 5]).weights
    np.testing.assert_allclose(weights, [0.125, 0.25, 0.625])


def test_where_every_trusted_client_is_without_samples_the_samples_decide():
    counts = [0, 0, 0, 0, 0, 0, 4]
    assert ra.Reputation().aggregate(with_attacker(7, 20), sample_counts=counts).weights.tolist() == [0] * 6 + [1]


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_clients_are_accepted_as_they_are(n):
    updates = np.array([[1.0, 50.0], [3.0, -1e6]])[:n]
    result = ra.Reputation().aggregate(updates)
    assert result.rejected.tolist() == [0] * n
    np.testing.assert_allclose(result.update, updates.mean(axis=0))


def test_an_empty_model_is_an_empty_update():
    result = ra.Reputation().aggregate(np.empty((4, 0), np.float32))
    assert result.update.shape == (0,)
    assert result.observed.tolist() == [0.5] * 4


def test_the_papers_rescale_has_a_victim_and_clipping_has_none():
    """A huge outlier makes sigma huge: the lowest honest value is thrown far off (documented in the specification)."""
    paper = ra.Reputation.as_published().aggregate(with_attacker(7, 20))
    clip = ra.Reputation().aggregate(with_attacker(7, 20))
    assert paper.rejected.tolist() == [20, 0, 0, 0, 0, 0, 20]
    assert clip.rejected.tolist() == [0, 0, 0, 0, 0, 0, 20]


# --- D. admission ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 63, 64, 299])
def test_a_client_with_a_nan_is_left_out_with_the_worst_observation(rng, poison, where):
    updates = honest(rng, 6, 300)
    without = ra.Reputation().aggregate(np.delete(updates, 2, axis=0))
    updates[2, where] = poison
    result = ra.Reputation().aggregate(updates, clients=CLIENTS[:6])
    assert result.admitted.tolist() == [True, True, False, True, True, True]
    assert (result.accepted[2], result.rejected[2]) == (0, 300)
    assert result.weights[2] == 0
    assert "NaN" in result.reasons[2]
    np.testing.assert_array_equal(result.update, without.update)


def test_nonfinite_raise_names_the_clients_and_changes_nothing(rng):
    rule = ra.Reputation(nonfinite="raise")
    updates = honest(rng, 4, 20)
    rule.aggregate(updates, clients=CLIENTS[:4])
    before = rule.state_dict()
    updates[1, 0] = np.nan
    with pytest.raises(ValueError, match="client 'bob'"):
        rule.aggregate(updates, clients=CLIENTS[:4])
    assert same_state(before, rule.state_dict())


def test_nobody_admitted_is_an_error():
    with pytest.raises(ValueError, match=r"no client's update can be used.*'ada'"):
        ra.Reputation().aggregate({"ada": np.array([np.nan]), "bob": np.array([np.inf])})


def test_clients_join_leave_and_return():
    regulars = ["a", "b", "c", "d", "e", "f"]
    theta = np.exp(-0.5)
    for absence, expected in ((1, (0.875 + theta**2 * 0.0625) / (1 + theta**2)), (2, 0.875)):
        rule = ra.Reputation(window=3)
        first = rule.aggregate(with_attacker(7, 20), clients=[*regulars, "mal"])
        assert first.reputation[-1] == 0.0625
        for _ in range(absence):
            joined = rule.aggregate(agreeing(7, 20), clients=[*regulars, "new"])
        assert joined.reputation[-1] == 0.875  # a new client starts with its first round
        returned = rule.aggregate(agreeing(7, 20), clients=[*regulars, "mal"])
        assert returned.reputation[-1] == pytest.approx(expected, rel=1e-15)  # by true age, or anew after 3 rounds


# --- state ----------------------------------------------------------------------------------------------------------


def same_state(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    return np.array_equal(a, b)


FAULTS = {
    "ragged": dict(updates=[np.zeros(3), np.zeros(4)], strict=True),
    "empty": dict(updates=[]),
    "duplicate": dict(updates=np.zeros((2, 3)), clients=["a", "a"]),
    "count": dict(updates=np.zeros((2, 3)), clients=["a"]),
    "id type": dict(updates=np.zeros((2, 3)), clients=["a", 1.5]),
    "complex": dict(updates=np.zeros((2, 3), complex)),
    "object": dict(updates=np.array([[None, 1]])),
    "str": dict(updates=np.array([["a", "b"]])),
    "mixed": dict(updates=[np.zeros(3), np.zeros(3, np.float32)], strict=True),
    "0-d": dict(updates=np.array(1.0)),
    "3-d": dict(updates=np.zeros((2, 3, 4))),
    "negative count": dict(updates=np.zeros((2, 3)), sample_counts=[1, -1]),
    "nan count": dict(updates=np.zeros((2, 3)), sample_counts=[1, np.nan]),
    "short counts": dict(updates=np.zeros((2, 3)), sample_counts=[1]),
    "no samples": dict(updates=np.zeros((2, 3)), sample_counts=[0, 0]),
    "old round": dict(updates=np.zeros((2, 3)), round=1),
    "odd round": dict(updates=np.zeros((2, 3)), round="2"),
    "all nan": dict(updates=np.full((2, 3), np.nan)),
    "extra": dict(updates=np.zeros((2, 3)), server_update=np.zeros(3)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_round_that_fails_leaves_no_trace(fault, rng):
    rule = ra.Reputation()
    rule.aggregate(honest(rng, 3, 10))
    before, updates = rule.state_dict(), fault["updates"]
    with pytest.raises((TypeError, ValueError)) as error:
        rule.aggregate(**{"updates": updates, **fault})
    assert str(error.value)
    assert same_state(before, rule.state_dict())
    assert rule.last_round == 1


def test_a_kernel_that_fails_in_the_last_step_leaves_no_trace(rng, monkeypatch):
    rule = ra.Reputation()
    rule.aggregate(honest(rng, 3, 10))
    before = rule.state_dict()

    def broken(*_, **__):
        raise MemoryError

    monkeypatch.setattr(kernels.active(), "rectified_mean", broken)
    with pytest.raises(MemoryError):
        rule.aggregate(honest(rng, 3, 10))
    assert same_state(before, rule.state_dict())


@pytest.mark.parametrize("window", [10, None])
def test_saved_and_loaded_it_continues_with_the_same_bits(rng, tmp_path, window):
    one = ra.Reputation(window=window, decay=0.25)
    for _ in range(4):
        one.aggregate(rng.normal(size=(5, 60)), clients=CLIENTS[:5])
    one.save(tmp_path / "reputation.sqlite")
    two = ra.Reputation.load(tmp_path / "reputation.sqlite")
    three = ra.Reputation(window=window, decay=0.25)
    three.load_state_dict(one.state_dict())
    assert two.parameters == one.parameters
    updates = rng.normal(size=(5, 60))
    results = [rule.aggregate(updates, clients=CLIENTS[:5]) for rule in (one, two, three)]
    for other in results[1:]:
        assert other.round == 5
        np.testing.assert_array_equal(other.reputation, results[0].reputation)
        np.testing.assert_array_equal(other.update, results[0].update)


def test_a_state_of_other_parameters_is_refused(rng):
    one, two = ra.Reputation(decay=0.5), ra.Reputation(decay=0.25)
    with pytest.raises(ra.InvalidLedger, match=r"decay = 0\.5"):
        two.load_state_dict(one.state_dict())
    with pytest.raises(ValueError, match="Mean"):
        two.load_state_dict(ra.Mean().state_dict())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("value_range", 0),
        ("value_range", np.nan),
        ("interval_width", -1),
        ("confidence_threshold", 0),
        ("confidence_threshold", 1.5),
        ("positive_weight", 1),
        ("prior", -0.1),
        ("prior_weight", 0),
        ("decay", -1),
        ("decay", np.inf),
        ("window", 0),
        ("window", 2.5),
        ("window", True),
        ("newcomer", 1.5),
        ("newcomer", "low"),
        ("intercept", "median"),
        ("rescale", "twice"),
        ("scale_floor", -1e-7),
        ("normalize", "softmax"),
        ("nonfinite", "ignore"),
    ],
)
def test_parameters_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        ra.Reputation(**{name: value})


@pytest.mark.parametrize("every", [1, 2])
def test_fresh_ids_buy_nothing_from_who_asks_newcomers_to_earn_their_say(every, tmp_path):
    def share(newcomer):
        rule, path, shares = ra.Reputation(newcomer=newcomer), tmp_path / str(newcomer), []
        for round in range(1, 9):
            x = 0.01 * np.random.default_rng(round).normal(size=(10, 500))
            x[-1] = x[:-1].mean(axis=0) + 0.005  # quiet: nothing of it is rejected
            ids = [*range(9), *whitewashing(["eve"], round, every=every)]
            shares.append(rule.aggregate(x, clients=ids).weights[-1])
            rule.save(path)
            rule = ra.Reputation.load(path)
        assert rule.newcomer == newcomer
        return np.mean(shares[2:])

    assert share(None) > 0.09  # nearly the share of whoever stays
    assert share(0.5) < 0.02


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_result_prints_as_a_table_and_exports_as_json():
    result = ra.Reputation().aggregate(with_attacker(7, 20), clients=CLIENTS)
    lines = str(result).splitlines()
    assert lines[0] == "Reputation, round 1"
    assert " ".join(lines[1].split()) == "client admitted accepted rejected observed reputation weights reason"
    assert lines[-1].startswith("gil")
    assert "0.0625" in lines[-1]
    told = json.loads(json.dumps(result.to_dict()))
    assert told["clients"] == CLIENTS
    assert told["rejected"][-1] == 20


# --- laws -----------------------------------------------------------------------------------------------------------

matrices = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=12),
    elements=st.integers(-64, 64).map(lambda k: k / 16),  # exact in every sum, and full of ties
)


@settings(deadline=None, max_examples=60)
@given(matrices, st.randoms(use_true_random=False))
def test_permuting_the_clients_permutes_the_report(updates, random):
    order = list(range(len(updates)))
    random.shuffle(order)
    a, b = ra.Reputation().aggregate(updates), ra.Reputation().aggregate(updates[order])
    np.testing.assert_array_equal(b.reputation, a.reputation[order])
    np.testing.assert_allclose(b.weights, a.weights[order], rtol=1e-14)
    np.testing.assert_allclose(b.update, a.update, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(matrices, st.integers(-1000, 1000))
def test_a_shift_is_added_and_decides_nothing(updates, shift):
    a, b = ra.Reputation().aggregate(updates), ra.Reputation().aggregate(updates + shift)
    np.testing.assert_array_equal(a.rejected, b.rejected)
    np.testing.assert_allclose(b.update, a.update + shift, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(matrices, st.integers(-20, 20))
def test_scale_is_a_unit(updates, exponent):
    k = 2.0**exponent
    a = ra.Reputation(scale_floor=1e-7).aggregate(updates)
    b = ra.Reputation(value_range=2.0 * k, scale_floor=1e-7 * k).aggregate(updates * k)
    np.testing.assert_array_equal(a.rejected, b.rejected)
    np.testing.assert_array_equal(b.update, a.update * k)


@settings(deadline=None, max_examples=60)
@given(matrices, hnp.arrays(np.float64, 12, elements=st.floats(-3e38, 3e38)))
def test_a_minority_of_anything_finite_stays_finite(updates, poison):
    updates = updates.astype(np.float32)
    updates[0] = poison[: updates.shape[1]]
    assert np.isfinite(ra.Reputation().aggregate(updates).update).all()


@settings(deadline=None, max_examples=60)
@given(matrices)
def test_equal_clients_are_treated_equally_and_their_value_is_the_result(updates):
    updates[:] = updates[0]
    result = ra.Reputation().aggregate(updates)
    assert result.rejected.sum() == 0
    assert np.ptp(result.weights) == 0
    np.testing.assert_allclose(result.update, updates[0], rtol=1e-14)


@settings(deadline=None, max_examples=60)
@given(matrices)
def test_the_result_lies_within_the_values(updates):
    update = ra.Reputation().aggregate(updates).update
    tiny = 1e-12
    assert (update >= updates.min(axis=0) - tiny).all()
    assert (update <= updates.max(axis=0) + tiny).all()


def test_what_a_caller_does_to_a_result_changes_nothing_that_is_saved(tmp_path):
    rule = ra.Reputation()
    result = rule.aggregate(honest(np.random.default_rng(0), 5, 50))
    kept = result.to_dict()
    for values in (result.weights, result.reputation, result.observed, result.rejected, result.accepted):
        values[:] = 0
    rule.save(tmp_path / "ledger.sqlite")
    lines = ledger.history(tmp_path / "ledger.sqlite")
    for name in ("reputation", "observed", "rejected", "accepted"):
        assert [line[name] for line in lines] == kept[name], name
    assert [line["weight"] for line in lines] == kept["weights"]
