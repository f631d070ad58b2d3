"""``robustagg ledger``: every question has its answer, and a picture."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line needs the cli extra")

from commandline import NAMES, ledger, robustagg

import robustagg as ra
from robustagg import ledger as ledgers
from robustagg.cli import screen


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return ledger(tmp_path / "ledger.sqlite")


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
    assert done.stdout.splitlines()[0] == f"{book}: client lima"
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["round", "1", "2", "3"]
    done = robustagg("ledger", "show", book, "--round", 3, columns=None)
    assert done.stdout.splitlines()[0] == f"{book}: round 3"
    assert {line.split()[0] for line in done.stdout.splitlines()[2:]} == {"client", "7", *NAMES}
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
        (["{book}", "--client", "07"], "no record of client '07'"),
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


def test_ids_of_any_size_and_of_any_characters(tmp_path: Path) -> None:
    rule, book = ra.Krum(f=1), tmp_path / "book"
    ids = [2**64 - 1, -5, "-5", "\x1b[2J\nround", "\ud800"]
    rule.aggregate(np.eye(5), clients=ids)
    rule.save(book)
    for client in ids:
        done = robustagg("ledger", "show", book, f"--client={client}", columns=None)
        assert done.stdout.splitlines()[0] == f"{book}: client {screen.printable(str(client))}"
        assert "weight" in done.stdout
    assert "reputation" not in done.stdout
    said = json.loads(robustagg("ledger", "show", book, "--round", 1, "--json").stdout)
    assert {line["client"] for line in said["observations"]} == set(ids)


def test_numbers_that_json_has_no_word_for(capsys: pytest.CaptureFixture[str]) -> None:
    screen.say_json({"a": [np.nan, 1.0, (np.inf,)], "b": {"c": -np.inf}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.0, [None]], "b": {"c": None}}


@pytest.mark.parametrize("n", [3, 500])
@pytest.mark.parametrize("make", [ra.Median, ra.Reputation])
def test_plot_of_any_rule_and_any_number(make: type[ra.Rule], n: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    rule, book, out = make(), tmp_path / "l", tmp_path / "p.svg"
    for round in range(3):
        rule.aggregate(np.random.default_rng(round).normal(0, 0.01, (n, 20)))
        rule.save(book)
    course = ledgers.course(book)
    assert (course.measure, course.clients) == ("reputation" if make is ra.Reputation else "weight", n)
    assert len(course.lines) == (3 if n == 3 else 10)
    for k, round in enumerate(course.rounds):
        told = [line[course.measure] for line in ledgers.history(book, round=round)]
        assert course.bands[k].tolist() == pytest.approx(
            np.quantile(told, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]), rel=1e-12
        )
    last = {line["client"]: line[course.measure] for line in ledgers.history(book, round=3)}
    assert [last[client] for client in course.lines] == sorted(last.values())[: len(course.lines)]
    for client, points in course.lines.items():
        assert points == [(line["round"], line[course.measure]) for line in ledgers.history(book, client)]
    robustagg("ledger", "plot", book, "--out", out)
    assert out.read_text().count('<g id="line2d_') < 100


def test_plot_in_a_format_that_there_is_not(book: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    assert "xyz" in robustagg("ledger", "plot", book, "--out", tmp_path / "p.xyz", code=2, columns=500).stderr
    assert not (tmp_path / "p.xyz").exists()


def test_the_policy_of_its_rounds_is_shown(tmp_path):
    intake = ra.Intake("median", {"w": np.zeros(2)}, ledger=tmp_path / "book", policy=ra.Policy(exclude=["head.*"]))
    intake.add("lima", {"w": np.ones(2)})
    intake.close()
    assert "book: 1 client, 1 round\n" in robustagg("ledger", "show", tmp_path / "book", columns=None).stdout
    assert 'Policy: {"include": [], "exclude": ["head.*"]' in robustagg("ledger", "show", tmp_path / "book").stdout
    said = json.loads(robustagg("ledger", "show", tmp_path / "book", "--json").stdout)
    assert said["policy"]["exclude"] == ["head.*"]
