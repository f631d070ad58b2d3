"""Truth discovery: claims, estimators and their laws, on small answers and on those of the Emotion data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from crowds import EMOTION, crowd, emotion
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg import truth

emotion_data = pytest.mark.skipif(not EMOTION.exists(), reason="the Emotion data are not beside the project")
ITERATED = [
    truth.CRH(),
    truth.CRH(loss="absolute"),
    truth.CRH(normalize="count"),
    truth.CRH(variant="max"),
    truth.GTM(),
]


# --- known values ---------------------------------------------------------------------------------------------------


@emotion_data
@pytest.mark.parametrize("backend", ra.kernels.available())
def test_known_values_on_emotion(backend):
    known = [
        (truth.Mean(), 12.022, 17.835),
        (truth.Median(), 13.529, None),
        (truth.CRH(), 11.927, 17.902),
        (truth.CRH(variant="max"), 12.035, 18.319),
        (truth.GTM(), 11.819, 18.334),
    ]
    with ra.use_backend(backend):
        claims, gold = emotion()
        for method, mae, rmse in known:
            got = truth.gold_error(method.fit(claims), gold)
            assert got["mae"] == pytest.approx(mae, abs=0.02), method
            assert rmse is None or got["rmse"] == pytest.approx(rmse, abs=0.02)


@emotion_data
def test_robustness_on_emotion():
    """The order that the paper claims, as far as it holds; docs/truth.md has the numbers."""
    claims, _ = emotion()
    method = truth.CRH()
    options = {"workers": 10, "low": -100, "high": 100, "seed": 1}
    before = method.fit(claims)
    errors = [
        truth.estimation_error(before, method.fit(attack(claims, method, **options, **more)))
        for attack, more in (
            (truth.attacks.random, {}),
            (truth.attacks.maximum, {"extreme": "max"}),
            (truth.attacks.optimised, {}),
        )
    ]
    assert errors == sorted(errors)
    assert errors[2] > errors[1] + 0.3 > errors[0] + 5
    poisoned = truth.attacks.optimised(claims, method, **options)
    defended = {}
    for name, defence in {"mwa": truth.MWA(method), "mie": truth.MIE(method, 10), "own": truth.Reputation()}.items():
        clean = truth.Reputation() if name == "own" else truth.MWA(method) if name == "mwa" else method
        defended[name] = truth.estimation_error(clean.fit(claims), defence.fit(poisoned))
    assert defended["own"] < defended["mie"] < errors[2] / 3
    assert defended["own"] < 1
    assert defended["mwa"] < errors[2]


# --- CRH and GTM are what they say ----------------------------------------------------------------------------------


def dense(claims: truth.Claims) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return claims.item_of, claims.answers.workers, claims.answers.values, claims.spread[1]


def losses_of(claims: truth.Claims, estimates: np.ndarray, loss: str) -> np.ndarray:
    n, k, x, s = dense(claims)
    off = np.abs(x - estimates[n])
    return np.bincount(k, (off**2 if loss == "squared" else off) / s[n], claims.workers.size)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_both_updates_of_crh_are_exact_minimisers_and_the_objective_never_rises(loss):
    claims = truth.Claims.of(crowd())
    rng = np.random.default_rng(1)
    before = np.inf
    for iterations in range(1, 8):
        result = truth.CRH(loss=loss, max_iter=iterations).fit(claims)
        objective = result.weights @ losses_of(claims, result.estimates, loss)
        for _ in range(20):  # the estimates, given the weights
            other = result.estimates + rng.normal(0, 10 ** rng.uniform(-6, 1), result.estimates.size)
            assert result.weights @ losses_of(claims, other, loss) >= objective * (1 - 1e-12)
        own = losses_of(claims, result.estimates, loss)
        best = -np.log(own / own.sum())
        for _ in range(20):  # the weights, given the estimates
            other = best + rng.normal(0, 10 ** rng.uniform(-6, 0), best.size)
            other += np.log(np.exp(-other).sum())  # sum exp(-w) = 1 again
            assert other @ own >= best @ own * (1 - 1e-12)
        assert objective <= before * (1 + 1e-12)
        before = objective


def test_gtm_is_the_fixed_point_of_its_equations():
    claims = truth.Claims.of(crowd())
    result = truth.GTM(tol=1e-12, max_iter=500).fit(claims)
    n, k, x, s = dense(claims)
    z, mu = (x - claims.median[n]) / s[n], (result.estimates - claims.median) / s
    p = result.weights
    assert_allclose(mu, np.bincount(n, p[k] * z) / (1 + np.bincount(n, p[k])), atol=1e-9)
    assert_allclose(1 / p, (20 + np.bincount(k, (z - mu[n]) ** 2)) / (22 + claims.per_worker), rtol=1e-9)


def test_gtm_without_outliers_and_catd():
    items, workers, values = crowd()
    far = values.copy()
    far[::50] += 1e6
    kept = truth.GTM(outliers=1.7).fit((items, workers, far))
    assert np.abs(kept.estimates - truth.GTM().fit((items, workers, values)).estimates).max() < 50
    result = truth.CATD().fit((items, workers, values))
    assert result.converged
    precise, vague = np.argmin(losses_of(truth.Claims.of((items, workers, values)), result.estimates, "squared")), 0
    assert result.weights[precise] >= result.weights[vague]


@pytest.mark.parametrize("method", ITERATED, ids=str)
def test_order_and_names_change_no_bit(method):
    items, workers, values = crowd(seed=3)
    values = np.round(values)  # ties
    expected = method.fit((items, workers, values))
    rng = np.random.default_rng(0)
    rows, new_items, new_workers = rng.permutation(values.size), rng.permutation(60), rng.permutation(12)
    got = method.fit((new_items[items][rows], new_workers[workers][rows], values[rows]))
    assert_array_equal(got.estimates[new_items], expected.estimates)
    assert_array_equal(got.weights[new_workers], expected.weights)


@pytest.mark.parametrize("method", ITERATED, ids=str)
def test_shift_and_scale_of_items(method):
    items, workers, values = crowd(seed=4)
    expected = method.fit((items, workers, values))
    shift = np.random.default_rng(0).normal(0, 1e3, 60)
    shifted = method.fit((items, workers, values + shift[items]))
    assert_allclose(shifted.estimates, expected.estimates + shift, rtol=0, atol=1e-6)
    assert_allclose(shifted.weights, expected.weights, rtol=1e-6)
    scaled = method.fit((items, workers, -8 * values))
    assert_allclose(scaled.estimates, -8 * expected.estimates, rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.floats(-1e150, 1e150)),
        min_size=1,
        max_size=15,
        unique_by=lambda a: a[:2],
    ),
    st.sampled_from(
        [*ITERATED, truth.Mean(), truth.Median(), truth.CATD(), truth.MWA(truth.CRH(), 3), truth.Reputation()]
    ),
)
def test_estimates_lie_among_the_items_answers_and_weights_are_finite(answers, method):
    result = (truth.Reputation() if isinstance(method, truth.Reputation) else method).fit(
        tuple(zip(*answers, strict=True))
    )
    for item, estimate in zip(result.items.tolist(), result.estimates.tolist(), strict=True):
        own = [value for n, _, value in answers if n == item]
        slack = 1e-9 * max(max(own) - min(own), abs(max(own)) * 1e-3, abs(min(own)) * 1e-3, 1e-290)
        assert min(own) - slack <= estimate <= max(own) + slack
    assert np.isfinite(result.weights).all()
    assert (result.weights >= 0).all()


@pytest.mark.parametrize("method", [*ITERATED, truth.CATD(), truth.Mean()], ids=str)
def test_the_corners(method):
    one = method.fit(([1], ["ada"], [5.0]))  # one worker, one answer
    assert (one.estimates.tolist(), one.converged) == ([5.0], True)
    assert one.weights[0] > 0
    equal = method.fit(([1, 1, 2, 2], ["ada", "bob"] * 2, [3.0] * 4))
    assert equal.estimates.tolist() == [3.0, 3.0]
    assert equal.weights[0] == equal.weights[1] > 0
    items, workers, values = crowd()
    alone = method.fit((np.append(items, 99), np.append(workers, 0), np.append(values, 7.5)))  # nobody else answered it
    assert alone[99] == 7.5
    assert any("one answer" in remark for remark in alone.remarks)


def test_who_is_always_right_has_a_large_and_finite_weight():
    items = np.repeat(np.arange(20), 5)
    workers = np.tile(np.arange(5), 20)
    noise = np.random.default_rng(0).normal(size=(20, 2))
    # worker 2 is in the middle of two who err to either side by the same
    values = np.stack([noise[:, 0], -noise[:, 0], 0 * noise[:, 0], noise[:, 1], -noise[:, 1]], axis=1).ravel()
    weights = truth.CRH().fit((items, workers, values)).weights
    assert weights[2] == weights.max() < 40


def test_a_million_items_with_one_answer():
    n = 10**6
    result = truth.CRH().fit((np.arange(n), np.arange(n) % 1000, np.arange(n) / 7))
    assert_array_equal(result.estimates, np.arange(n) / 7)
    assert result.converged


# --- heterogeneous data ---------------------------------------------------------------------------------------------


def test_categories():
    """Two good workers of one kind outvote three bad ones, once their weights are known."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, 4, 200)
    workers, items, labels = [], [], []
    for k, accuracy in enumerate([0.97, 0.95, 0.4, 0.4, 0.4]):
        items += range(200)
        workers += [f"w{k}"] * 200
        labels += np.where(rng.random(200) < accuracy, right, rng.integers(0, 4, 200)).tolist()
    names = np.array(["ant", "bee", "cat", "dog"])
    answers = (items, workers, names[labels].tolist())
    votes = truth.MajorityVote().fit(answers, categorical=True)
    wrong = [(votes.estimates != names[right]).mean()]
    for loss in ("vote", "share"):
        result = truth.CRH(categorical=loss).fit(answers, categorical=True)
        wrong.append((result.estimates != names[right]).mean())
        assert result.weights[:2].min() > result.weights[2:].max()
    assert max(wrong[1:]) < wrong[0]


def test_one_model_of_numbers_and_categories():
    """What a worker's numbers are worth is learnt from its categories too."""
    items, workers, values = crowd(40, 6, 3, seed=2)
    numbers = truth.Claims.of((items, workers, values))
    rng = np.random.default_rng(0)
    labels = np.where(np.tile(np.arange(5), 300) == 4, rng.integers(0, 9, 1500), np.repeat(np.arange(300) % 9, 5))
    categories = truth.Claims.of(
        (np.repeat(np.arange(300), 5), np.tile(np.r_[1:6], 300), labels), categorical=True
    )  # worker 0 gave none, worker 5 only noise
    both = truth.CRH().fit(numbers, categories)
    assert both.workers.tolist() == both.categorical.workers.tolist() == [0, 1, 2, 3, 4, 5]
    assert both.weights.argmin() == 5
    assert (both.categorical.estimates == np.arange(300) % 9).all()
    assert both.to_dict()["categorical"]["converged"]
    with pytest.raises(ValueError, match="numeric and then categorical"):
        truth.CRH().fit(categories, numbers)


# --- what is refused, what is said ---------------------------------------------------------------------------------


def test_what_methods_refuse():
    categories = truth.Claims.of(([1], [1], ["x"]), categorical=True)
    with pytest.raises(ValueError, match="GTM takes numeric answers"):
        truth.GTM().fit(categories)
    with pytest.raises(ValueError, match="MajorityVote takes categorical answers"):
        truth.MajorityVote().fit(([1], [1], [1.0]))
    for make in (
        lambda: truth.CRH(loss="cubic"),
        lambda: truth.GTM(alpha=0),
        lambda: truth.CATD(alpha=1),
        lambda: truth.CRH(max_iter=0),
        lambda: truth.MWA(truth.CRH(), 0),
        lambda: truth.MIE(truth.CRH(), -1),
        lambda: truth.Reputation(prior=2),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()


def test_results_as_text_and_json():
    result = truth.CRH().fit(crowd())
    said = json.loads(json.dumps(result.to_dict()))
    assert said["estimates"][3] == {"item": 3, "estimate": result[3]}
    assert {"worker", "weight", "answers"} == set(said["workers"][0])
    text = str(result)
    assert text.startswith("CRH(): 60 items, 12 workers, ")
    assert "... 2 more" in text


# --- beside others --------------------------------------------------------------------------------------------------


def test_errors_are_of_items_that_both_have():
    result = truth.Mean().fit((["a", "a", "b"], ["x", "y", "x"], [1.0, 2.0, 4.0]))
    assert truth.gold_error(result, {"a": 1.0, "b": float("nan"), "c": 3.0}) == {"mae": 0.5, "rmse": 0.5, "items": 1.0}
    for gold in ({"c": 1.0}, {"a": float("nan")}, {}):
        with pytest.raises(ValueError, match="no item that was answered has a gold"):
            truth.gold_error(result, gold)
    other = truth.Mean().fit((["q"], ["x"], [1.0]))
    for after, items in ((other, None), (result, [])):
        with pytest.raises(ValueError, match="no item to compare"):
            truth.estimation_error(result, after, items)
    with pytest.raises(LookupError, match="no estimate of item 'nope'"):
        result["nope"]


@pytest.mark.parametrize("labels", [["joy", "grief"], [3, 4]])
def test_categories_have_no_distance(labels):
    result = truth.MajorityVote().fit((["a", "b"], ["x", "x"], labels), categorical=True)
    with pytest.raises(ValueError, match="categories have no distance"):
        truth.gold_error(result, {"a": labels[0]})
    with pytest.raises(ValueError, match="categories have no distance"):
        truth.estimation_error(result, result)
