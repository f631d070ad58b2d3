"""``robustagg aggregate``: what is printed, what is written, what the exit code says."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line needs the cli extra")

from commandline import MAIN, NAMES, files, ledger, python, robustagg, updates

import robustagg as ra


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where updates go; nothing unfinished is left there."""
    out = tmp_path / "out"
    out.mkdir()
    yield out
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


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


def test_a_file_that_may_not_be_read_leaves_its_client_out(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, opened = files(tmp_path), os.open

    def denied(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path) == given[1]:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", denied)  # root may read anything
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)
    done = robustagg("aggregate", *given, "--rule", "mean", "--out", folder / "g.npz", "--json")
    said = json.loads(done.stdout)
    assert said["admitted"] == [name != "lima" for name in NAMES]
    assert "Permission denied" in said["reasons"][1]
    done = robustagg("aggregate", *given, "--rule", "mean", "--out", folder / "g.npz", "--strict", code=1)
    assert "client 'lima'" in done.stderr


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


@pytest.mark.parametrize(("name", "make"), [("foolsgold", ra.FoolsGold), ("centered-clipping", ra.CenteredClipping)])
def test_a_ledger_keeps_what_any_rule_remembers(name: str, make: type[ra.Rule], tmp_path: Path, folder: Path) -> None:
    rule, book = make(), tmp_path / "ledger.npz"
    for round in (1, 2, 3):
        given = files(tmp_path, round)
        robustagg("aggregate", *given[round - 1 :], "--rule", name, "--ledger", book, "--out", folder / "g.npz")
        expected = rule.aggregate(dict(list(updates(round).items())[round - 1 :]))
        with np.load(folder / "g.npz") as written:
            assert all(written[key].tobytes() == value.tobytes() for key, value in expected.update.items())
    assert make.load(book).last_round == 3
    parameter = "kappa=2" if name == "foolsgold" else "tau=3"
    done = robustagg("aggregate", *given, "-r", name, "-l", book, "-o", folder / "g.npz", "-p", parameter, code=1)
    assert "written with other parameters" in done.stderr


def test_a_ledger_keeps_the_trail_of_a_rule_that_remembers_nothing(tmp_path: Path, folder: Path) -> None:
    common = (
        "aggregate",
        *files(tmp_path),
        "--rule",
        "median",
        "--ledger",
        tmp_path / "l.sqlite",
        "--out",
        folder / "g.npz",
    )
    robustagg(*common)
    robustagg(*common)
    assert [line["round"] for line in ra.ledger.rounds(tmp_path / "l.sqlite")] == [1, 2]
    assert "equal weight" in robustagg("ledger", "show", tmp_path / "l.sqlite", "--round", "2").stdout


def test_a_ledger_of_the_published_settings_is_warned_of(tmp_path: Path, folder: Path) -> None:
    common = ("aggregate", *files(tmp_path), "--ledger", tmp_path / "l.sqlite", "--out", folder / "g.npz")
    asked = robustagg(*common, "-p", "rescale=paper")
    assert "warning" not in asked.stderr
    assert "rescale = 'paper', which one client can steer" in robustagg(*common).stderr


def test_whole_models_with_their_reference(tmp_path: Path, folder: Path) -> None:
    center, paths = tmp_path / "center.npz", files(tmp_path)
    np.savez(center, **{name: 2 * values for name, values in updates()[NAMES[0]].items()})
    asked = ("aggregate", *paths, "-r", "centered-clipping", "--reference", center, "--json", "-o")
    said = json.loads(robustagg(*asked, folder / "g.npz").stdout)
    with np.load(center) as tree:
        expected = ra.CenteredClipping().aggregate(updates(), reference=dict(tree))
    assert said["weights"] == expected.weights.tolist()
    with np.load(folder / "g.npz") as written:
        assert all(written[key].tobytes() == value.tobytes() for key, value in expected.update.items())
    robustagg("aggregate", *paths, "--reference", center, "-o", center, code=2)


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
    "no ledger but a file": (["--ledger", "{tmp}/broken.npz"], "broken.npz is not a ledger"),
    "a ledger of another rule": (
        ["--rule", "foolsgold", "--ledger", "{book}"],
        "state of 'Reputation', not of 'FoolsGold'",
    ),
    "a broken file": (["--rule", "mean", "--strict", "{tmp}/broken.npz"], "client 'broken'"),
    "too few clients": (["--rule", "trimmed-mean", "-p", "f=3"], "more than 2f = 6 clients; 5 clients"),
    "no sample count": (["--rule", "mean", "--sample-counts", "{tmp}/counts.json"], "'lima'"),
    "a file for one tensor": (
        ["--rule", "mean", "--out", "{tmp}/out/g.npy"],
        "cannot write g.npy: a .npy file holds one",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_round_says_why_and_changes_nothing(case: str, tmp_path: Path, folder: Path, book: Path) -> None:
    given = files(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"nonsense")
    (tmp_path / "counts.json").write_text('{"berlin": 1}')
    (folder / "g.npz").write_text("the last round's")
    before, (options, told) = book.read_bytes(), FAILURES[case]
    options = [option.format(book=book, tmp=tmp_path) for option in options]
    out = [] if "--out" in options else ["--out", folder / "g.npz"]
    done = robustagg("aggregate", *given, *out, *options, code=1)
    assert re.match("robustagg: .", done.stderr)
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert (folder / "g.npz").read_text() == "the last round's"
    assert book.read_bytes() == before


USAGE = {
    "two rules": (["--rule", "mean", "--rule", "median"], "'--rule' / '-r': it is given more than once"),
    "a pre-aggregation alone": (["--rule", "nnm(f=1)"], "nnm is no rule but a pre-aggregation"),
    "no rule of that name": (["--rule", "meden"], "'median'"),
    "no parameter of that name": (["--ledger", "{tmp}/l", "-p", "windw=20"], "'windw'; it has nonfinite=reject"),
    "no value": (["--ledger", "{tmp}/l", "-p", "decay"], "NAME=VALUE"),
    "a value out of range": (["--ledger", "{tmp}/l", "-p", "decay=-1"], "decay must be at least 0"),
    "a value of the wrong kind": (["--ledger", "{tmp}/l", "-p", "window=many"], "window must be an integer"),
    "parameters that exclude each other": (["--rule", "trimmed-mean", "-p", "f=1", "-p", "beta=0.1"], "not both"),
    "reputation without a ledger": ([], "--ledger"),
    "foolsgold without a ledger": (["--rule", "foolsgold"], "foolsgold remembers the clients: say where with --ledger"),
    "no folder for the update": (["--rule", "mean", "--out", "{tmp}/no/g.npz"], "there is no folder"),
    "no folder for the ledger": (["--ledger", "{tmp}/no/l.sqlite"], "there is no folder"),
    "a folder for the update": (["--rule", "mean", "--out", "{tmp}"], "directory"),
    "a format that cannot be written": (["--rule", "mean", "--out", "{tmp}/g.txt"], "suffix"),
    "an update over an input": (["--rule", "mean", "--out", "{tmp}/lima.npz"], "lima.npz"),
    "a ledger for the update": (["--ledger", "{tmp}/l", "--out", "{tmp}/l"], "suffix"),
    "a ledger over the update": (["--ledger", "{tmp}/l.npz", "--out", "{tmp}/../{tmp.name}/l.npz"], "overwritten"),
    "a ledger over an input": (["--ledger", "{tmp}/lima.npz"], "overwritten"),
    "a negative round": (["--ledger", "{tmp}/l", "--round", "-1"], "--round"),
    "memory of 400 digits": (["--rule", "mean", "--max-memory", "9" * 400], "max_memory must be"),
    "the same client twice": (["--rule", "mean", "{tmp}/berlin.npz"], "'berlin'"),
    "too few ids": (["--rule", "mean", "--id", "one"], "1 client ids for 5 updates"),
    "memory that is no size": (["--rule", "mean", "--max-memory", "12kk"], "'12kk'"),
    "sample counts of text": (["--rule", "mean", "--sample-counts", "{tmp}/text.json"], "'many' for client 'berlin'"),
    "sample counts in a list": (["--rule", "mean", "--sample-counts", "{tmp}/list.json"], "not an object"),
    "sample counts not in JSON": (["--rule", "mean", "--sample-counts", "{tmp}/berlin.npz"], "JSON object"),
    "samples where they do not count": (
        ["--rule", "trimmed-mean", "--sample-counts", "{tmp}/all.json"],
        "does not weigh by sample",
    ),
    "the same id twice": (["--rule", "mean", *["--id", "one"] * 5], "'one' is given twice"),
    "a rule that certifies nothing": (["--rule", "median", "--certify"], "Median certifies nothing"),
    "no file of sample counts": (["--rule", "mean", "--sample-counts", "{tmp}/nothing"], "nothing"),
    "no reference": (["--rule", "mean", "--reference", "{tmp}/no.npz"], "no.npz"),
    "a client's count twice": (
        ["--rule", "mean", "--sample-counts", "{tmp}/twice.json"],
        "client 'lima' is there twice",
    ),
    "a rule that asks for more": (["--rule", "align-ins"], "AlignIns().aggregate gets its global_model"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_told_before_any_work(case: str, tmp_path: Path, folder: Path) -> None:
    options, told = USAGE[case]
    given = files(tmp_path)
    (tmp_path / "text.json").write_text('{"berlin": "many"}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "twice.json").write_text('{"lima": 1, "lima": 2}')
    (tmp_path / "all.json").write_text(json.dumps(dict.fromkeys(NAMES, 1)))
    before = sorted(tmp_path.iterdir())
    out = [] if "--out" in options else ["--out", folder / "g.npz"]
    done = robustagg("aggregate", *given, *out, *(option.format(tmp=tmp_path) for option in options), code=2)
    assert "".join(told.split()) in "".join(done.stderr.replace("│", "").split())  # wrapped anywhere, in a frame
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before
    assert list(folder.iterdir()) == []


def test_a_round_that_the_ledger_refuses_leaves_no_update(
    tmp_path: Path, folder: Path, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(rule: ra.Reputation, path: Path) -> None:
        raise ra.InvalidLedger("written by someone else")

    monkeypatch.setattr(ra.Reputation, "saving", overtaken)
    robustagg("aggregate", *files(tmp_path), "--ledger", book, "--out", folder / "g.npz", code=1)
    assert list(folder.iterdir()) == []


def test_of_two_rounds_at_once_on_one_ledger_the_second_says_what_to_do(
    tmp_path: Path, folder: Path, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("aggregate", *files(tmp_path), "--ledger", book, "--out", folder / "g.npz")

    def slower(*arguments: Any, **options: Any) -> ra.Result:
        monkeypatch.undo()
        robustagg(*call)
        return ra.aggregate_files(*arguments, **options)

    monkeypatch.setattr("robustagg.cli.aggregate.aggregate_files", slower)
    told = robustagg(*call, code=1).stderr
    assert "(last round now: 4) was written by someone else" in told
    assert "(last round, not saved: 4)" in told
    assert "run it again" in told
    robustagg(*call)
    assert ra.Reputation.load(book).last_round == 5


UNPRINTABLE = {"a full disk": "exec >/dev/full;", "a closed pipe": "exec > >(:); wait $!;", "no stream": "exec >&-;"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is full, as Linux has it")
@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("case", UNPRINTABLE)
def test_a_round_that_is_done_but_cannot_be_printed_is_done(
    case: str, options: list[str], tmp_path: Path, folder: Path
) -> None:
    book, call = tmp_path / "ledger.sqlite", UNPRINTABLE[case] + ' exec "$0" -c "$@"'
    command = ["aggregate", *files(tmp_path), "--ledger", str(book), "--out", str(folder / "g.npz"), *options]
    done = subprocess.run(
        ["bash", "-c", call, sys.executable, MAIN, *command], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0
    warned = "robustagg: warning: all is done and in its place, but cannot be printed: "
    assert done.stderr.count("\n") == (case != "no stream")
    assert done.stderr.startswith(warned if case != "no stream" else "")
    assert (folder / "g.npz").exists()
    assert ra.Reputation.load(book).last_round == 1


def test_what_cannot_be_printed_fails_where_nothing_else_is_done(book: Path) -> None:
    command = [sys.executable, MAIN, "ledger", "show", str(book)]
    call = 'exec >/dev/full; exec "$0" -c "$@"'
    done = subprocess.run(["bash", "-c", call, *command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


def test_names_in_letters_that_the_terminal_has_not(tmp_path: Path, folder: Path) -> None:
    np.save(tmp_path / "ü.npy", np.ones(3))
    done = python(MAIN, "aggregate", tmp_path / "ü.npy", "-r", "mean", "-o", folder / "g.npy", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xfc" in done.stdout


STOPPED = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("name", STOPPED)
def test_stopped_in_the_middle(name: str, tmp_path: Path, book: Path) -> None:
    """At the last moment before the update has its name: no update, the ledger as it was, and a second run does it."""
    stall = (
        "import time; from robustagg.memory.publish import Draft; real = Draft.publish; "
        "Draft.publish = lambda draft, **options: real(draft, **options) if '.partial' in str(draft.target) "
        "else print('saving', flush=True) or time.sleep(60); "
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
    robustagg(*command)
    assert [path.name for path in out.iterdir()] == ["g.npz"]  # what the killed process left is swept
    assert ra.Reputation.load(book).last_round == 4


def test_certify_says_how_far_the_update_can_be_from_the_median(tmp_path: Path, folder: Path) -> None:
    expected = ra.Reputation().aggregate(updates(1), certify=True)
    call = (
        "aggregate",
        *files(tmp_path, 1),
        "--ledger",
        tmp_path / "ledger.sqlite",
        "--out",
        folder / "g.npz",
        "--certify",
    )
    said = json.loads(robustagg(*call, "--json").stdout)
    assert said["certificate"] == expected.certificate.to_dict()
    assert "From the median the update is at most" in robustagg(*call).stdout


def test_without_ray_the_error_says_what_to_install(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["--rule", "median", "--out", folder / "out.npz", "--ray", "auto"]
    done = robustagg("aggregate", *files(tmp_path), *arguments, code=1)
    assert "pip install 'robustagg[ray]'" in done.stderr


def test_a_pipeline_on_one_line_and_its_ledger(tmp_path: Path) -> None:
    common = ("aggregate", *files(tmp_path), "--out", tmp_path / "g.npz", "--ledger", tmp_path / "l.sqlite")
    line = "nnm(f=1) + reputation"
    first = robustagg(*common, "--rule", line, "--param", "decay=0", "--json")
    assert json.loads(first.stdout)["rule"] == "Pipeline"
    assert ra.Pipeline.load(tmp_path / "l.sqlite").parameters["members"][1]["decay"] == 0
    assert json.loads(robustagg(*common, "--rule", line, "--json").stdout)["round"] == 2
    for rule, told in {
        "nnm(f=2) + reputation": "f = 1 (here 2)",
        "nnm(f=1) + reputation(decay=.1)": "decay = 0 (here 0.1)",
        "nnm(f=1) + krum(f=1)": "members = ['NNM', 'Reputation'] (here ['NNM', 'Krum'])",
        "reputation": "this is the state of 'Pipeline'",
    }.items():
        assert told in " ".join(robustagg(*common, "--rule", rule, code=1).stderr.split())
    assert ra.Pipeline.load(tmp_path / "l.sqlite").last_round == 2
