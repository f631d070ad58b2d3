"""The command line as people and machines use it: what is printed, what is written, what the exit code says."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line needs the cli extra")

from rich.console import Console
from typer.testing import CliRunner

import robustagg as ra
from robustagg import ledger as ledgers
from robustagg.cli import screen
from robustagg.cli.app import app

NAMES = ("berlin", "lima", "osaka", "quito", "tunis")
MAIN = "from robustagg.cli import main; main()"


def updates(round: int = 0) -> dict[str, dict[str, Any]]:
    """A model of two tensors from five clients, of whom lima is far off."""
    rng = np.random.default_rng(round)
    base = {"bias": rng.normal(size=7), "weight": rng.normal(size=(6, 5))}
    shift = dict.fromkeys(NAMES, 0.0) | {"lima": 1.0}
    noise = {name: {key: rng.normal(0, 0.01, value.shape) for key, value in base.items()} for name in NAMES}
    return {
        name: {key: (value + noise[name][key] + shift[name]).astype(np.float32) for key, value in base.items()}
        for name in NAMES
    }


def files(folder: Path, round: int = 0) -> list[str]:
    paths = [folder / f"{name}.npz" for name in NAMES]
    for path, update in zip(paths, updates(round).values(), strict=True):
        np.savez(path, **update)
    return list(map(str, paths))


def robustagg(*arguments: object, code: int = 0, columns: int | None = 80) -> Any:
    """Run in this process; the exit code is what it should be, and nothing escapes as a traceback."""
    environment = {"COLUMNS": None if columns is None else str(columns)}
    done = CliRunner().invoke(app, list(map(str, arguments)), env=environment, prog_name="robustagg")
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit | None)
    return done


def python(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own, as a person's shell would."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False, timeout=120
    )


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A ledger of three rounds; in the third, osaka sends a NaN, and a client numbered 7 joins."""
    path, rule = tmp_path / "ledger.sqlite", ra.Reputation()
    for round in (1, 2, 3):
        sent: dict[Any, Any] = updates(round)
        if round == 3:
            sent["osaka"]["bias"][0] = np.nan
            sent[7] = sent["tunis"]
        rule.aggregate(sent)
        rule.save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where updates go; nothing unfinished is left there."""
    out = tmp_path / "out"
    out.mkdir()
    yield out
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


# --- aggregate ------------------------------------------------------------------------------------------------------


def test_aggregate_is_the_api_and_remembers(tmp_path: Path, folder: Path) -> None:
    rule, book = ra.Reputation(), tmp_path / "ledger.sqlite"
    for round in (1, 2):
        done = robustagg("aggregate", *files(tmp_path, round), "--ledger", book, "--out", folder / "g.npz", "--json")
        expected = rule.aggregate(updates(round))
        said = json.loads(done.stdout)
        assert said == {**expected.to_dict(), "out": str(folder / "g.npz"), "ledger": str(book)}
        with np.load(folder / "g.npz") as written:
            assert all(written[key].tobytes() == value.tobytes() for key, value in expected.update.items())
    assert said["round"] == 2
    assert ra.Reputation.load(book).last_round == 2


def test_aggregate_prints_a_table(tmp_path: Path, folder: Path) -> None:
    bad = tmp_path / "zagreb.npz"
    bad.write_bytes(b"nonsense")
    done = robustagg(
        "aggregate", *files(tmp_path), bad, "-l", tmp_path / "l.sqlite", "-o", folder / "g.npz", columns=None
    )
    head, _, header, *lines = done.stdout.splitlines()
    assert head == "Reputation, round 1: 5 of 6 clients admitted"
    assert header.split() == ["client", "admitted", "accepted", "rejected", "reputation", "weight", "reason"]
    rows = {line.split()[0]: line for line in lines[:6]}
    assert re.fullmatch(r"lima +yes +\d+ +\d+ +0\.\d{4} +0\.0000  least reputable of the round.*", rows["lima"])
    assert re.fullmatch(r"zagreb +no +0 +37 +0\.\d{4} +0\.0000  not admitted: .*", rows["zagreb"])
    assert f"Update: {folder / 'g.npz'}" in done.stdout
    assert f"Ledger: {tmp_path / 'l.sqlite'} (new)" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (["mean"], ra.Mean()),
        (["median"], ra.Median()),
        (["trimmed-mean", "-p", "f=1"], ra.TrimmedMean(f=1)),
        (["trimmed-mean", "--param", "beta=0.4"], ra.TrimmedMean(beta=0.4)),
    ],
)
def test_aggregate_with_the_other_rules(name: list[str], rule: ra.Rule, tmp_path: Path, folder: Path) -> None:
    robustagg("aggregate", *files(tmp_path), "--out", folder / "g.npz", "--rule", *name)
    with np.load(folder / "g.npz") as written:
        for key, value in rule(updates()).items():
            assert written[key].tobytes() == value.tobytes()


def test_ids_and_sample_counts(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "counts.json").write_text('{"a": 3, "b": 1.0}')
    two = files(tmp_path)[:2]
    options = ("--rule", "mean", "--id", "a", "--id", "b", "--sample-counts", tmp_path / "counts.json", "--json")
    said = json.loads(robustagg("aggregate", *two, "--out", folder / "g.npz", *options).stdout)
    assert (said["clients"], said["weights"]) == (["a", "b"], [0.75, 0.25])


def test_parameters_make_a_ledger_and_stay_with_it(tmp_path: Path, folder: Path) -> None:
    common = ("aggregate", *files(tmp_path), "--ledger", tmp_path / "l.sqlite", "--out", folder / "g.npz")
    robustagg(*common, "-p", "window=none", "-p", "decay=0.1", "-p", "interval-width=3", "-p", "intercept=median_point")
    robustagg(*common)
    robustagg(*common, "--param", "decay=0.1")
    rule = ra.Reputation.load(tmp_path / "l.sqlite")
    assert (rule.window, rule.decay, rule.interval_width, rule.intercept) == (None, 0.1, 3, "median_point")
    assert rule.last_round == 3


FAILURES = {
    "other parameters": (["--ledger", "{book}", "-p", "window=20"], "window = 10 (here 20)"),
    "a round of the past": (["--ledger", "{book}", "--round", "3"], "round 3 is not later"),
    "no ledger but a file": (["--ledger", "{tmp}/berlin.npz"], "berlin.npz is not a ledger"),
    "a broken file": (["--rule", "mean", "--strict", "{tmp}/broken.npz"], "client 'broken'"),
    "too few clients": (["--rule", "trimmed-mean", "-p", "f=3"], "more than 2f = 6 clients; 5 clients"),
    "the same client twice": (["--rule", "mean", "{tmp}/berlin.npz"], "'berlin'"),
    "too few ids": (["--rule", "mean", "--id", "one"], "1 client ids for 5 updates"),
    "memory that is no size": (["--rule", "mean", "--max-memory", "12kk"], "'12kk'"),
    "no sample count": (["--rule", "mean", "--sample-counts", "{tmp}/counts.json"], "'lima'"),
    "sample counts of text": (["--rule", "mean", "--sample-counts", "{tmp}/text.json"], "'many' for client 'berlin'"),
    "sample counts in a list": (["--rule", "mean", "--sample-counts", "{tmp}/list.json"], "not an object"),
    "sample counts not in JSON": (["--rule", "mean", "--sample-counts", "{tmp}/berlin.npz"], "JSON object"),
    "samples to the median": (["--rule", "median", "--sample-counts", "{tmp}/all.json"], "does not weigh by sample"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_round_says_why_and_changes_nothing(case: str, tmp_path: Path, folder: Path, book: Path) -> None:
    given = files(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"nonsense")
    (tmp_path / "counts.json").write_text('{"berlin": 1}')
    (tmp_path / "text.json").write_text('{"berlin": "many"}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "all.json").write_text(json.dumps(dict.fromkeys(NAMES, 1)))
    (folder / "g.npz").write_text("the last round's")
    before, (options, told) = book.read_bytes(), FAILURES[case]
    options = [option.format(book=book, tmp=tmp_path) for option in options]
    done = robustagg("aggregate", *given, "--out", folder / "g.npz", *options, code=1)
    assert re.match("robustagg: .", done.stderr)
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert (folder / "g.npz").read_text() == "the last round's"
    assert book.read_bytes() == before


USAGE = {
    "no rule of that name": (["--rule", "meden"], "'median'"),
    "no parameter of that name": (["--ledger", "{tmp}/l", "-p", "windw=20"], "'windw'; it has nonfinite=reject"),
    "no value": (["--ledger", "{tmp}/l", "-p", "decay"], "NAME=VALUE"),
    "a value out of range": (["--ledger", "{tmp}/l", "-p", "decay=-1"], "decay must be at least 0"),
    "a value of the wrong kind": (["--ledger", "{tmp}/l", "-p", "window=many"], "window must be an integer"),
    "parameters that exclude each other": (["--rule", "trimmed-mean", "-p", "f=1", "-p", "beta=0.1"], "not both"),
    "reputation without a ledger": ([], "--ledger"),
    "a ledger without reputation": (["--rule", "mean", "--ledger", "{tmp}/l"], "leave out --ledger"),
    "no folder for the update": (["--rule", "mean", "--out", "{tmp}/no/g.npz"], "there is no folder"),
    "no folder for the ledger": (["--ledger", "{tmp}/no/l.sqlite"], "there is no folder"),
    "a folder for the update": (["--rule", "mean", "--out", "{tmp}"], "directory"),
    "a format that cannot be written": (["--rule", "mean", "--out", "{tmp}/g.txt"], "suffix"),
    "an update over an input": (["--rule", "mean", "--out", "{tmp}/lima.npz"], "lima.npz"),
    "a negative round": (["--ledger", "{tmp}/l", "--round", "-1"], "--round"),
    "no file of sample counts": (["--rule", "mean", "--sample-counts", "{tmp}/nothing"], "nothing"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_told_before_any_work(case: str, tmp_path: Path, folder: Path) -> None:
    options, told = USAGE[case]
    given, before = files(tmp_path), sorted(tmp_path.iterdir())
    out = [] if "--out" in options else ["--out", folder / "g.npz"]
    done = robustagg("aggregate", *given, *out, *(option.format(tmp=tmp_path) for option in options), code=2)
    words = " ".join(done.stderr.replace("│", " ").split())
    assert told in words
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before
    assert list(folder.iterdir()) == []


def test_a_round_that_the_ledger_refuses_leaves_no_update(
    tmp_path: Path, folder: Path, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(rule: ra.Reputation, path: Path) -> None:
        raise ra.InvalidLedger("written by someone else")

    monkeypatch.setattr(ra.Reputation, "save", overtaken)
    robustagg("aggregate", *files(tmp_path), "--ledger", book, "--out", folder / "g.npz", code=1)
    assert list(folder.iterdir()) == []


STOPPED = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("name", STOPPED)
def test_stopped_in_the_middle(name: str, tmp_path: Path, book: Path) -> None:
    """At the last moment before the ledger is written: no update, and the ledger as it was."""
    stall = (
        "import time, robustagg; robustagg.Reputation.save = lambda *_: print('saving', flush=True) or time.sleep(60); "
    )
    out, before = tmp_path / "out", book.read_bytes()
    out.mkdir()
    command = ["aggregate", *files(tmp_path), "--ledger", str(book), "--out", str(out / "g.npz")]
    process = subprocess.Popen(
        [sys.executable, "-c", stall + MAIN, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saving\n"
        process.send_signal(getattr(signal, name))
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == STOPPED[name]
    assert "Traceback" not in stderr
    assert not (out / "g.npz").exists()
    assert book.read_bytes() == before
    assert ra.Reputation.load(book).last_round == 3
    assert name == "SIGKILL" or list(out.iterdir()) == []


# --- ledger ---------------------------------------------------------------------------------------------------------


def test_show_the_rounds(book: Path) -> None:
    done = robustagg("ledger", "show", book)
    assert f"{book}: 6 clients, 3 rounds" in done.stdout.replace("\n", "")
    assert "decay 0.5" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[-3:]] == ["1", "2", "3"]
    assert done.stdout.splitlines()[-1].split()[-2:] == ["6", "5"]
    said = json.loads(robustagg("ledger", "show", book, "--json").stdout)
    assert said["rounds"] == ledgers.rounds(book)
    assert said["parameters"] == ra.Reputation().parameters
    assert said["clients"] == 6


def test_show_a_client_and_a_round(book: Path) -> None:
    done = robustagg("ledger", "show", book, "--client", "lima", columns=None)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["round", "1", "2", "3"]
    done = robustagg("ledger", "show", book, "--round", 3, columns=None)
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"client", "7", *NAMES}
    assert "NaN or infinite" in done.stdout
    said = json.loads(robustagg("ledger", "show", book, "--round", 3, "--json").stdout)
    assert said["observations"] == ledgers.history(book, round=3)


def test_why_was_limas_weight_0(book: Path) -> None:
    done = robustagg("ledger", "show", book, "--client", "lima", "--round", 2)
    assert "In round 2, client lima had weight 0.0000: least reputable of the round" in done.stdout
    said = json.loads(robustagg("ledger", "show", book, "--client", "lima", "--round", 2, "--json").stdout)
    assert [line["weight"] for line in said["observations"]] == [0.0]


def test_a_client_whose_id_is_a_number(book: Path) -> None:
    assert "client 7 had" in robustagg("ledger", "show", book, "--client", 7, "--round", 3).stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["{book}", "--client", "oslo"], "no record of client 'oslo'"),
        (["{book}", "--client", "77"], "no record of client '77'"),
        (["{book}", "--round", "4"], "no record of round 4"),
        (["{book}", "--round", "4", "--client", "lima"], "client 'lima' in round 4"),
        (["{book}.not"], "there is no ledger"),
        (["{tmp}/text"], "not a ledger"),
    ],
)
def test_what_a_ledger_cannot_answer(options: list[str], told: str, book: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("words, " * 99)
    done = robustagg("ledger", "show", *(option.format(book=book, tmp=tmp_path) for option in options), code=1)
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot(suffix: str, book: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    out = tmp_path / f"picture.{suffix}"
    assert f"Picture: {out}" in robustagg("ledger", "plot", book, "--out", out).stdout
    assert out.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    assert json.loads(robustagg("ledger", "plot", book, "--out", out, "--json").stdout)["out"] == str(out)


def test_plot_of_many_clients_with_names_that_mean_something_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    rule, book, out = ra.Reputation(), tmp_path / "l.sqlite", tmp_path / "p.svg"
    names = ["_hidden", "$x", "a$b$c", "\x1b[31mred", "long" * 20, *range(30)]
    for _ in range(3):
        rule.aggregate(np.random.default_rng(0).normal(0, 0.01, (len(names), 20)), clients=names)
        rule.save(book)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        robustagg("ledger", "plot", book, "--out", out)
    picture = out.read_text()
    assert picture.count('<g id="line2d_') > len(names)
    assert "Reputation of 35 clients; named: the 10 least reputable" in picture


def test_plot_in_a_format_that_there_is_not(book: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    assert "xyz" in robustagg("ledger", "plot", book, "--out", tmp_path / "p.xyz", code=1).stderr
    assert not (tmp_path / "p.xyz").exists()


# --- simulate and info ----------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--attack", "kindness"], "'kindness'"),
        (["--rule", "meden"], "'meden'"),
        (["--clients", "0"], "clients must be"),
        (["--attackers", "1.5"], "attackers must be"),
        (["--option", "strength=3"], "strength"),
        (["--option", "strength"], "NAME=VALUE"),
        (["--out", "/nowhere/at/all.png"], "there is no folder"),
    ],
)
def test_simulate_what_there_is_not(options: list[str], told: str) -> None:
    words = " ".join(robustagg("simulate", *options, code=2).stderr.replace("│", " ").split())
    assert told in words


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


# --- all commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "aggregate", "ledger", "ledger show", "ledger plot", "simulate", "info"])
def test_help(command: str) -> None:
    said = robustagg(*command.split(), "--help").stdout
    assert f"Usage: robustagg {command}".rstrip() in said
    assert max(map(len, said.splitlines())) <= 80


def test_version() -> None:
    assert robustagg("--version").stdout == f"robustagg {ra.__version__}\n"


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_cli_extra(package: str) -> None:
    done = python(f"import sys; sys.modules[{package!r}] = None; {MAIN}", "info")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"robustagg: this needs {package}, which is not installed: pip install 'robustagg[cli]'\n"


@pytest.mark.parametrize(
    ("package", "command"), [("sklearn", ["simulate", "--rounds", "1"]), ("matplotlib", ["ledger", "plot", "{book}"])]
)
def test_without_the_sim_extra(package: str, command: list[str], book: Path) -> None:
    command = [word.format(book=book) for word in command]
    done = python(f"import sys; sys.modules[{package!r}] = None; {MAIN}", *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'robustagg[sim]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_backend_in_the_environment(tmp_path: Path, folder: Path) -> None:
    command = ("aggregate", *files(tmp_path), "--rule", "mean", "--out", folder / "g.npz")
    done = python(MAIN, *command, ROBUSTAGG_BACKEND="abacus")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "robustagg: unknown backend 'abacus'; choose one of native, numba, numpy\n"


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


def test_other_peoples_names_cannot_steer_the_terminal(tmp_path: Path, folder: Path) -> None:
    names = ["\x1b[2Jcleared", "[red]red[/red]", ":smile:", "two\nlines", "\udcff"]
    options = [word for name in names for word in ("--id", name)]
    done = robustagg("aggregate", *files(tmp_path), *options, "--rule", "mean", "--out", folder / "g.npz")
    assert "\x1b" not in done.output
    rows = [line.split()[0] for line in done.stdout.splitlines()[3:8]]
    assert rows == ["\\x1b[2Jcleared", "[red]red[/red]", ":smile:", "two\\nlines", "\\udcff"]


def test_progress_is_shown_on_a_terminal(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    terminal = Console(file=buffer, force_terminal=True, width=80)
    real = screen._console
    monkeypatch.setattr(screen, "_console", lambda stderr=False: terminal if stderr else real())
    done = robustagg("aggregate", *files(tmp_path), "--rule", "mean", "--out", folder / "g.npz", "--json")
    assert "Aggregating" in buffer.getvalue()
    assert json.loads(done.stdout)["rule"] == "Mean"
