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
    assert "xyz" in robustagg("ledger", "plot", book, "--out", tmp_path / "p.xyz", code=2).stderr
    assert not (tmp_path / "p.xyz").exists()
