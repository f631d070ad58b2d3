"""Studies: what a file says, a grid that is run, killed and resumed, and what is told of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("typer", reason="the command line needs the cli extra")

from commandline import MAIN, robustagg

from robustagg import studies
from robustagg.simulation import Settings, simulate
from robustagg.simulation.results import CLEAN
from robustagg.studies.grid import planned_jobs
from robustagg.studies.recommend import CANDIDATES
from robustagg.studies.regret import Figures, Situation
from robustagg.studies.study import study

SMALL = """
title = "small"

[defaults]
rounds = 2
clients = 5
attackers = 0.4
epochs = 1
seeds = 2
rules = ["median", "mean"]

[grid]
attack = ["backdoor", "ipm"]
alpha = [0.5, 100]

[[cells]]
attack = "looping"
payload = "label-flip"
options = { every = 2 }
"""


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.toml").write_text(SMALL, "utf-8")
    return tmp_path / "small.toml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(SMALL, "utf-8")
    return studies.run_grid(studies.load_study(folder / "small.toml"), folder / "out")


# --- what a study says ---


def test_every_combination_and_the_cells_beside(small):
    read = studies.load_study(small, {"rounds": 3})
    assert [cell.label for cell in read.cells] == [
        "attack=backdoor, alpha=0.5",
        "attack=backdoor, alpha=100",
        "attack=ipm, alpha=0.5",
        "attack=ipm, alpha=100",
        "attack=looping, payload=label-flip, every=2",
    ]
    assert {cell.settings.rounds for cell in read.cells} == {3}
    assert read.cells[4].settings.options == {"every": 2}
    assert (read.title, read.runs, read.cells[0].seeds) == ("small", 20, (0, 1))
    assert len({cell.key for cell in read.cells}) == 5
    elsewhere = studies.load_study(small, {"rounds": 3, "device": "cpu"})
    assert [cell.key for cell in elsewhere.cells] == [cell.key for cell in read.cells]


def test_lists_in_a_rule_and_options_in_the_grid():
    made = study(
        {"attack": "backdoor", "rules": [{"rule": "reputation", "prior": [0.1, 0.5], "positive_weight": [0.2, 0.3]}]},
        {"options.size": [1, 2]},
    )
    assert len(made.cells[0].settings.rules) == 4
    assert [cell.settings.options for cell in made.cells] == [{"size": 1}, {"size": 2}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[defaults]\nrounds = \n", "line 2"),
        ("[default]\nrounds = 2", r"no 'default' \(line 1\); there are title, defaults, grid, cells"),
        ("[defaults]\nrounds = 2\nalhpa = 1", r"no 'alhpa' \(line 3\); there are task, model"),
        ("[grid]\nalpha = 1", r"alpha must be a list of values \(line 2\)"),
        ("[grid]\nalpha = []", "alpha must be a list of values"),
        ("[grid]\nalpha = [1, -1]", r"cell 2 \(alpha=-1\): alpha must be positive"),
        ("[defaults]\nrules = ['meden']", r"cell 1 \(the defaults\): the rule must be one of"),
        ("[defaults]\nseeds = []", "different seeds, one at least"),
        ("[defaults]\nseeds = true", "different seeds, one at least"),
        ("[defaults]\nseeds = 2.5", "different seeds, one at least"),
        ("defaults = 3", r"defaults must be a table \(line 1\)"),
        ("grid = 3", "grid must be a table or several"),
        ("cells = [3]", "cells must be a list of tables"),
        ("title = 3", "title must be a text"),
        ("[defaults]\noptions = 3", "options must be a table, got 3"),
        ("[[cells]]\noptions = 3", "options must be a table, got 3"),
        ("[defaults]\nrules = [3]", r"cell 1 \(the defaults\): rules must be a list of rules, each a name"),
        ("[defaults]\nrules = 'mean'", r"cell 1 \(the defaults\): rules must be a list of rules"),
        ("[defaults]\nseeds = [-1]", "seed must be an integer of at least 0"),
        ("[defaults]\nalpha = 'much'", r"cell 1 \(the defaults\)"),
        ("[[cells]]\nalpha = 1\n[[cells]]\nalpha = 1.0", r"cell 2 \(alpha=1.0\) is the same"),
        ("[defaults]\noptions = {sleep = 3}", "attack 'backdoor' has no option 'sleep'"),
        ("[grid]\n'options.target' = [1, 2020-01-01]", r"cell 2 \(target=2020-01-01\): target must be an integer"),
    ],
)
def test_a_study_that_makes_no_sense(text, told, tmp_path):
    (tmp_path / "s.toml").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=told) as found:
        studies.load_study(tmp_path / "s.toml")
    assert "s.toml: " in str(found.value)


def test_a_study_that_cannot_be_read_is_named(tmp_path):
    done = robustagg("grid", "run", tmp_path / "no.toml", "--out", tmp_path / "out", code=1)
    assert done.stderr == f"robustagg: {tmp_path}/no.toml cannot be read: No such file or directory\n"
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"bytes\.toml: 'utf-8' codec"):
        studies.load_study(tmp_path / "bytes.toml")


def test_an_option_may_be_set_in_place_of_that_of_the_defaults(tmp_path):
    (tmp_path / "s.toml").write_text("[defaults]\noptions.size = 4\noptions.share = 0.5\n", "utf-8")
    changed = studies.load_study(tmp_path / "s.toml", {"options.size": 2})
    assert changed.cells[0].settings.options == {"size": 2, "share": 0.5}


# --- running ---


def test_results_are_those_of_the_simulation(finished):
    rows = {(row.rule, row.seed): row for row in finished.rows() if row.settings["attack"] == "ipm"}
    row = rows["mean", 1]
    settings = Settings(**{**row.settings, "rules": ("mean",), "options": {}})
    assert row.result == json.loads(json.dumps(simulate(settings).runs[0].to_dict()))
    assert row.versions["numpy"] == np.__version__


def test_the_clean_run_is_shared_and_that_of_the_simulation(finished):
    rows = finished.rows()
    clean = [row for row in rows if row.rule == CLEAN]
    assert len(clean) == 6  # two skews of the backdoor and one of the label flip, two seeds
    backdoor = next(row for row in rows if row.settings["attack"] == "backdoor" and row.rule == "mean")
    beside = next(row for row in clean if (row.cell, row.seed) == (backdoor.clean, backdoor.seed))
    settings = {**backdoor.settings, "rules": ("mean",), "options": {}}
    assert beside.result == json.loads(json.dumps(simulate(Settings(**settings)).clean.to_dict()))


def test_processes_give_the_same_numbers(finished, small, tmp_path):
    planned = studies.load_study(small)
    store = studies.run_grid(planned, tmp_path / "out", jobs=2)
    assert [(row.cell, row.rule, row.seed, row.result) for row in store.rows()] == [
        (row.cell, row.rule, row.seed, row.result) for row in finished.rows()
    ]


def test_a_second_run_asks_for_resume_and_does_only_what_is_left(small, tmp_path):
    planned = studies.load_study(small, {"seeds": 1})
    studies.run_grid(planned, tmp_path / "out")
    with pytest.raises(FileExistsError, match="--resume"):
        studies.run_grid(planned, tmp_path / "out")
    seen = []
    more = studies.load_study(small)
    studies.run_grid(more, tmp_path / "out", resume=True, progress=lambda *told: seen.append(told))
    assert seen[0][:2] == (13, 26)
    assert seen[-1][:2] == (26, 26)
    assert len(seen) == 14


def test_results_of_an_earlier_form_of_the_study_are_told(tmp_path):
    text, out = "[defaults]\nrounds = 1\nclients = 5\nattack = 'ipm'\nseeds = 1\nrules = [{}]\n", tmp_path / "out"
    (tmp_path / "s.toml").write_text(text.format("'median', 'mean'"), "utf-8")
    assert "warning" not in robustagg("grid", tmp_path / "s.toml", "--out", out, "-j", 1).stderr
    (tmp_path / "s.toml").write_text(text.format("'median'"), "utf-8")
    done = robustagg("grid", tmp_path / "s.toml", "--out", out, "-j", 1, "--resume")
    assert "1 results in" in done.stderr
    assert "does not have now" in done.stderr


def test_what_fails_is_told_and_tried_again(tmp_path):
    planned = study({"rounds": 1, "clients": 5, "rules": ["bulyan(f=3)", "mean"], "seeds": 1, "attack": "ipm"})
    store = studies.run_grid(planned, tmp_path)
    assert [(row.rule, row.error is not None) for row in store.rows()] == [("bulyan(f=3)", True), ("mean", False)]
    assert [place[1] for place in store.done()] == ["mean"]
    said = robustagg("grid", "show", tmp_path, "--curves", 0)
    assert "bulyan(f=3), seed 0 failed: NoRound: Bulyan needs" in " ".join(said.stderr.split())


FAILING = """
import os
from dataclasses import dataclass
import robustagg as ra

@dataclass(eq=False)
class Astray(ra.Mean):
    def decide(self, evidence, round):
        raise KeyError("oops")

@dataclass(eq=False)
class Killed(ra.Mean):
    def decide(self, evidence, round):
        os.kill(os.getpid(), 9)

@dataclass(eq=False)
class Once(ra.Mean):
    def decide(self, evidence, round):
        if os.path.exists("seen"):
            raise ValueError("once is enough")
        open("seen", "w").close()
        return super().decide(evidence, round)
"""


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """Rules that fail, in the current folder."""
    (tmp_path / "failing.py").write_text(FAILING, "utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("jobs", [1, 2])
def test_whatever_a_rule_raises_is_a_row(jobs):
    rules = ["failing:Astray", "mean"] + ["failing:Killed"] * (jobs > 1)
    planned = study({"rounds": 1, "clients": 5, "rules": rules, "seeds": 1, "attack": "ipm"})
    told = {row.rule: row.error for row in studies.run_grid(planned, "out", jobs=jobs).rows()}
    assert told["failing:Astray"] == "KeyError: 'oops'"
    assert told["mean"] is None
    assert told.get("failing:Killed", "killed").count("killed") == 1


@pytest.mark.usefixtures("failing")
def test_data_that_have_changed_are_told(tmp_path):
    rows = [f"{k % 7},{k % 5},{'ab'[k % 2]}\n" for k in range(60)]
    (tmp_path / "data.csv").write_text("x,y,label\n" + "".join(rows), "utf-8")
    text = "[defaults]\ntask = 'csv:data.csv'\nrounds = 1\nclients = 3\nattack = 'none'\nrules = ['mean']\nseeds = {}"
    (tmp_path / "s.toml").write_text(text.format(1), "utf-8")
    robustagg("grid", "s.toml", "--out", "out", "-j", 1)
    (tmp_path / "s.toml").write_text(text.format(2), "utf-8")
    assert "different data" not in robustagg("grid", "s.toml", "--out", "out", "-j", 1, "--resume").stderr
    (tmp_path / "s.toml").write_text(text.format(3), "utf-8")
    (tmp_path / "data.csv").write_text("x,y,label\n" + "".join(rows[1:]), "utf-8")
    said = " ".join(robustagg("grid", "s.toml", "--out", "out", "-j", 1, "--resume").stderr.split())
    assert "different data: the files of csv:data.csv have changed" in said
    assert "versions" not in said


def test_a_grid_survives_kill_9(small, tmp_path):
    """Its processes do not: the pipe is closed when the last one is gone."""
    command = (sys.executable, "-c", MAIN, "grid", str(small), "--out", str(tmp_path / "out"), "--jobs", "2")
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    store = studies.Store(tmp_path / "out")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _rows(store):
        time.sleep(0.01)
    running.kill()
    try:
        running.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    before = {(row.cell, row.rule, row.seed): row.result for row in store.rows()}
    assert 0 < len(before) < 26
    said = robustagg("grid", small, "--out", tmp_path / "out", "--jobs", 1, "--resume", "--json")
    after = {(row.cell, row.rule, row.seed): row.result for row in store.rows()}
    assert len(after) == 26
    assert before.items() <= after.items()
    assert {regret["rule"] for regret in json.loads(said.stdout)["regrets"]} == {"median", "mean"}


def _rows(store):
    try:
        return store.done()
    except ValueError:  # the table is not there yet
        return set()


def test_every_training_is_planned_once(small):
    jobs = planned_jobs(studies.load_study(small))
    assert len({job.place for job in jobs}) == len(jobs) == 26
    assert [job.place[2] for job in jobs] == sorted(job.place[2] for job in jobs)


# --- what is told ---


def figures(rule, accuracy, success):
    result = {"accuracy": accuracy, "success": success, "attacker_share": None}
    return Figures(rule, (studies.Row("c", rule, 0, None, asdict(Settings()), result, None, 1.0, {}),))


def test_regret_is_against_the_best_rule_of_each_cell():
    told = {
        "backdoor": {"a": (0.9, 0.0), "b": (0.92, 0.5)},
        "none": {"a": (0.8, None), "b": (0.95, None)},
    }
    cells = [
        Situation(name, name, {}, {rule: figures(rule, *values) for rule, values in rules.items()}, None)
        for name, rules in told.items()
    ]
    first, second = studies.regrets(cells)
    assert (first.rule, first.where, first.near) == ("a", "none", 0.5)
    assert first.worst == pytest.approx(0.15)
    assert first.mean == pytest.approx(0.075)
    assert (second.rule, second.where) == ("b", "backdoor")
    assert second.worst == pytest.approx(0.48)


def test_rules_are_compared_over_the_seeds_that_all_have(tmp_path):
    class Stop(Exception):
        pass

    def stop(done, count, last):
        if done == 3:
            raise Stop

    planned = study({"rounds": 1, "clients": 5, "rules": ["median", "mean"], "attack": "ipm"})
    with pytest.raises(Stop):
        studies.run_grid(planned, tmp_path, progress=stop)
    (cell,) = studies.situations(studies.Store(tmp_path))
    assert {rule: [row.seed for row in own.rows] for rule, own in cell.figures.items()} == {"median": [0], "mean": [0]}
    said = robustagg("grid", "show", tmp_path, "--curves", 0).stderr
    assert "1 results are not compared" in " ".join(said.split())


def test_a_rule_that_is_not_in_all_cells_comes_last():
    told = {"easy": {"a": (0.9, None), "b": (0.8, None)}, "hard": {"b": (0.7, None)}}
    cells = tuple(
        Situation(name, name, {}, {rule: figures(rule, *values) for rule, values in rules.items()}, None)
        for name, rules in told.items()
    )
    assert [regret.rule for regret in studies.regrets(cells)] == ["b", "a"]
    partial = studies.Recommendation(tuple(studies.regrets(cells))[::-1], cells, 1)
    assert partial.words()[0].startswith("a: in the worst of 1 cells")


def test_show_draws_every_rule(finished, tmp_path):
    pytest.importorskip("matplotlib")
    found = studies.situations(finished)
    assert [cell.label for cell in found] == [
        "backdoor, alpha 0.5",
        "backdoor, alpha 100",
        "ipm, alpha 0.5",
        "ipm, alpha 100",
        "looping, label-flip, alpha 1, every 2",
    ]
    paths = studies.show(finished, tmp_path, curves=2)
    assert [path.name for path in paths] == [
        "heat-accuracy.png",
        "heat-success.png",
        "curves-01.png",
        "curves-02.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    studies.show(finished, tmp_path, curves=1)
    assert [path.name for path in sorted(tmp_path.glob("curves*"))] == ["curves-01.png"]
    with pytest.raises(ValueError, match="curves must be an integer of at least 0"):
        studies.show(finished, tmp_path, curves=-1)


def test_show_on_the_command_line(finished, tmp_path):
    pytest.importorskip("matplotlib")
    said = robustagg("grid", "show", finished.folder, "--out", tmp_path, "--curves", 1).stdout
    assert [line.split()[0] for line in said.splitlines()[1:3]] == [
        regret.rule for regret in studies.regrets(studies.situations(finished))
    ]
    assert "Regret: how many points" in said
    told = json.loads(robustagg("grid", "show", finished.folder, "--out", tmp_path, "--json").stdout)
    assert {cell["label"]: cell["clean"] is None for cell in told["cells"]}["ipm, alpha 100"]
    assert told["failed"] == []


def test_a_folder_without_a_study(tmp_path):
    assert "there are no results of a study" in robustagg("grid", "show", tmp_path, code=1).stderr
    with pytest.raises(ValueError, match="there are no results of a study"):
        studies.Store(tmp_path).rows()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "no database " * 100])
def test_a_file_that_is_no_study(content, tmp_path, small):
    (tmp_path / "results.sqlite").write_text(content, "utf-8")
    told = "results.sqlite cannot be used as the results of a study"
    assert told in " ".join(robustagg("grid", "show", tmp_path, code=1).stderr.split())
    if content:  # an empty file is what a kill has left before the first transaction
        with pytest.raises(ValueError, match=told):
            studies.run_grid(studies.load_study(small), tmp_path, resume=True)


def test_recommend_names_the_least_worst_regret(tmp_path):
    command = ("recommend", "--clients", 5, "--attackers", 0.4, "--rounds", 3, "--seeds", 1, "--jobs", 1)
    rules = ("--rule", "median", "--rule", "mean")
    told = json.loads(robustagg(*command, *rules, "--out", tmp_path / "out", "--json").stdout)
    worst = {regret["rule"]: regret["worst"] for regret in told["regrets"]}
    assert told["rule"] == min(worst, key=worst.get) == "median"
    assert told["words"][0].startswith("median: in the worst of 8 cells")
    assert len(told["cells"]) == 8
    assert len(studies.Store(tmp_path / "out").rows()) == 8 * 2 + 2  # and nobody attacks, for each target
    again = " ".join(robustagg(*command, *rules, "--out", tmp_path / "out", code=1).stderr.split())
    assert "holds results already: name another folder" in again


def test_the_rules_that_recommend_tries_are_named():
    told = robustagg("recommend", "--help", columns=400).stdout
    assert f"by default {', '.join(map(str, CANDIDATES))}." in told


@pytest.mark.usefixtures("failing")
def test_a_rule_that_fails_is_not_recommended_and_told():
    command = ("recommend", "-n", 5, "--attackers", 0.4, "--alpha", 100, "--rounds", 1, "--seeds", 1, "-j", 1)
    rules = ("-r", "failing:Once", "-r", "median", "-r", "krum(f=3)")
    told = json.loads(robustagg(*command, *rules, "--json").stdout)
    assert [(regret["rule"], regret["cells"]) for regret in told["regrets"]] == [("median", 8), ("failing:Once", 1)]
    assert {row["rule"] for row in told["failed"]} == {"failing:Once", "krum(f=3)"}
    os.remove("seen")
    said = " ".join(robustagg(*command, *rules).stderr.split())
    assert "krum(f=3), seed 0 failed in 8 cells: NoRound: Krum needs" in said
    alone = " ".join(robustagg(*command, *rules[-2:], code=1).stderr.split())
    assert "one ended in NoRound: Krum needs" in alone


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("attack=ipm", "attack cannot be set here"),
        ("options.size=3", "options.size cannot be set here"),
        ("seeds=2", "(--rule, --seeds)"),
        ("alhpa=1", "there is no 'alhpa'"),
    ],
)
def test_what_recommend_cannot_be_told(setting, told):
    assert told in " ".join(robustagg("recommend", "--set", setting, "-j", 1, code=2, columns=400).stderr.split())
    with pytest.raises(ValueError, match="minutes must be at least 0"):
        studies.recommend(minutes=-1)
