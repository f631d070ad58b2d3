"""Pictures over one number, and reputations without training."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("typer", reason="the command line needs the cli extra")

from commandline import robustagg

from robustagg import studies
from robustagg.studies.sweeps import QUANTITIES, _panels


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rules = ["mean", {"rule": "reputation", "prior": 0.1}, "reputation(prior=0.9)"]
    made = studies.study(
        {"rounds": 2, "epochs": 1, "seeds": 2, "rules": rules},
        [{"attack": ["backdoor"], "attackers": [0.4, 0.1], "options.size": [2]}, {"attack": ["ipm"]}],
    )
    assert len(made.cells) == 3
    return studies.run_grid(made, tmp_path_factory.mktemp("swept"))


def test_lines_are_the_results_in_order(store):
    cells = studies.situations(store)
    panels = _panels(cells, "attackers", QUANTITIES["accuracy"])
    drawn = panels["backdoor, size 2"]["mean"]
    assert drawn.x.tolist() == [0.1, 0.4]
    assert drawn.values.shape == (2, 2)
    for k, share in enumerate(drawn.x):
        cell = next(c for c in cells if c.settings["attackers"] == share and c.settings["attack"] == "backdoor")
        assert drawn.values[:, k].mean() == pytest.approx(cell.figures["mean"].accuracy)
    success = _panels(cells, "attackers", QUANTITIES["success"])
    assert list(success) == ["backdoor, size 2"]  # the other attack has no target
    assert "mean, nobody attacks" in success["backdoor, size 2"]


def test_over_the_rounds_and_over_an_argument_of_a_rule(store):
    cells = studies.situations(store)
    weight = _panels(cells, "rounds", QUANTITIES["attackers-weight"])
    for lines in weight.values():
        for drawn in lines.values():
            assert drawn.x.tolist() == [1, 2]
            assert np.all((drawn.values >= 0) & (drawn.values <= 1))
    prior = _panels(cells, "prior", QUANTITIES["accuracy"])
    assert all(lines["reputation"].x.tolist() == [0.1, 0.9] for lines in prior.values())
    assert all("mean" not in lines for lines in prior.values())


def test_what_is_not_varied_or_not_known_is_told(store, tmp_path):
    with pytest.raises(ValueError, match="must be one of 'rounds', 'attackers', 'size', 'prior', got 'alpha'"):
        studies.over(store, "alpha")
    with pytest.raises(ValueError, match="the quantity must be one of 'accuracy'"):
        studies.over(store, quantities=["loss"])
    aimless = studies.study({"rounds": 1, "epochs": 1, "seeds": 1, "rules": ["mean"], "attack": "none"})
    with pytest.raises(ValueError, match="has success or attackers-weight"):
        studies.over(studies.run_grid(aimless, tmp_path / "aimless"), quantities=["success", "attackers-weight"])
    robustagg(
        "grid", "show", store.folder, "--curves", "0", "--over", "attackers", "--of", "success", "--out", tmp_path
    )
    assert (tmp_path / "over-attackers.png").read_bytes().startswith(b"\x89PNG")


SCENARIO = """
[[panels]]
title = "two"
rounds = 12
clients = [
    { name = "never", parameters = 20 },
    { name = "once", parameters = 20, at = [11] },
    { name = "every third", parameters = 20, every = 3 },
    { name = "on and on", parameters = 20, since = 11 },
]
"""


PANEL = "[[panels]]\ntitle = 't'\nrounds = {}\nclients = [{}]\n"


def test_reputations_of_a_scenario(tmp_path):
    """The numbers of the paper's definition: .875 for an honest round of 20 parameters, .0625 for a rejected one."""
    (tmp_path / "two.toml").write_text(SCENARIO, "utf-8")
    told = robustagg("grid", "scenario", tmp_path / "two.toml", "--out", tmp_path / "two.png", "--json")
    lines = [client["reputation"] for client in json.loads(told.stdout)["panels"][0]["clients"]]
    never, once, third, on = map(np.array, lines)
    assert never == pytest.approx(0.875)
    ages = np.exp(-0.5 * np.arange(10))
    assert once[10] == pytest.approx((0.0625 + 0.875 * ages[1:].sum()) / ages.sum())
    assert once[11] > once[10]
    assert on[11] < on[10] == once[10]
    assert third[2] < third[1] == never[1]
    assert (tmp_path / "two.png").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = 'none'", "one at least"),
        ("[[panels]]\ntitle = 'a'\nclients = []", "panel 1: 'rounds' is missing"),
        ("[[panels]]\ntitle = 'a'\nrounds = 2\nclients = [{name = 'b', weight = 1}]", "panel 1: .*weight"),
        ("[reputation]\nwindow = 0\n[[panels]]\ntitle = 'a'\nrounds = 2\nclients = []", "panel 1: window must be"),
        ("panel = 3", "there is no 'panel'"),
        ("panels = 3", r"panels must be a list of tables \(line 1\)"),
        ("panels = [3]", "panels must be a list of tables"),
        ("title = 3", "title must be a text"),
        ("reputation = 3", "reputation must be a table"),
        (PANEL.format(5, "3"), r"panel 1: a client must be a table of name, parameters, at, since, every"),
        (PANEL.format(5, "{name = 'a'}"), "panel 1: a client must be"),
        (PANEL.format(5, ""), "panel 1: clients must be one at least"),
        (PANEL.format(5, "{name = 'a', parameters = 1}, {name = 'a', parameters = 2}"), "each of another name"),
        (PANEL.format(5, "{name = 3, parameters = 1}"), "panel 1: name must be a text"),
        (PANEL.format(5, "{name = 'a', parameters = -3}"), "parameters must be an integer of at least 1"),
        (PANEL.format(5, "{name = 'a', parameters = 1, at = 3}"), "at must be a list of rounds"),
        (PANEL.format(5, "{name = 'a', parameters = 1, at = ['1']}"), "at must be an integer of at least 1, got '1'"),
        (PANEL.format(5, "{name = 'a', parameters = 1, every = 0}"), "every must be an integer of at least 1"),
        (PANEL.format(5, "{name = 'a', parameters = 1, since = true}"), "since must be an integer of at least 1"),
        (PANEL.format(0, "{name = 'a', parameters = 1}"), "rounds must be an integer of at least 1"),
        (PANEL.format(2.9, "{name = 'a', parameters = 1}"), "rounds must be an integer of at least 1"),
    ],
)
def test_a_scenario_that_makes_no_sense(text, told, tmp_path):
    (tmp_path / "s.toml").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=told):
        studies.load_scenarios(tmp_path / "s.toml")
