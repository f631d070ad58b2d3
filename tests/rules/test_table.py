"""The table of rules is complete and true, and what is made from it is current."""

from __future__ import annotations

import importlib.util
import inspect
import json
from dataclasses import fields
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

pytest.importorskip("typer", reason="the command line needs the cli extra")

from commandline import robustagg

import robustagg as ra
from robustagg.rules.mixing.base import PreAggregation
from robustagg.rules.table import PREAGGREGATIONS, RULES, Entry, rule_against

ROOT = Path(__file__).parents[2]

every_rule = pytest.mark.parametrize("entry", RULES, ids=lambda entry: entry.name)


def public(base: type) -> set[type]:
    found = {value for name in ra.__all__ if inspect.isclass(value := getattr(ra, name)) and issubclass(value, base)}
    return found - {ra.Rule, ra.Pipeline, ra.PreAggregation}


def test_every_public_rule_stands_in_the_table():
    assert {entry.kind for entry in RULES} == public(ra.Rule)
    assert {entry.kind for entry in PREAGGREGATIONS} == public(PreAggregation)
    names = [entry.name for entry in RULES + PREAGGREGATIONS]
    assert len(set(names)) == len(names)


@every_rule
def test_the_rule_needs_as_many_clients_as_the_table_says(entry: Entry):
    extras = {name: np.ones(3) for name in entry.asks.split()}
    for f in range(3):
        a, b = entry.kind.needs or (0, 1)
        least = a * f + b
        rule = rule_against(entry.name, least, f)
        updates = np.random.default_rng(0).normal(size=(least, 3))
        assert rule.aggregate(updates, **extras).admitted.all()
        if least > 1:
            with pytest.raises(ValueError, match=f"needs .*; {least - 1} clients are admitted"):
                rule.aggregate(updates[1:], **extras)


@pytest.mark.parametrize("entry", [entry for entry in RULES if entry.passes > 1], ids=lambda entry: entry.name)
def test_a_rule_reads_as_often_as_the_table_says(entry: Entry, monkeypatch):
    read, observe = [], entry.kind.observe
    monkeypatch.setattr(entry.kind, "observe", lambda *arguments: (read.append(1), observe(*arguments))[1])
    extras = {name: np.ones(3) for name in entry.asks.split()}
    rule_against(entry.name, 12, 1).aggregate(np.ones((12, 3)), **extras)  # where nothing is left to iterate
    assert 1 + len(read) == entry.passes


@every_rule
def test_a_rule_without_f_has_no_f(entry: Entry):
    assert (entry.kind.needs is not None) == ("f" in {field.name for field in fields(entry.kind)})


@every_rule
def test_the_rule_against_attackers(entry: Entry):
    extras = {name: np.ones(3) for name in entry.asks.split()}
    for n, f in ((11, 2), (7, 3)):
        rule = rule_against(entry.name, n, f)
        rule.aggregate(np.random.default_rng(0).normal(size=(n, 3)), **extras)
        if entry.kind.needs:
            assert rule.f == min(f, (n - entry.kind.needs[1]) // entry.kind.needs[0])


@every_rule
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_float32_rounded(entry: Entry, dtype):
    values = np.random.default_rng(0).normal(size=(11, 300)).astype(dtype)
    updates, extras = values.astype(np.float32), dict.fromkeys(entry.asks.split(), np.ones(300, dtype))
    found = rule_against(entry.name, 11, 2).aggregate(values, **extras)
    wide = rule_against(entry.name, 11, 2).aggregate(
        updates, **{name: x.astype(np.float32) for name, x in extras.items()}
    )
    assert found.update.dtype == dtype
    assert_array_equal(found.update.astype(np.float32), wide.update.astype(dtype).astype(np.float32))
    assert_array_equal(found.weights, wide.weights)


@every_rule
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_the_largest_halves_have_a_finite_result(entry: Entry, dtype):
    extras = dict.fromkeys(entry.asks.split(), np.ones(2, dtype))
    largest = np.array(ml_dtypes.finfo(dtype).max, dtype)
    for signs in (np.ones(11), np.resize([1, -1], 11)):
        updates = np.column_stack([signs, -signs]).astype(dtype) * largest
        assert np.isfinite(rule_against(entry.name, 11, 2).aggregate(updates, **extras).update.astype(np.float64)).all()


@every_rule
def test_what_the_table_says_of_memory_and_samples(entry: Entry):
    rule = rule_against(entry.name, 11, 2)
    assert rule.remembers == bool(entry.state)
    assert entry.weighs_samples == rule.weighs_samples
    rule.aggregate(np.eye(11), **dict.fromkeys(entry.asks.split(), np.ones(11)))
    state = rule.state_dict()
    own = state.keys() - {"rule", "parameters", "round", "vectors"}
    assert bool(state["vectors"] or own) == bool(entry.state)


def test_the_pages_are_current():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / "rules.md").read_text("utf-8") == generate.rules()


# --- the command line -----------------------------------------------------------------------------------------------


def test_rules_are_listed():
    assert "Usage: robustagg rules" in robustagg("rules", "--help").stdout
    said = robustagg("rules", columns=200).stdout
    for entry in RULES + PREAGGREGATIONS:
        assert f"{entry.name} " in said
    told = json.loads(robustagg("rules", "--json").stdout)
    assert [fact["name"] for fact in told["rules"]] == [entry.name for entry in RULES]
    assert {fact["class"] for fact in told["pre-aggregations"]} == {entry.kind.__name__ for entry in PREAGGREGATIONS}


@pytest.mark.parametrize(
    "entry", [entry for entry in RULES if not entry.state.endswith("ledger")], ids=lambda e: e.name
)
def test_every_unaided_rule_aggregates_files(entry: Entry, tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    for i, row in enumerate(x):
        np.save(tmp_path / f"c{i}.npy", row)
    parameters = ["--param", "f=1"] if entry.kind.needs else []
    parameters += [f"--param={name}={value}" for name, value in entry.given(7, 1).items()]
    parameters += ["--ledger", tmp_path / "ledger"] if rule_against(entry.name, 7, 1).by_client else []
    parameters += ["--param", "reference=c0"] if entry.name == "monna" else []
    out = tmp_path / "out.npy"
    paths = sorted(tmp_path.glob("*.npy"))
    command = ["aggregate", *paths, "--out", out, "--rule", entry.name, *parameters]
    if entry.asks:
        assert f"gets its {entry.asks}" in " ".join(robustagg(*command, code=2).stderr.split())
        return
    robustagg(*command)
    expected = rule_against(entry.name, 7, 1)
    if entry.name == "monna":
        expected.reference = "c0"
    clients = [path.stem for path in paths]
    np.testing.assert_array_equal(np.load(out), expected.aggregate(x, clients=clients).update)


@pytest.mark.parametrize(
    ("written", "meant"), [("medain", "median"), ("TrimmedMean", "trimmed-mean"), ("multi_krum", "multi-krum")]
)
def test_a_misspelt_rule_is_told_which_is_near(written, meant):
    with pytest.raises(ValueError, match=f"got '{written}'; did you mean '{meant}'\\?$"):
        ra.rule(written, f=1)


def test_a_missing_parameter_is_named(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.ones(3))
    done = robustagg("aggregate", tmp_path / "a.npy", "--out", tmp_path / "out.npy", "--rule", "krum", code=2)
    assert "the rule krum needs its parameter f: give f=VALUE" in " ".join(done.stderr.replace("│", " ").split())
