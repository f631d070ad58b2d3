"""What the documentation shows works: the rule of a user's own file, from its laws to the simulation."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robustagg.studies import load_scenarios, load_study

pytest.importorskip("typer", reason="the command line needs the cli extra")

EXAMPLES = ("tensors.md",)
"""Pages whose examples are run as one."""
DOCS = Path(__file__).parents[1] / "docs"
RULE, LAWS = re.findall(r"```python\n(.*?)```", (DOCS / "writing-rules.md").read_text("utf-8"), re.DOTALL)

FILES = """
import numpy as np, robustagg as ra
from lengths import ShortOnes
paths = [f"{name}.npy" for name in "abcde"]
rule = ShortOnes(longest=1.5)
ra.aggregate_files(rule, paths, "out.npy")
rule.save("state")
"""
ANOTHER_PROCESS = """
import robustagg as ra
from lengths import ShortOnes
rule = ShortOnes.load("state")
assert rule.longest == 1.5 and rule.last_round == 1
ra.Pipeline(ra.NNM(f=1), rule).save("pipeline")
assert ra.Pipeline.load("pipeline").last.longest == 1.5
"""


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rule_in_a_users_own_file(tmp_path):
    (tmp_path / "lengths.py").write_text(RULE, "utf-8")
    run(tmp_path, "-W", "error", "-c", LAWS)
    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    x[4] *= 100
    for name, row in zip("abcde", x, strict=True):
        np.save(tmp_path / f"{name}.npy", row)
    run(tmp_path, "-c", FILES)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), x[:4].mean(axis=0), rtol=1e-6, atol=1e-6)
    run(tmp_path, "-c", ANOTHER_PROCESS)
    command = (
        "-c",
        "from robustagg.cli import main; main()",
        "simulate",
        "--rule",
        "lengths:ShortOnes",
        "--rounds",
        "1",
    )
    assert "lengths:ShortOnes" in run(tmp_path, *command)


def test_the_examples_of_the_guarantees():
    assert doctest.testfile(str(DOCS / "guarantees.md"), module_relative=False).failed == 0


def test_the_study_of_the_studies_page(tmp_path):
    pytest.importorskip("sklearn", reason="studies need the sim extra")
    text = (DOCS / "studies.md").read_text("utf-8")
    file, scenario = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "small.toml").write_text(file, "utf-8")
    (tmp_path / "scenario.toml").write_text(scenario, "utf-8")
    assert [panel.rounds for panel in load_scenarios(tmp_path / "scenario.toml")] == [30]
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    said = run(tmp_path, "-W", "error", "-c", "\n".join(programs))
    assert said.count("near the best in") == 2


def test_the_studies_of_the_repository_can_be_read():
    """Where their data are not at hand, with others in their place."""
    paths = sorted((DOCS.parent / "studies").rglob("*.toml"))
    scenarios = [path for path in paths if "[[panels]]" in path.read_text("utf-8")]
    assert sum(len(load_scenarios(path)) for path in scenarios) >= 6
    for path in set(paths) - set(scenarios):
        assert load_study(path, {"task": "digits"}).runs > 0


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_of_a_page(page):
    pytest.importorskip("torch", reason="the page's modules are torch's")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    exec(compile("\n".join(blocks), page, "exec"), {"__name__": page})


def test_the_first_page_works(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "start.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    assert "eve" in run(tmp_path, "-W", "error", "-c", "\n".join(blocks))
