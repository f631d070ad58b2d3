"""The attacks against their formulas by hand, and what an attack on reputations does to the paper's figures."""

import math
from inspect import signature

import ml_dtypes
import numpy as np
import pytest

import robustagg as ra
from robustagg import attacks
from robustagg.attacks import ATTACKS

UPDATE_ATTACKS = {name: attack.function for name, attack in ATTACKS.items() if attack.kind == "update"}
HONEST = np.random.default_rng(7).normal(0.3, 1.0, (7, 40))


def squared_distance(a, b):
    return float(((a - b) ** 2).sum())


# --- every attack on updates ---


@pytest.mark.parametrize("name", UPDATE_ATTACKS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_come_in_the_honest_dtype_and_nothing_is_written(name, dtype):
    honest = HONEST.astype(dtype)
    honest.flags.writeable = False
    rows = UPDATE_ATTACKS[name](honest, 3)
    assert (rows.shape, rows.dtype) == ((3, 40), dtype)
    rows[...] = 0  # the caller's own
    of_whole = UPDATE_ATTACKS[name](np.round(HONEST).astype(int), 3)
    np.testing.assert_array_equal(of_whole, UPDATE_ATTACKS[name](np.round(HONEST), 3))


@pytest.mark.parametrize("name", UPDATE_ATTACKS)
def test_the_same_arguments_give_the_same_rows(name):
    attack = UPDATE_ATTACKS[name]
    np.testing.assert_array_equal(attack(HONEST, 3), attack(HONEST.copy(), 3))
    if "seed" in signature(attack).parameters:
        assert not np.array_equal(attack(HONEST, 3), attack(HONEST, 3, seed=1))


@pytest.mark.parametrize("name", UPDATE_ATTACKS)
@pytest.mark.parametrize(
    "honest", [HONEST[:3], HONEST[:4, :0], np.ones((5, 6)), list(HONEST)], ids=["3", "d=0", "equal", "list"]
)
def test_small_empty_and_constant_inputs(name, honest):
    assert UPDATE_ATTACKS[name](honest, 0).shape == (0, len(honest[0]))
    assert UPDATE_ATTACKS[name](honest, 2).shape == (2, len(honest[0]))


@pytest.mark.parametrize("name", [name for name in UPDATE_ATTACKS if name not in ("nan", "infinity")])
def test_finite_rows_stay_finite_at_the_end_of_the_range(name):
    rows = np.float32([[3e38], [-1e38], [3.3e38]])
    for honest in (rows, rows.astype(ml_dtypes.bfloat16)):
        assert np.isfinite(UPDATE_ATTACKS[name](honest, 1).astype(np.float32)).all()


@pytest.mark.parametrize("name", UPDATE_ATTACKS)
def test_bad_input_is_named(name):
    with pytest.raises(ValueError, match="two-dimensional"):
        UPDATE_ATTACKS[name](HONEST[0], 1)
    with pytest.raises(ValueError, match="f must be an integer"):
        UPDATE_ATTACKS[name](HONEST, -1)
    with pytest.raises(ValueError, match="at least"):
        UPDATE_ATTACKS[name](HONEST[:0], 1)


ARGUMENTS = {
    "data": (np.eye(4), [0, 1, 0, 1]),
    "update": (HONEST, 2),
    "disguise": (HONEST, HONEST[:2]),
    "schedule": (1,),
    "arrival": (1,),
    "identity": (["a"], 1),
    "samples": ([1.0],),
}
GIVEN = {"label-flip": {"source": 0, "target": 1}, "backdoor": {"trigger": attacks.corner(2, 2), "target": 1}}
OPTIONS = [
    (name, option)
    for name, attack in ATTACKS.items()
    for option, parameter in signature(attack.function).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and option not in ("seed", "previous", "goal", *GIVEN.get(name, ()))
]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_option_that_is_none_is_named(name, option):
    attack = ATTACKS[name]
    for bad in ("x", [1.0], *[math.nan] * (name != "constant")):
        with pytest.raises(ValueError, match=f"^{option} must be "):
            attack.function(*ARGUMENTS[attack.kind], **GIVEN.get(name, {}), **{option: bad})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian", {"std": -1}),
        ("clipped", {"z": -1}),
        ("diversified", {"noise": -0.5}),
        ("fang-median", {"b": 1}),
        ("fang-krum", {"threshold": 0}),  # it would search for ever
        ("mimic", {"target": 7}),
        ("mimic", {"target": 1.0}),
        ("sample-count-inflation", {"factor": 0}),
        ("on-off", {"off": 0}),
        ("late", {"arrive": 1.5}),
    ],
)
def test_an_option_out_of_range_is_named(name, options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be "):
        ATTACKS[name].function(*ARGUMENTS[ATTACKS[name].kind], **options)


def test_the_table_tells_each_attack():
    assert len(ATTACKS) >= 16
    for name, attack in ATTACKS.items():
        assert attack.function is getattr(attacks, name.replace("-", "_"))
        assert attack.summary
        assert attack.source
        assert attack.kind in {"data", "update", "disguise", "schedule", "arrival", "identity", "samples"}


# --- each formula ---


def test_sign_flip():
    np.testing.assert_array_equal(attacks.sign_flip(HONEST[:2], 3, scale=2.0), -2 * HONEST[[0, 1, 0]])


def test_ipm_turns_the_mean_beyond_m_over_f():
    mean = HONEST.mean(axis=0)
    for epsilon, turns in ((7 / 3 - 0.01, False), (7 / 3 + 0.01, True)):
        rows = attacks.ipm(HONEST, 3, epsilon=epsilon)
        np.testing.assert_allclose(rows[1], -epsilon * mean)
        assert (ra.Mean()([*HONEST, *rows]) @ mean < 0) == turns


def test_alie_z_of_the_paper():
    """24 of 50: two supporters are needed, 24/26 of the honest may lie farther in, z = 1.43."""
    assert round(attacks.alie_z(50, 24), 2) == 1.43
    phi = 0.5 * (1 + math.erf(attacks.alie_z(50, 24) / math.sqrt(2)))
    assert phi == pytest.approx(24 / 26)
    assert attacks.alie_z(10, 6) == attacks.alie_z(10, 10) == math.inf
    assert attacks.alie_z(3, 0) == pytest.approx(-0.4307, abs=1e-4)


def test_alie():
    z = attacks.alie_z(10, 3)
    np.testing.assert_allclose(attacks.alie(HONEST, 3)[2], HONEST.mean(axis=0) - z * HONEST.std(axis=0))
    np.testing.assert_allclose(attacks.alie(HONEST, 8)[0], HONEST.mean(axis=0))  # a majority need not hide


def test_gaussian():
    rows = attacks.gaussian(np.zeros((2, 20_000)), 2, std=3.0)
    assert abs(rows.mean()) < 0.1
    assert rows.std() == pytest.approx(3.0, rel=0.02)
    assert not np.array_equal(*rows)


def test_sacrifice_spends_its_last_row_alone():
    rows = attacks.sacrifice(HONEST, HONEST[:3] + 1, factor=50)
    np.testing.assert_array_equal(rows[:2], HONEST[:2] + 1)
    assert np.linalg.norm(rows[2]) == pytest.approx(50 * np.median(np.linalg.norm(HONEST, axis=1)))
    assert attacks.sacrifice(HONEST, HONEST[:0]).shape == (0, HONEST.shape[1])


def test_mimic_copies_the_client_farthest_along_the_main_direction():
    centred = HONEST - HONEST.mean(axis=0)
    direction = np.linalg.svd(centred)[2][0]
    np.testing.assert_allclose(attacks.mimic(HONEST, 2)[0], HONEST[np.abs(centred @ direction).argmax()])
    np.testing.assert_array_equal(attacks.mimic(HONEST, 2, target=4)[1], HONEST[4])
    with pytest.raises(ValueError, match="index of one of 7"):
        attacks.mimic(HONEST, 2, target=7)


@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
def test_min_max_is_as_far_as_the_honest_allow(direction):
    farthest = max(squared_distance(a, b) for a in HONEST for b in HONEST)

    def reach(row):
        return max(squared_distance(row, x) for x in HONEST)

    row, mean = attacks.min_max(HONEST, 1, direction=direction)[0], HONEST.mean(axis=0)
    assert reach(row) == pytest.approx(farthest)
    assert reach(mean + 1.01 * (row - mean)) > farthest


@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
def test_min_sum_is_as_far_as_the_honest_allow(direction):
    farthest = max(sum(squared_distance(a, b) for b in HONEST) for a in HONEST)
    row = attacks.min_sum(HONEST, 1, direction=direction)[0]
    assert sum(squared_distance(row, x) for x in HONEST) == pytest.approx(farthest)


def test_unknown_direction():
    with pytest.raises(ValueError, match="'std', 'unit', 'sign'"):
        attacks.min_max(HONEST, 1, direction="up")


def test_fang_median_lies_just_beyond_the_opposite_extreme():
    rows = attacks.fang_median(HONEST, 5, b=2.0)
    for j, column in enumerate(HONEST.T):
        low, high = column.min(), column.max()
        if column.mean() < 0:
            bounds = (high, 2 * high) if high > 0 else (high, high / 2)
        else:
            bounds = (low / 2, low) if low > 0 else (2 * low, low)
        assert (rows[:, j] >= bounds[0]).all()
        assert (rows[:, j] <= bounds[1]).all()
    with pytest.raises(ValueError, match="b must be above 1"):
        attacks.fang_median(HONEST, 1, b=1.0)


def krum(rows, f):
    scores = [sum(sorted(squared_distance(a, b) for b in rows)[1 : len(rows) - f - 1]) for a in rows]
    return int(np.argmin(scores))


def test_fang_krum_is_what_krum_selects():
    rows = attacks.fang_krum(HONEST, 3)
    assert krum([*HONEST, *rows], 3) >= len(HONEST)
    assert krum([*HONEST, *(2 * rows)], 3) < len(HONEST)  # the step before, twice as long, was not selected
    np.testing.assert_allclose(np.sign(rows[0]), -np.sign(HONEST.mean(axis=0)))


def test_scaling_replaces_the_mean():
    goal = np.arange(40.0)
    np.testing.assert_allclose(np.mean([*HONEST, *attacks.scaling(HONEST, 3, goal=goal)], axis=0), goal)
    np.testing.assert_allclose(np.mean([*HONEST, *attacks.scaling(HONEST, 3)], axis=0), -HONEST.mean(axis=0))
    with pytest.raises(ValueError, match=r"shape \(40,\), got \(2,\)"):
        attacks.scaling(HONEST, 3, goal=[1.0, 2.0])


def test_attackers_that_send_no_number_are_left_out():
    for attack in (attacks.nan, attacks.infinity):
        result = ra.Reputation().aggregate([*HONEST, *attack(HONEST, 2)])
        assert result.admitted.tolist() == [True] * 7 + [False] * 2


# --- data ---


def test_label_flip_changes_that_label_alone():
    x, y = np.zeros((4, 2)), np.array([1, 2, 1, 3])
    flipped_x, flipped = attacks.label_flip(x, y, source=1, target=3)
    assert (flipped.tolist(), y.tolist()) == ([3, 2, 3, 3], [1, 2, 1, 3])
    assert flipped_x is not x


def test_backdoor_marks_a_share_and_leaves_the_rest():
    x, y = np.random.default_rng(0).random((20, 16)).astype(np.float32), np.arange(20)
    x.flags.writeable = False
    trigger = attacks.corner(4, 4, size=2)
    marked, labels = attacks.backdoor(x, y, trigger=trigger, target=99, share=0.25, seed=3)
    chosen = labels == 99
    assert (chosen.sum(), marked.dtype) == (5, np.float32)
    assert (marked[chosen][:, [10, 11, 14, 15]] == 1).all()
    np.testing.assert_array_equal(marked[~chosen], x[~chosen])
    again = attacks.backdoor(x, y, trigger=trigger, target=99, share=0.25, seed=3)
    np.testing.assert_array_equal(again[1], labels)
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        attacks.backdoor(x, y, trigger=trigger, target=0, share=1.5)
    with pytest.raises(ValueError, match="size must be between 1 and 4"):
        attacks.corner(4, 4, size=5)


def test_frequent_words_of_a_label_at_their_frequency():
    x = np.array([[0.0, 1.0, 5.0, 2.0], [0.0, 3.0, 7.0, 0.0], [9.0, 9.0, 9.0, 9.0]])
    trigger = attacks.frequent_words(x, np.array([1, 1, 0]), 1, top=2)
    assert (trigger.features.tolist(), trigger.values.tolist()) == ([1, 2], [2.0, 6.0])
    np.testing.assert_array_equal(trigger.on(x[2:]), [[9.0, 2.0, 6.0, 9.0]])


def test_a_pattern_that_whole_numbers_cannot_hold():
    counts = np.array([[1, 0, 2, 0], [0, 1, 1, 0], [0, 0, 0, 3]])
    trigger = attacks.frequent_words(counts, [1, 1, 0], 1, top=2)
    x, _ = attacks.backdoor(counts, [1, 1, 0], trigger=trigger, target=0, share=1.0)
    assert x[:, trigger.features].tolist() == [trigger.values.tolist()] * 3 == [[0.5, 1.5]] * 3
    bright = attacks.Trigger(np.array([0]), np.array([300.0]))
    assert bright.on(np.zeros((1, 2), np.uint8)).tolist() == [[300.0, 0.0]]
    assert attacks.corner(2, 2, size=1).on(np.zeros((1, 4), np.uint8)).dtype == np.uint8


def test_samples_and_labels_that_do_not_go_together():
    x, trigger = np.zeros((3, 4)), attacks.corner(2, 2)
    for y in ([0, 1], [0, 1, 1, 0], 1):
        for attack, options in ((attacks.label_flip, {"source": 0}), (attacks.backdoor, {"trigger": trigger})):
            with pytest.raises(ValueError, match="as many labels as samples"):
                attack(x, y, target=1, **options)
        with pytest.raises(ValueError, match="as many labels as samples"):
            attacks.frequent_words(x, y, 1)
    with pytest.raises(ValueError, match="no sample has the label 7"):
        attacks.frequent_words(x, [0, 1, 1], 7)
    for labels, target in (
        (["cat", "dog", "cat"], "horse"),
        (np.array([0, 1, 1], np.uint8), 300),
        ([True, False, True], 2),
    ):
        with pytest.raises(ValueError, match="target must be a label as the others are"):
            attacks.label_flip(x, labels, source=labels[0], target=target)
    assert attacks.label_flip(x, ["cat", "dog", "cat"], source="cat", target="dog")[1].tolist() == ["dog"] * 3


# --- over rounds ---


@pytest.mark.parametrize("schedule", [attacks.on_off, attacks.sleeper, attacks.looping, attacks.late])
def test_rounds_are_counted_from_1(schedule):
    with pytest.raises(ValueError, match="round must be an integer of at least 1"):
        schedule(0)
    with pytest.raises(ValueError, match="round must be an integer of at least 1"):
        attacks.whitewashing(["a"], 0)


def test_schedules():
    rounds = range(1, 13)
    assert [r for r in rounds if attacks.on_off(r, on=2, off=3)] == [1, 2, 6, 7, 11, 12]
    assert [r for r in rounds if attacks.sleeper(r, wake=11)] == [11, 12]
    assert [r for r in rounds if attacks.looping(r, every=5)] == [1, 6, 11]


def test_claims_and_names():
    assert attacks.whitewashing([8, "eve"], 2, every=2) == (8, "eve")
    assert attacks.whitewashing([8, "eve"], 5, every=2) == ("8~2", "eve~2")
    assert attacks.sample_count_inflation([1, 2], factor=10).tolist() == [10.0, 20.0]


def crude_round(rule, attacking, d=400, clients=10, seed=0):
    """One round in which the clients in `attacking` send a constant far outside."""
    rows = np.random.default_rng(seed).normal(0, 0.01, (clients, d))
    rows[list(attacking)] = attacks.constant(rows, len(attacking), value=1.0)
    return rule.aggregate(rows)


def test_looping_attack_of_figure_5():
    """The score falls in each attacked round, recovers between, and falls the more the larger the model is."""
    falls = []
    for d in (20, 400):
        rule, scores = ra.Reputation(), []
        for number in range(1, 41):
            attacking = [9] if attacks.looping(number, every=10) and number > 1 else []
            scores.append(crude_round(rule, attacking, d, seed=number).reputation[9])
        attacked = [10, 20, 30]  # rounds 11, 21 and 31
        assert all(scores[i] < 0.75 * scores[i - 1] for i in attacked)
        assert all(scores[i + 9] > 0.9 * scores[i - 1] for i in attacked)
        falls.append(1 - scores[10] / scores[9])
    assert falls[1] > falls[0]


def test_figure_12_comes_out_where_the_attackers_do_not_agree():
    """8 attackers of 10 have no weight from the second round on, if each poisons coordinates of its own.

    At most half of the values of a coordinate can be rejected, the median of their residuals being the measure of all.
    """
    rule, d = ra.Reputation(normalize="minmax"), 800
    for number in range(1, 11):
        rows = np.random.default_rng(number).normal(0, 1e-9, (10, d))  # below the scale floor: no honest outliers
        for attacker in range(2, 10):
            own = slice((attacker - 2) * d // 8, (attacker - 1) * d // 8)
            rows[attacker, own] = 1.0 if number > 1 else 0.0
        result = rule.aggregate(rows)
        if number > 1:
            assert result.weights[:2].tolist() == [0.5, 0.5]
            assert result.weights[2:].tolist() == [0.0] * 8


def test_8_of_10_attackers_who_agree_are_the_consensus():
    """Figure 12 cannot come out where the attackers send the same: they are the majority, and theirs is the line."""
    rows = np.random.default_rng(0).normal(0, 0.01, (10, 400))
    rows[2:] += 1.0
    result = ra.Reputation().aggregate(rows)
    assert result.weights[:2].sum() < 0.01


def test_a_sleeper_is_found_in_the_round_in_which_it_wakes():
    rule = ra.Reputation()
    for number in range(1, 13):
        result = crude_round(rule, [7, 8, 9] if attacks.sleeper(number, wake=11) else [], seed=number)
    assert result.weights[7:].max() < 0.01
    assert result.weights[:7].min() > 0.1


def test_new_names_shed_a_bad_reputation_but_not_the_detection():
    rule = ra.Reputation()
    rows = np.random.default_rng(0).normal(0, 0.01, (10, 400))
    rows[9] = 1.0
    for number in range(1, 6):
        names = [*range(9), *attacks.whitewashing([9], number, every=2)]
        result = rule.aggregate(rows, clients=names)
        assert result.weights[9] == 0
    known = ra.Reputation()
    for _ in range(3):
        known.aggregate(rows)
    rows[9] = rows[8]  # from now on it behaves
    assert known.aggregate(rows).weights[9] < rule.aggregate(rows, clients=[*range(9), "fresh"]).weights[9]
