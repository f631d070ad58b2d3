"""The command line as a whole: help, missing packages, terminals; and the simulation and info commands."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line needs the cli extra")

from commandline import MAIN, files, ledger, python, robustagg
from rich.console import Console

import robustagg as ra
from robustagg import simulation
from robustagg.cli import screen
from robustagg.rules.table import RULES


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return ledger(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize("command", ["", "aggregate", "ledger", "ledger show", "ledger plot", "simulate", "info"])
def test_help(command: str) -> None:
    said = robustagg(*command.split(), "--help").stdout
    assert f"Usage: robustagg {command}".rstrip() in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_help_of_rules_names_those_that_are_for_python() -> None:
    said = " ".join(robustagg("rules", "--help").stdout.split())
    named = " and ".join(entry.name for entry in RULES if entry.asks)
    assert f"All but {named}, which ask for" in said


def test_the_help_says_what_is_usual_and_what_is_required() -> None:
    said = " ".join(robustagg("truth", "compare", "--help", columns=300).stdout.split())
    assert "[default: crh, crh+mwa, crh+mie, gtm, gtm+mwa, gtm+mie, reputation]" in said
    assert "optimised, adaptive. [default: all]" in said
    said = " ".join(robustagg("aggregate", "--help", columns=300).stdout.split())
    assert "Required by rules that remember clients, as the default, reputation, does." in said


def test_version() -> None:
    assert robustagg("--version").stdout == f"robustagg {ra.__version__}\n"


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_cli_extra(package: str) -> None:
    done = python(f"import sys; sys.modules[{package!r}] = None; {MAIN}", "info")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"robustagg: this needs {package}, which is not installed: pip install 'robustagg[cli]'\n"


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("sklearn", ["simulate", "--rounds", "1"]),
        ("matplotlib", ["simulate", "--rounds", "1000000"]),
        ("matplotlib", ["ledger", "plot", "{book}"]),
    ],
)
def test_without_the_sim_extra(package: str, command: list[str], book: Path) -> None:
    command = [word.format(book=book) for word in command]
    done = python(f"import sys; sys.modules[{package!r}] = None; {MAIN}", *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'robustagg[sim]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_backend_in_the_environment(tmp_path: Path) -> None:
    command = ("aggregate", *files(tmp_path), "--rule", "mean", "--out", tmp_path / "g.npz")
    done = python(MAIN, *command, ROBUSTAGG_BACKEND="abacus")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "robustagg: unknown backend 'abacus'; choose one of native, numba, numpy, cuda\n"


def test_traceback_on_request(book: Path) -> None:
    command = ("ledger", "show", f"{book}.not")
    done = python(MAIN, "--traceback", *command)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FileNotFoundError" in done.stderr
    assert python(MAIN, *command).stderr == f"robustagg: there is no ledger at {book}.not\n"


def test_whoever_stops_reading_sees_no_traceback(book: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", MAIN, "ledger", "show", str(book), "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_tables_fit_80_columns_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    monkeypatch.setattr(screen, "_console", lambda stderr=False: Console(file=buffer, width=80))
    reason = "least reputable of the round; 123456789 of 999999999 coordinates rejected"
    line = ("site-0001", True, 876543210, 123456789, 0.5, 0.0, reason)
    screen.table(("client", "admitted", "accepted", "rejected", "reputation", "weight", "reason"), [line])
    header, *lines = buffer.getvalue().splitlines()
    assert max(map(len, (header, *lines))) <= 80
    assert lines[0].split()[:6] == ["site-0001", "yes", "876543210", "123456789", "0.5000", "0.0000"]
    assert " ".join(line[header.index("reason") :] for line in lines).split() == reason.split()


def test_no_width_of_the_screen_loses_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    header, last = ("client", "admitted", "weight", "reason"), "equal_weight" * 2
    clients = [f"hospital-saint-mary-of-the-angels-site-{k}" for k in (3, 4)]
    for width in range(20, 90):
        buffer = io.StringIO()
        monkeypatch.setattr(screen, "_console", lambda stderr=False: Console(file=buffer, width=width))  # noqa: B023
        screen.table(header, [(client, True, 0.5, last) for client in clients])
        first, *lines = buffer.getvalue().splitlines()
        starts = [first.index(name) for name in header]
        columns = ["".join(line[i:j].strip() for line in lines) for i, j in pairwise([*starts, None])]
        assert columns == ["".join(clients), "yes" * 2, "0.5000" * 2, last * 2]
        assert len(lines) == 2 if width < 42 else len(first) <= width


def test_other_peoples_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    names = ["\x1b[2Jcleared", "[red]red[/red]", ":smile:", "two\nlines", "\udcff"]
    options = [word for name in names for word in ("--id", name)]
    done = robustagg("aggregate", *files(tmp_path), *options, "--rule", "mean", "--out", tmp_path / "g.npz")
    assert "\x1b" not in done.output
    rows = [line.split()[0] for line in done.stdout.splitlines()[3:8]]
    assert rows == ["\\x1b[2Jcleared", "[red]red[/red]", ":smile:", "two\\nlines", "\\udcff"]


def test_progress_is_shown_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    terminal = Console(file=buffer, force_terminal=True, width=80)
    real = screen._console
    monkeypatch.setattr(screen, "_console", lambda stderr=False: terminal if stderr else real())
    done = robustagg("aggregate", *files(tmp_path), "--rule", "mean", "--out", tmp_path / "g.npz", "--json")
    assert "Aggregating" in buffer.getvalue()
    assert json.loads(done.stdout)["rule"] == "Mean"


def test_simulate(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the simulation needs the sim extra")
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    out = tmp_path / "s.png"
    common = ("simulate", "--rounds", 2, "--clients", 4, "--attackers", 0.25, "--rule", "reputation", "--rule", "mean")
    done = robustagg(*common, "--attack", "sign-flip", "--out", out)
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == ["rule", "reputation", "mean"]
    assert f"Picture: {out}" in done.stdout
    assert out.read_bytes()[:4] == b"\x89PNG"
    said = json.loads(robustagg(*common, "--attack", "none", "--out", out, "--json").stdout)
    assert said["picture"] == str(out)


@pytest.mark.parametrize("rule", simulation.RULES)
def test_simulate_every_rule(rule: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the simulation needs the sim extra")
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    out = tmp_path / "s.svg"
    options = ("--rounds", 1, "--clients", 7, "--epochs", 1, "--attack", "sign-flip", "--out", out, "--json")
    said = json.loads(robustagg("simulate", "--rule", rule, *options).stdout)
    assert [run["rule"] for run in said["rules"]] == [rule]
    assert "<svg" in out.read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--attack", "kindness"], "'kindness'"),
        (["--rule", "meden"], "'meden'"),
        (["--clients", "0"], "clients must be"),
        (["--attackers", "1.5"], "attackers must be"),
        (["--option", "strength=3"], "strength"),
        (["--option", "strength"], "NAME=VALUE"),
        (["--rule", "mean", "--rule", "mean"], "each rule once"),
        (["--out", "/nowhere/at/all.png"], "there is no folder"),
        (["--out", "picture"], "its suffix must be one of"),
        (["--out", "/dev/null/picture.png"], "there is no folder"),
    ],
)
def test_simulate_what_there_is_not(options: list[str], told: str) -> None:
    words = " ".join(robustagg("simulate", *options, code=2).stderr.replace("│", " ").split())
    assert told in words


def test_a_picture_that_cannot_be_written_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(simulation, "simulate", lambda *_: pytest.fail("the work has begun"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    said = robustagg("simulate", "--out", tmp_path / "s.png", code=2, columns=200).stderr
    assert "cannot be written: permission denied" in said


def test_info() -> None:
    found = json.loads(robustagg("info", "--json").stdout)
    assert found["robustagg"] == ra.__version__
    assert found["packages"]["numpy"] == np.__version__
    said = robustagg("info").stdout
    assert f"numpy        {np.__version__}" in said
    assert re.search("native +available", said) or "The native core is missing" in said


def test_info_without_the_native_core() -> None:
    done = python(f"import sys; sys.modules['robustagg.kernels._native'] = None; {MAIN}", "info", ROBUSTAGG_BACKEND="")
    assert done.returncode == 0
    assert "The native core is missing" in done.stdout
    assert "GCC or Clang" in done.stdout
