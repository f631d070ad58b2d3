"""Federated training on digits: what is split, trained, measured, told and drawn."""

import builtins
import json
from datetime import date

import numpy as np
import pytest

pytest.importorskip("sklearn")

from robustagg.attacks import ATTACKS
from robustagg.simulation import CHOICES, RULES, RoundRecord, RuleRun, Settings, Simulation, picture, simulate
from robustagg.simulation.pictures import styles
from robustagg.simulation.results import CLEAN
from robustagg.simulation.run import Federation
from robustagg.simulation.settings import EXAMPLES, NEEDED, USUAL
from robustagg.simulation.tasks import load


def quick(**settings):
    return simulate(
        Settings(**{"rounds": 2, "clients": 5, "rules": ("reputation", "mean"), "attackers": 0.4, **settings})
    )


NEWCOMERS = (("late", "arrive"), ("sleeper", "wake"))


# --- what is simulated ---


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attack": "rain"}, "attack must be one of 'none', 'label-flip'"),
        ({"payload": "on-off"}, "payload must be one of"),
        ({"rules": ("krumm",)}, "rule must be one of 'reputation'.*; did you mean 'krum'\\?"),
        ({"rules": ()}, "at least one rule"),
        ({"rules": ("mean", "mean")}, "each rule once"),
        ({"clients": 0}, "clients must be an integer of at least 1"),
        ({"rounds": 2.5}, "rounds must be an integer"),
        ({"alpha": 0.0}, "alpha must be positive and finite"),
        ({"attackers": 1.5}, "attackers must be between 0 and 1"),
        ({"attackers": 1.0}, "10 attackers of 10 clients leave nobody honest"),
        ({"attack": "sleeper", "options": {"sleep": 3}}, "attack 'sleeper' has no option 'sleep'; it has wake"),
        ({"adaptive": "no"}, "adaptive must be True or False, got 'no'"),
        ({"attackers": "0.3"}, "attackers must be between 0 and 1, got '0.3'"),
        ({"task": 3}, "the task must be one of 'digits'"),
        ({"model": 3}, "the model must be one of 'softmax'"),
        ({"rules": ("median", " median", "median()")}, "each rule once"),
        ({"attack": "looping", "options": {"every": 2.5}}, "every must be an integer of at least 1"),
        ({"attack": "on-off", "options": {"share": 7}}, "share must be between 0 and 1, got 7"),
        ({"attack": "alie", "options": {"z": "big"}}, "z must be a finite number, got 'big'"),
        ({"options": {"target": date(2024, 1, 1)}}, "target must be an integer of at least 0"),
        ({"options": {"size": 0}}, "size must be an integer of at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        Settings(**settings)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_attacks_are_tried_with_fits_them_all(attack):
    kind = ATTACKS[attack].kind
    ATTACKS[attack].function(*EXAMPLES[kind], **NEEDED.get(attack, {}))


def test_a_rule_that_needs_more_clients_is_told_before_any_is_trained():
    seen = []
    settings = Settings(clients=5, rounds=1, rules=("mean", "fltrust", "krum(f=2)"))
    with pytest.raises(ValueError, match=r"Krum needs at least 2f \+ 3 = 7 clients"):
        simulate(settings, lambda *told: seen.append(told))
    assert not seen


# --- the run ---


def test_the_same_settings_give_the_same_numbers():
    assert quick().to_dict() == quick().to_dict()
    assert quick().to_dict() != quick(seed=1).to_dict()


def test_rules_do_not_disturb_each_other():
    alone, beside = quick(rules=("mean",)), quick(rules=("reputation", "mean"))
    assert alone.runs[0].to_dict() == beside.runs[1].to_dict()


def test_every_rule_of_the_table_runs():
    simulation = simulate(Settings(attack="sign-flip", rounds=2, clients=11, epochs=1, rules=tuple(RULES)))
    for run in simulation.runs:
        assert len(run.records) == 2
        assert sum(run.records[1].weights) == pytest.approx(1)


@pytest.mark.parametrize("attack", CHOICES)
def test_every_attack_runs_with_the_usual_rules(attack):
    seen = []
    simulation = simulate(
        Settings(attack=attack, rounds=2, clients=7, attackers=0.3, epochs=1),
        progress=lambda rule, record: seen.append((rule, record.round)),
    )
    runs = USUAL if simulation.clean is None else (*USUAL, CLEAN)
    assert seen == [(rule, round) for rule in runs for round in (1, 2)]
    told = json.loads(json.dumps(simulation.to_dict()))
    assert [run["rule"] for run in told["rules"]] == list(USUAL)
    assert sum(told["attackers"]) == (0 if attack == "none" else 2)
    for run in told["rules"]:
        for record in run["rounds"]:
            assert 0 <= record["accuracy"] <= 1
            assert sum(record["weights"]) == pytest.approx(1)
    header, rows = simulation.table()
    assert {len(row) for row in rows} == {len(header)}
    assert simulation.words()[0].startswith("No client attacks" if attack == "none" else "2 of 7 clients attack")


def test_schedules_say_when_attackers_attack():
    simulation = quick(attack="looping", options={"every": 3}, rounds=4, rules=("median",))
    assert [record.attacking for record in simulation.runs[0].records] == [True, False, False, True]
    behaved = quick(attack="sleeper", options={"wake": 9}, rules=("mean",))
    np.testing.assert_allclose(
        [record.accuracy for record in behaved.runs[0].records],
        [record.accuracy for record in quick(attack="none", rules=("mean",)).runs[0].records],
    )


def test_inflated_sample_counts_buy_weight_where_the_rule_weighs_by_them():
    inflated, plain = quick(attack="sample-count-inflation"), quick(attack="backdoor")
    assert plain.runs[1].attacker_share == pytest.approx(0.4)
    assert inflated.runs[1].attacker_share > 0.95


def test_attackers_may_drive_the_model_out_of_range():
    simulation = quick(attack="constant", options={"value": 3e38}, rounds=6, rules=("mean",))
    assert simulation.runs[0].accuracy < 0.3


def test_the_model_stays_when_every_update_diverges():
    simulation = quick(attack="none", learning_rate=1e38)
    for run in simulation.runs:
        assert [record.weights for record in run.records] == [None, None]
    json.dumps(simulation.to_dict())
    assert simulation.words()


def test_what_sets_newcomers_apart_from_sleepers_is_their_names():
    late, sleeper = (quick(attack=attack, options={option: 3}, rounds=4) for attack, option in NEWCOMERS)
    reputations = [simulation.runs[0].records[-1].reputation[-1] for simulation in (late, sleeper)]
    assert [record.attacking for record in late.runs[0].records] == [False, False, True, True]
    assert reputations[0] != reputations[1]
    assert late.runs[1].to_dict() == sleeper.runs[1].to_dict()  # the mean has no memory


def test_effort_is_how_long_attackers_train():
    means = [quick(effort=effort, epochs=4, rounds=4, rules=("mean",)).runs[0].success for effort in (0.25, 2.0)]
    assert means[0] < means[1]


def test_adaptive_attackers_carry_the_rule_farther():
    settings = {"attack": "ipm", "rules": ("median", "trimmed-mean"), "rounds": 4, "epochs": 1}
    told, knowing = (quick(adaptive=adaptive, **settings) for adaptive in (False, True))
    for blind, seeing in zip(told.runs, knowing.runs, strict=True):
        assert seeing.accuracy < blind.accuracy


def test_a_rule_may_have_parameters_and_ask_for_the_servers_update():
    rules = ("reputation(positive_weight=0.2, rescale=paper)", "nnm + median", {"rule": "krum", "f": 1}, "fltrust")
    simulation = quick(rules=rules)
    assert [run.rule for run in simulation.runs] == [*rules[:2], "krum(f=1)", "fltrust"]
    assert simulation.runs[0].to_dict()["rounds"] != quick().runs[0].to_dict()["rounds"]


def test_options_of_attack_and_payload_and_classes_by_name():
    by_name = quick(attack="on-off", options={"on": 1, "source": "3", "share": 0.5}, payload="label-flip")
    by_number = quick(attack="on-off", options={"on": 1, "source": 3, "share": 0.5}, payload="label-flip")
    assert by_name.runs[1].to_dict() == by_number.runs[1].to_dict()
    with pytest.raises(ValueError, match="the class must be one of '0'"):
        quick(attack="backdoor", options={"target": "ten"})


# --- what is told ---


def told(success, share, accuracy=0.9):
    settings = Settings(rules=("reputation", "mean"), rounds=1)
    runs = []
    for rule, asr, weight in (("reputation", success, share), ("mean", 0.5, 0.3)):
        weights = (*[(1 - weight) / 7] * 7, *[weight / 3] * 3)
        record = RoundRecord(1, accuracy if rule == "reputation" else 0.9, asr, True, weights, None)
        runs.append(RuleRun(rule, (record,), True, 3, 0.9))
    return " ".join(Simulation(settings, tuple(runs)).words())


def test_words_say_what_the_numbers_show():
    good, level, bad = told(0.1, 0.1), told(0.51, 0.3), told(0.9, 0.7, accuracy=0.5)
    assert "attack success 10.0%, lower than mean (50.0%)" in good
    assert "10.0% of the weight, less than their share of the clients, 30.0%" in good
    assert "within 2 points of mean" in level
    assert "attack success 90.0%, higher than mean (50.0%)" in bad
    assert "accuracy 50.0%, lower than mean (90.0%)" in bad
    assert "70.0% of the weight, not less than" in bad
    for text in (good, level, bad):
        assert not any(word in text for word in ("robust", "secure", "defeat", "protect", "better"))


def test_words_say_of_which_rounds_the_figures_are_means():
    records = [RoundRecord(k, 0.9, 0.5, k > 8, (0.5, 0.5), None) for k in range(1, 11)]
    runs = (RuleRun("mean", tuple(records), True, 1, 0.9),)
    settings = Settings(rules=("mean",), rounds=10, clients=2, attackers=0.5)
    assert (
        "Accuracy is the mean of the last 5 rounds, attack success that of the last 2 with an attack, "
        "the attackers' weight that of all 2 with one."
    ) in Simulation(settings, runs).words()[0]


@pytest.mark.parametrize("attack", ["backdoor", "gaussian", "on-off", "none"])
def test_picture(attack, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    picture(quick(attack=attack, rules=USUAL), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def test_where_the_servers_training_diverges_the_model_stays(monkeypatch):
    settings = Settings(rounds=2, clients=5, attack="none")
    federation = Federation(settings, load(settings.task, settings.seed))
    trained = federation.model.updates

    def diverged(parameters, clients, epochs, seeds):
        rows = trained(parameters, clients, epochs, seeds)
        rows[settings.clients :] = np.nan
        return rows

    monkeypatch.setattr(federation.model, "updates", diverged)
    assert [record.weights for record in federation.run("fltrust").records] == [None, None]
    assert None not in [record.weights for record in federation.run("mean").records]


def test_a_picture_of_one_round_shows_it(tmp_path, monkeypatch):
    figures = []
    figure = pytest.importorskip("matplotlib.figure").Figure
    monkeypatch.setattr(figure, "savefig", lambda self, path: figures.append(self))
    for rounds in (1, 2):
        picture(quick(rounds=rounds), tmp_path / "picture.png")
    markers = [{line.get_marker() for axes in f.axes for line in axes.lines if len(line.get_xdata())} for f in figures]
    assert markers == [{"o"}, {""}]


def test_no_two_rules_of_a_picture_look_alike(tmp_path):
    pytest.importorskip("matplotlib")
    looks = [tuple(style[key] for key in ("color", "linestyle")) for style in styles(list(RULES)).values()]
    assert len(set(looks)) == len(RULES)
    picture(simulate(Settings(rounds=1, epochs=1, rules=tuple(RULES))), tmp_path / "picture.png")


@pytest.mark.parametrize("package", ["sklearn", "matplotlib"])
def test_a_missing_package_says_what_to_install(package, monkeypatch, tmp_path):
    simulation = quick()
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'robustagg\[sim\]'"):
        quick(seed=77) if package == "sklearn" else picture(simulation, tmp_path / "p.png")


# --- the pilot's figures, on digits ---


@pytest.mark.parametrize("seed", [0, 1])
def test_a_backdoor_takes_the_mean_and_not_reputation(seed):
    """In the manner of the pilot on news texts: similar clients, attackers that train 1.5 times as long."""
    simulation = simulate(Settings(alpha=100.0, rounds=12, rules=("reputation", "mean"), seed=seed))
    reputation, mean = simulation.runs
    assert mean.success > 0.7
    assert reputation.success < 0.05
    assert reputation.attacker_share < 0.3
    assert reputation.accuracy > mean.accuracy - 0.03
