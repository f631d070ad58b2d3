"""Attacks on truth discovery, and what defends it: gradients, ranges, guarantees, memory."""

from __future__ import annotations

import numpy as np
import pytest
from crowds import crowd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from robustagg import ledger, truth
from robustagg.truth import attacks
from robustagg.truth.attacks import ascent, gradients
from robustagg.truth.attacks.plan import Scene, plan
from robustagg.truth.compare import ATTACKS as COMPARED
from robustagg.truth.compare import NAMES, Cell, Comparison, compare
from robustagg.truth.defences import split
from robustagg.truth.pictures import picture

RANGE = {"low": -100.0, "high": 100.0}
ATTACKS = {"random": attacks.random, "maximum": attacks.maximum, "optimised": attacks.optimised}


# --- gradients ------------------------------------------------------------------------------------------------------


def one_step(method, local, middle, x):
    """The estimates after one turn from values x: losses beside the old truths, then weights, then truths."""
    n, k = local.item, local.worker
    s, t, counts = local.deviation, local.truth, local.counts
    if isinstance(method, truth.GTM):
        losses = local.losses + np.bincount(k, ((x - t[n]) ** 2 - (local.x - t[n]) ** 2) / s[n] ** 2, counts.size)
        p = (2 * (method.alpha + 1) + counts) / (2 * method.beta + losses)
        return middle + np.bincount(n, p[k] * (x - middle[n])) / (1 + np.bincount(n, p[k]))
    losses = local.losses + np.bincount(k, ((x - t[n]) ** 2 - (local.x - t[n]) ** 2) / s[n], counts.size)
    own = losses / counts if method.normalize == "count" else losses
    w = -np.log(own / (own.sum() if method.variant == "sum" else own.max()))
    return np.bincount(n, w[k] * x) / np.bincount(n, w[k])


@pytest.mark.parametrize(
    "method",
    [truth.CRH(), truth.CRH(normalize="count"), truth.CRH(variant="max"), truth.GTM(), truth.GTM(alpha=2, beta=5)],
    ids=str,
)
@pytest.mark.parametrize("items", [None, range(0, 60, 4)], ids=["all", "some"])
def test_gradients_are_those_of_finite_differences(method, items):
    placed = plan(crowd(), workers=3, items=items, answers=None, seed=0, **RANGE)
    scene = Scene(placed, method)
    claims = scene.claims(np.random.default_rng(0).uniform(-50, 50, placed.items.size))
    part, unit = method.part(claims), method.unit(claims)
    found = method.discover([part], scene.counts, None, scene.elsewhere / unit)
    estimates = method.estimates(claims, part, found.weights, found.truths[0])
    direction = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], estimates.size)
    local = gradients.Local(
        claims.item_of, claims.answers.workers, claims.answers.values, estimates, claims.spread[1], direction,
        found.weights, found.losses[0] * unit, scene.counts,
    )  # fmt: skip
    mine = scene.mine(claims)
    got = gradients.gradient(method, local, mine)
    expected = np.empty(mine.size)
    for j, place in enumerate(mine):
        step = np.zeros(local.x.size)
        step[place] = 1e-4
        up, down = (one_step(method, local, claims.median, local.x + way * step) for way in (1, -1))
        expected[j] = direction @ (up - down) / 2e-4
    assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


# --- attacks --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(ATTACKS)),
    st.integers(0, 4),
    st.floats(-50, 0),
    st.floats(1, 80),
    st.sampled_from(
        [truth.CRH(), truth.CRH(normalize="count"), truth.GTM(), truth.Median(), truth.MWA(truth.CRH(), 3)]
    ),
    st.floats(0.1, 1),
)
def test_an_attack_stays_in_range_and_leaves_honest_answers_alone(name, workers, low, width, method, knowledge):
    answers = truth.Claims.of(crowd(20, 8, 4))
    more = {"steps": 3, "knowledge": knowledge} if name == "optimised" else {}
    poisoned = ATTACKS[name](answers, method, workers=workers, low=low, high=low + width, **more)
    who = poisoned.workers[poisoned.answers.workers]
    malicious = np.array([isinstance(worker, str) for worker in who.tolist()], bool)
    inside = (low <= poisoned.answers.values) & (poisoned.answers.values <= low + width)
    assert inside[malicious].all()
    assert malicious.sum() == workers * 10
    if malicious.any():
        honest = poisoned.only(~malicious)
        assert_array_equal(honest.answers.values, answers.answers.values)
        assert_array_equal(honest.answers.workers, answers.answers.workers)
        assert_array_equal(honest.answers.starts, answers.answers.starts)


@pytest.mark.parametrize("method", [truth.CRH(), truth.GTM(), truth.MIE(truth.CRH(), 3)], ids=str)
def test_the_optimised_attack_is_no_weaker_than_the_crude_ones(method):
    answers = truth.Claims.of(crowd(per=6))
    before = (method.method if isinstance(method, truth.MIE) else method).fit(answers)
    moved = {}
    for name, attack in ATTACKS.items():
        more = {"steps": 20} if name == "optimised" else {}
        poisoned = attack(answers, method, workers=3, items=range(0, 60, 2), **RANGE, **more)
        moved[name] = truth.estimation_error(before, method.fit(poisoned), range(0, 60, 2))
    assert moved["optimised"] >= max(moved.values()) * (1 - 1e-3)
    assert moved["optimised"] > moved["random"]


@pytest.mark.parametrize("knowledge", [0.01, 0.5])
@pytest.mark.parametrize("method", [truth.CRH(normalize="count"), truth.CRH(normalize="count", variant="max")], ids=str)
def test_whom_an_attacker_does_not_know_has_not_answered(method, knowledge):
    items, workers, values = crowd(per=6)
    answers = truth.Claims.of((items, np.array(["nobody", "nobody-1", *range(10)], object)[workers], values))
    known = ascent._known(plan(answers, workers=2, items=None, answers=None, seed=0, **RANGE), knowledge, 0).claims
    assert known.per_worker.min() > 0
    assert len(set(known.workers.tolist())) == known.workers.size == max(1, round(12 * knowledge)) + (knowledge < 0.5)
    before, maximum = method.fit(answers), attacks.maximum(answers, method, workers=2, **RANGE)
    found = attacks.optimised(answers, method, workers=2, knowledge=knowledge, steps=10, **RANGE)
    assert truth.estimation_error(before, method.fit(found)) > 0.5 * truth.estimation_error(before, method.fit(maximum))


def test_an_item_named_twice_is_attacked_once():
    poisoned = attacks.maximum(crowd(), workers=1, items=[3, 3], **RANGE)
    assert poisoned.size == 301


def test_an_attack_is_repeated_by_its_seed_and_tells_its_progress():
    said = []
    options = {"workers": 2, "seed": 7, "steps": 5, **RANGE}
    first = attacks.optimised(crowd(), truth.GTM(), progress=lambda step, error: said.append(error), **options)
    again = attacks.optimised(crowd(), truth.GTM(), **options)
    assert_array_equal(first.answers.values, again.answers.values)
    assert said
    assert ascent.has_gradient(truth.GTM())
    assert not ascent.has_gradient(truth.CRH(loss="absolute"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": -1}, "workers must be"),
        ({"low": 5, "high": 5}, "low and high"),
        ({"items": [999]}, "nobody has answered item 999"),
        ({"knowledge": 0}, "knowledge must be"),
        ({"steps": 0}, "steps must be"),
        ({"answers": 0}, "answers must be"),
    ],
)
def test_what_attacks_refuse(options, told):
    with pytest.raises(ValueError, match=told):
        attacks.optimised(crowd(), truth.CRH(), **({"workers": 1, **RANGE} | options))
    with pytest.raises(ValueError, match="'malicious-1' has answered already"):
        attacks.random(attacks.random(crowd(), workers=1, **RANGE), workers=1, **RANGE)


# --- defences -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.floats(1, 1e9))
def test_mwa_stays_in_the_range_of_clean_group_averages(seed, groups, far):
    items, workers, values = crowd(15, 20, 12, seed % 100)
    clean = truth.Claims.of((items, workers, values))
    group = split(clean.workers, groups, seed)
    bad_groups = np.random.default_rng(seed).permutation(groups)[: (groups - 1) // 2]
    bad = np.isin(group[workers], bad_groups)
    poisoned = np.where(bad, far * np.random.default_rng(seed).choice([-1, 1], values.size), values)
    method = truth.CRH()
    claims = truth.Claims.of((items, workers, poisoned))
    estimates = truth.MWA(method, groups, seed).fit(claims).estimates
    weights = method.fit(claims).weights
    for n in range(15):
        here = items == n
        heard = here & (weights[workers] > 0) if weights[workers[here]].any() else here
        kinds = np.unique(group[workers[heard]])
        if np.isin(kinds, bad_groups).sum() > (kinds.size - 1) // 2:
            continue  # of the groups whose answers to the item have weight, too many are malicious
        means = []
        for g in np.setdiff1d(kinds, bad_groups):
            own = heard & (group[workers] == g)
            w = weights[workers[own]] if weights[workers[own]].any() else np.ones(own.sum())
            means.append(w @ values[own] / w.sum())
        slack = 1e-9 * max(1.0, far)
        assert min(means) - slack <= estimates[n] <= max(means) + slack


def test_mwa_gives_no_voice_to_groups_without_weight():
    class Only(truth.CRH):
        def weigh(self, losses, counts):
            return np.r_[1.0, np.zeros(counts.size - 1)]

    answers = (["a"] * 9, list(range(9)), [5.0, *[90.0] * 8])
    assert truth.MWA(Only(), groups=7).fit(answers)["a"] == pytest.approx(5.0)


def test_mwa_does_not_depend_on_who_else_answers():
    ids = np.array([1, 2, "ada"], object)
    assert_array_equal(split(ids, 7, 3), split(np.array([1, 2, 5, "ada"], object), 7, 3)[[0, 1, 3]])
    assert (np.bincount(split(np.arange(10**4), 5, 0)) > 1800).all()


@pytest.mark.parametrize("exact", [False, True])
def test_mie_removes_those_who_move_the_estimates(exact):
    answers = truth.Claims.of(crowd(per=6))
    poisoned = attacks.maximum(answers, workers=2, **RANGE)
    result = truth.MIE(truth.Mean(), 2, exact=exact).fit(poisoned)
    assert [w for w, weight in zip(result.workers, result.weights, strict=True) if weight == 0] == [
        "malicious-1",
        "malicious-2",
    ]
    assert_allclose(result.estimates, truth.Mean().fit(answers).estimates, atol=1e-12)
    assert result.reasons[-1] == "removed: most influential"


def test_mie_knows_the_exact_influence_of_the_first():
    """For the mean, weights do not change: the frozen score is the exact one."""
    answers = truth.Claims.of(crowd(per=4))
    frozen, exact = (truth.MIE(truth.Mean(), 5, exact=exact).fit(answers) for exact in (False, True))
    assert_array_equal(frozen.weights, exact.weights)


def test_mie_leaves_what_only_the_removed_have_answered():
    items, workers, values = crowd()
    answers = truth.Claims.of((np.append(items, 99), np.append(workers, "eve"), np.append(values, 5.0)))
    poisoned = attacks.maximum(answers, workers=2, **RANGE)
    result = truth.MIE(truth.CRH(), 2).fit(poisoned)
    assert result.items.tolist() == poisoned.items.tolist()
    with pytest.raises(ValueError, match="less than the 12 workers"):
        truth.MIE(truth.CRH(), 12).fit(crowd())


# --- reputation over batches ----------------------------------------------------------------------------------------


def batch(number: int, malicious: bool) -> truth.Claims:
    answers = truth.Claims.of(crowd(per=6, seed=number))
    return attacks.maximum(answers, workers=3, seed=number, **RANGE) if malicious else answers


def test_reputations_are_remembered_saved_and_resumed(tmp_path):
    path = tmp_path / "workers.sqlite"
    kept, resumed = truth.Reputation(), truth.Reputation()
    for number in (1, 2, 3):
        expected = kept.fit(batch(number, True))
        got = resumed.fit(batch(number, True))
        resumed.save(path)
        resumed = truth.Reputation.load(path)
        assert_array_equal(got.estimates, expected.estimates)
        assert_array_equal(got.weights, expected.weights)
    assert resumed.last_batch == 3
    assert resumed.reputation("malicious-1") == kept.reputation("malicious-1") < kept.reputation(0)
    line = ledger.history(path, "malicious-1", 3)[0]
    assert (line["weight"], line["admitted"]) == (0.0, False)
    assert "reputation; " in line["reason"]
    assert [entry["rule"] for entry in ledger.rounds(path)] == ["truth.Reputation"] * 3


def test_a_bad_past_counts_and_fades():
    fresh, wary = truth.Reputation(), truth.Reputation()
    wary.fit(batch(1, True))
    names = [f"malicious-{k}" for k in (1, 2, 3)]
    honest = crowd(per=6, seed=2)
    quiet = truth.Claims.of((honest[0], np.array([names[w] if w < 3 else w for w in honest[1]], object), honest[2]))
    assert (wary.fit(quiet).weights[-3:] < 0.7 * fresh.fit(quiet).weights[-3:]).all()
    wary.fit(quiet, batch=40)  # the window has passed
    assert wary.reputation("malicious-1") == fresh.reputation("malicious-1")


def test_a_batch_that_fails_leaves_no_trace():
    defence = truth.Reputation()
    defence.fit(batch(1, True))
    before = defence._ledger.state_dict()
    for bad, options in ((([], [], []), {}), (batch(2, False), {"batch": 1})):
        with pytest.raises(ValueError, match=r"no answers|not later"):
            defence.fit(bad, **options)
    for name, value in defence._ledger.state_dict().items():
        assert_array_equal(value, before[name])


@pytest.mark.parametrize("attack", [attacks.maximum, attacks.optimised])
def test_an_attack_leaves_the_memory_of_the_defence_as_it_was(attack):
    answers = truth.Claims.of(crowd(n=15, per=6))
    defence = truth.Reputation()
    defence.fit(answers)
    before = defence._ledger.state_dict()
    options = {"steps": 2} if attack is attacks.optimised else {}
    first, again = (attack(answers, defence, workers=2, **options, **RANGE) for _ in range(2))
    for name, value in defence._ledger.state_dict().items():
        assert_array_equal(value, before[name])
    assert_array_equal(first.answers.values, again.answers.values)


@pytest.mark.parametrize(("malicious", "exact"), [(0, False), (1, False), (2, True)])
def test_mie_of_a_reputation_remembers_a_batch_as_one(malicious, exact):
    defence = truth.Reputation()
    truth.MIE(defence, malicious, exact=exact).fit(crowd(n=9, per=6))
    assert defence.last_batch == 1


# --- side by side ---------------------------------------------------------------------------------------------------


def test_compare():
    answers = truth.Claims.of(crowd(per=6))
    gold = dict(enumerate(truth.Mean().fit(answers).estimates.tolist()))
    found = compare(answers, shares=[0, 0.2], steps=3, gold=gold, **RANGE)
    assert len(found.cells) == 5 * 7 * 2
    assert all(cell.error == 0 for cell in found.of(share=0.0))
    for name in ("random", "high", "maximum", "optimised"):
        own, crh = (found.of(attack=name, method=m, share=0.2)[0] for m in ("reputation", "crh"))
        assert own.error < crh.error
        assert own.mae < crh.mae
    header, lines = found.table("mae")
    assert (header, len(lines)) == (["attack", "method", "0%", "20%"], 35)
    with pytest.raises(ValueError, match="seeds must be one at least"):
        compare(answers, shares=[0], seeds=(), **RANGE)
    for bad in ({"shares": [1.0]}, {"shares": [0], "methods": ["crh+luck"]}, {"shares": [0], "attack_names": ["luck"]}):
        with pytest.raises(ValueError, match="must be"):
            compare(answers, **RANGE, **bad)


@pytest.mark.parametrize("attacked", [1, 2, 5])
@pytest.mark.parametrize("methods", [("crh",), NAMES])
def test_title_and_legend_are_within_the_picture(attacked, methods, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: (drawn.append(figure), save(figure, path)))
    cells = [Cell(method, attack, 0.1, 1, 1.0, None) for attack in COMPARED[:attacked] for method in methods]
    picture(Comparison(10**6, 10**5, 10**7, (0,), cells), tmp_path / "truth.png")
    (figure,) = drawn
    for part in (figure._suptitle, *figure.legends):
        box = part.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
