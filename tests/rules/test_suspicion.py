"""What Suspicion has that the laws of the table do not ask for: a memory of clients and of pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg.memory.means import Means

N, F, D = 10, 3, 400


def sent(round: int, attack: bool = True) -> np.ndarray:
    """Honest updates along a common direction; the last three share another besides, loudly only where they attack."""
    rng = np.random.default_rng(round)
    x = np.random.default_rng(99).normal(size=D) + rng.normal(size=(N, D))
    if attack:
        x[N - F :] += 2 * np.random.default_rng(98).normal(size=D)
    return x


def test_colluders_are_left_out_and_the_reason_says_why():
    result = ra.Suspicion(f=F).aggregate(sent(1))
    assert_array_equal(result.weights > 0, [True] * 7 + [False] * 3)
    assert all("left out: suspicion" in reason and "collusion" in reason for reason in result.reasons[7:])
    assert all(reason.startswith("kept: suspicion") for reason in result.reasons[:7])


def test_who_has_colluded_is_not_forgiven_for_behaving():
    rule = ra.Suspicion(f=F)
    for round in range(1, 6):
        rule.aggregate(sent(round))
    assert_array_equal(rule.aggregate(sent(6, attack=False)).weights[7:], 0)
    fresh = ra.Suspicion(f=F).aggregate(sent(6, attack=False))
    assert (fresh.weights[7:] > 0).any()  # which the last round alone does not tell


def test_without_f_three_in_ten_may_be_left_out_and_one_of_three():
    rule = ra.Suspicion()
    assert [rule.withstood(m) for m in (1, 2, 3, 6, 7, 10, 20, 100)] == [0, 0, 1, 1, 2, 3, 6, 30]
    x = np.ones((3, 5)) + 0.01 * np.arange(15).reshape(3, 5) % 0.07
    x[1] = -100
    assert_array_equal(rule.aggregate(x).weights, [0.5, 0, 0.5])


def test_nobody_is_left_out_of_equal_updates():
    assert_array_equal(ra.Suspicion(f=2).aggregate(np.ones((5, 3))).weights, np.full(5, 0.2))


def test_of_equally_suspicious_ones_the_longest_is_left_out_in_any_order():
    x = np.random.default_rng(34).normal(size=(3, 5))  # each lies above the others in one thing, all by .67
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        assert_array_equal(ra.Suspicion(f=1).aggregate(x[order]).weights == 0, np.array(order) == 0)


@pytest.mark.parametrize("retention", [-0.1, 1.0, float("nan"), "much"])
def test_a_retention_out_of_range_is_refused(retention):
    with pytest.raises((ValueError, TypeError), match="retention"):
        ra.Suspicion(retention=retention)


@settings(deadline=None, max_examples=30)
@given(
    rounds=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True), min_size=1, max_size=6),
    retention=st.sampled_from([0.0, 0.5, 0.9]),
)
@pytest.mark.parametrize("pairs", [False, True])
def test_means_are_those_of_the_rounds_in_which_one_was_seen(pairs, rounds, retention):
    rng = np.random.default_rng(0)
    means, lists = Means.of(0 if pairs else 2), {}
    for clients in rounds:
        for one in [*lists]:  # what was not seen does not age
            if set(one) <= set(clients):
                lists[one] = [(value, weight * retention) for value, weight in lists[one]]
        seen = rng.normal(size=(len(clients), len(clients) if pairs else 2))
        before = means.table.copy()
        after = means.after(clients, seen, retention, pairs)
        assert_array_equal(means.table, before)
        means = after
        for a, row in zip(clients, seen, strict=True):
            for k, value in enumerate(row):
                key = (a, clients[k]) if pairs else (a,)
                if pairs or k == 0:
                    lists.setdefault(key, []).append((value, 1.0))
        everything, fading = means.told(clients, pairs)
        for i, a in enumerate(clients):
            for j, b in enumerate(clients) if pairs else [(0, None)]:
                values, weights = np.array(lists[(a, b) if pairs else (a,)]).T
                assert_allclose(everything[i, j], values.mean(), rtol=1e-9, atol=1e-12)
                assert_allclose(fading[i, j], values @ weights / weights.sum(), rtol=1e-9, atol=1e-12)


def test_a_state_that_does_not_fit_is_refused_and_nothing_changed():
    rule = ra.Suspicion(f=F)
    rule.aggregate(sent(1))
    state, before = rule.state_dict(), rule.state_dict()
    for name in ("seen", "signs"):
        damaged = {**state, name: {**state[name], "clients": state[name]["clients"][:-1]}}
        with pytest.raises(ra.InvalidLedger):
            rule.load_state_dict(damaged)
        assert rule.state_dict() == before


def test_a_memory_of_likeness_by_all_differences_is_none_of_signs():
    rule = ra.Suspicion(f=F)
    rule.aggregate(sent(1))
    state = rule.state_dict()
    before = {**{name: value for name, value in state.items() if name != "signs"}, "pairs": state["signs"]}
    with pytest.raises(ra.InvalidLedger):
        ra.Suspicion(f=F).load_state_dict(before)


def test_colluders_share_their_largest_differences_however_much_else_they_send():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(N, 2000))
    x[N - F :, :40] += 4 * np.sign(rng.normal(size=40))  # two in a hundred
    result = ra.Suspicion(f=F).aggregate(x)
    assert_array_equal(result.weights > 0, [True] * 7 + [False] * 3)


# --- with a clean set -----------------------------------------------------------------------------------------------


def test_harm_tells_what_updates_alone_do_not():
    x = np.random.default_rng(0).normal(1, 1, (9, 50))
    x[3, 0] = 3.0  # harmless to the eye
    told = np.where(np.arange(9) == 3, 0.5, 0.0)
    assert ra.Suspicion(f=1).aggregate(x).weights[3] > 0
    result = ra.Suspicion(f=1, validated=True).aggregate(x, harm=told)
    assert result.weights[3] == 0
    assert "harm 45.0" in result.reasons[3]  # of a tenth of a nat, shared by nine
    by_client = dict(zip("abcdefghi", told, strict=True))
    for named in (by_client, pandas.Series(by_client)[::-1]):
        again = ra.Suspicion(f=1, validated=True).aggregate(x, clients=list("abcdefghi"), harm=named)
        assert_array_equal(again.weights, result.weights)


def test_harms_are_what_the_median_without_each_is_better_by():
    x, goal = np.random.default_rng(1).normal(size=(7, 20)), np.ones(20)

    def validate(update):
        return -np.linalg.norm(update - goal)

    expected = [validate(np.median(np.delete(x, i, axis=0), axis=0)) - validate(np.median(x, axis=0)) for i in range(7)]
    assert_allclose(ra.harms(x, validate), expected, rtol=1e-9)
    assert_allclose(ra.harms({str(i): row for i, row in enumerate(x)}, validate), expected, rtol=1e-9)
    assert_array_equal(ra.harms(x[:1], validate), [0])


@pytest.mark.parametrize("bad", [np.full(5, 7.0), np.array([1, np.nan, 1, 1]), "none"], ids=["shape", "nan", "text"])
def test_who_cannot_be_used_does_no_harm_and_is_never_validated(bad):
    """Of two updates that are left it would be as good as the other."""
    asked = []

    def validate(update):
        asked.append(update)
        return -np.linalg.norm(update - 1)

    assert_allclose(ra.harms({"eve": bad, "ada": np.full(4, 0.9), "bob": np.full(4, 1.2)}, validate), [0, -0.3, -0.1])
    assert [update.shape for update in asked] == [(4,)] * 3


@pytest.mark.parametrize("harm", [None, [0.0] * 6, [0.0, 0, 0, 0, float("nan")], {"a": 1.0}, "harm", 3.0])
def test_harm_that_is_none_is_refused_and_nothing_changed(harm):
    rule = ra.Suspicion(f=1, validated=True)
    before = rule.state_dict()
    with pytest.raises((TypeError, ValueError), match="harm"):
        rule.aggregate(np.random.default_rng(0).normal(size=(5, 3)), **({} if harm is None else {"harm": harm}))
    assert rule.state_dict() == before
    with pytest.raises(TypeError, match="harm"):
        ra.Suspicion(f=1).aggregate(np.ones((5, 3)), harm=[0.0] * 5)


def test_a_validated_rule_goes_on_after_it_is_saved(tmp_path):
    rule, harm = ra.Suspicion(validated=True), np.arange(N) / 100
    for round in range(1, 5):
        rule.aggregate(sent(round), harm=harm)
    rule.save(tmp_path / "ledger.sqlite")
    again = ra.load(tmp_path / "ledger.sqlite")
    for round in (5, 6, 7):  # the first five are judged otherwise
        assert_array_equal(again(sent(round), harm=harm), rule(sent(round), harm=harm))


def test_who_sends_a_nan_has_no_harm():
    x = sent(1)
    x[0, 0] = np.nan
    assert ra.Suspicion(f=F, validated=True).aggregate(x, harm=np.zeros(N)).weights[0] == 0


def known(rule: ra.Suspicion, rounds: int, of: Callable[[int], np.ndarray], harm: np.ndarray) -> list[np.ndarray]:
    """The weights of each round."""
    return [rule.aggregate(of(round), harm=harm).weights for round in range(1, rounds + 1)]


def unlike(round: int) -> np.ndarray:
    """One client goes the common way less far than the others, and nobody attacks."""
    x = sent(round, attack=False)
    x[0] -= 0.2 * np.random.default_rng(99).normal(size=D)
    return x


def test_who_is_unlike_the_others_and_does_no_harm_is_back_after_five_rounds():
    weights = known(ra.Suspicion(validated=True), 12, unlike, np.zeros(N))
    assert_array_equal([w[0] > 0 for w in weights], [False] * 5 + [True] * 7)
    harmful = known(ra.Suspicion(validated=True), 12, unlike, np.where(np.arange(N) == 0, 0.1, 0.0))
    assert not any(w[0] for w in harmful)
    alone = ra.Suspicion()
    assert not any(alone.aggregate(unlike(round)).weights[0] for round in range(1, 13))


def test_colluders_whom_the_clean_set_likes_stay_out_the_fourth_as_well_and_nobody_else():
    def four(round: int) -> np.ndarray:
        x = sent(round)
        x[N - 4] += 2 * np.random.default_rng(98).normal(size=D)
        return x

    last = known(ra.Suspicion(validated=True), 12, four, np.where(np.arange(N) < 6, 0.0, -0.05))[-1]
    assert_array_equal(last[6:], 0)
    assert (last[:6] > 0).all()


def two_camps(round: int) -> np.ndarray:
    """Three are alike, and three others are so nearly as loudly."""
    x = sent(round)
    x[:F] += 1.8 * np.random.default_rng(97).normal(size=D)
    return x


def test_of_two_camps_the_one_stays_that_the_clean_set_speaks_for():
    assert_array_equal(
        np.flatnonzero(known(ra.Suspicion(f=F, validated=True), 3, two_camps, np.zeros(N))[-1] == 0), [7, 8, 9]
    )
    good = np.where(np.arange(N) >= 7, -0.05, 0.0)  # the model is worse without the louder camp
    assert_array_equal(np.flatnonzero(known(ra.Suspicion(f=F, validated=True), 3, two_camps, good)[-1] == 0), [0, 1, 2])


def test_a_clean_set_speaks_against_no_more_than_half_of_collusion():
    from robustagg.rules.evidence.suspects import suspicions

    likeness = np.full((2, N, N), 0.1)
    likeness[:, 7:, 7:] = 0.9
    seen = np.zeros((2, N, 3))
    seen[:, 7:, :2] = 0.3
    seen[:, 7:, 2] = -9.0
    judged, parts = suspicions(seen, likeness)
    without, all_of_it = suspicions(seen[:, :, :2], likeness)
    assert_allclose(parts[0], all_of_it[0] / 2)
    assert_array_equal(parts[1:], 0)
    assert (without[7:] > judged[7:]).all()
    assert (judged[7:] > 1).all()


def test_with_f_as_many_are_left_out_after_five_rounds_too():
    weights = known(ra.Suspicion(f=F, validated=True), 12, unlike, np.zeros(N))
    assert_array_equal([(w == 0).sum() for w in weights], [F] * 12)


def test_a_newcomer_is_suspected_strictly_when_the_others_are_known():
    rule = ra.Suspicion(validated=True)
    known(rule, 8, lambda round: sent(round, attack=False), np.zeros(N))
    result = rule.aggregate(unlike(9), clients=["new", *range(1, N)], harm=np.zeros(N))
    assert result.weights[0] == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 30])
def test_the_order_of_the_clients_says_nothing_and_most_keep_their_weight(n):
    rng = np.random.default_rng(n)
    order, harm = rng.permutation(n), rng.normal(0, 0.01, n)
    one, other = ra.Suspicion(validated=True), ra.Suspicion(validated=True)
    for _ in range(7):
        x = rng.normal(1, 1, (n, 60))
        weights = one.aggregate(x, harm=harm).weights
        again = other.aggregate(x[order], clients=order.tolist(), harm=harm[order]).weights
        assert_allclose(again, weights[order], atol=1e-12)
        assert (weights > 0).sum() > n / 2
