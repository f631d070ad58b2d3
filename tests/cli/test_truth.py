"""``robustagg truth``: estimates, attacks and comparisons from files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("pyarrow", reason="files of answers need the truth extra")

from commandline import robustagg
from crowds import crowd

from robustagg import ledger, truth

NAMES = ("--item", "item", "--worker", "who", "--value", "answer")


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "answers.csv"
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["item", "who", "answer"])
        lines.writerows((n, f"w{k}", x) for n, k, x in zip(*(column.tolist() for column in crowd()), strict=True))
        lines.writerow([99, "w0", "7.5"])
    return path


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    path = tmp_path / "gold.csv"
    path.write_text("item,truth\n" + "".join(f"{n},{n / 2}\n" for n in range(60)))
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_fit(answers, gold, suffix, tmp_path):
    out, weights = tmp_path / f"estimates.{suffix}", tmp_path / "weights.csv"
    done = robustagg("truth", "fit", answers, *NAMES, "--gold", gold, "--out", out, "--weights", weights)
    expected = truth.CRH().fit(answers, item="item", worker="who", value="answer")
    assert done.stdout.startswith("CRH(): 61 items, 12 workers")
    assert "1 of 61 items have one answer" in done.stdout
    assert "Beside the gold of 60 items: MAE" in done.stdout
    from robustagg.truth.tables import read

    table = read(out)
    assert table.column_names == ["item", "estimate"]
    assert table["estimate"].to_pylist() == expected.estimates.tolist()
    assert read(weights)["who"].to_pylist() == expected.workers.tolist()
    said = json.loads(
        robustagg("truth", "fit", answers, *NAMES, "--method", "gtm", "--param", "alpha=5", "--json").stdout
    )
    assert (said["method"], len(said["estimates"]), said["gold"]) == ("GTM(alpha=5)", 61, None)


def test_batches_in_a_ledger(answers, tmp_path):
    book = tmp_path / "workers.sqlite"
    for _ in range(2):
        done = robustagg("truth", "fit", answers, *NAMES, "--method", "reputation", "--ledger", book)
    assert "answers rejected" in done.stdout
    assert [line["round"] for line in ledger.rounds(book)] == [1, 2]
    assert "truth.Reputation" in robustagg("ledger", "show", book).stdout


def test_attack(answers, tmp_path):
    out = tmp_path / "poisoned.csv"
    options = ("--malicious", 3, "--low", -100, "--high", 100, "--out", out)
    done = robustagg("truth", "attack", answers, *NAMES, "--method", "gtm", *options)
    assert "3 malicious workers, 75 answers: GTM() is moved by" in done.stdout
    poisoned = truth.Claims.of(out, item="item", worker="who", value="answer")
    assert poisoned.workers.tolist()[:3] == ["malicious-1", "malicious-2", "malicious-3"]
    said = json.loads(
        robustagg(
            "truth", "attack", answers, *NAMES, "--attack", "random", "--method", "crh+mwa", *options, "--json"
        ).stdout
    )
    assert said["estimation_error"] > 0


def test_compare(answers, gold, tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs the sim extra")
    out = tmp_path / "truth.png"
    common = (
        "truth",
        "compare",
        answers,
        *NAMES,
        "--gold",
        gold,
        "--malicious",
        "0:0.2:0.1",
        "--steps",
        2,
        "--out",
        out,
    )
    done = robustagg(*common, columns=200)
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:4]] == [["random", "crh"], ["random", "crh+mwa"]]
    assert "Mean absolute error beside the gold:" in done.stdout
    assert out.read_bytes()[:4] == b"\x89PNG"
    said = json.loads(robustagg(*common, "--method", "mean", "--attack", "random", "--json").stdout)
    assert [(cell["method"], cell["malicious"]) for cell in said["cells"]] == [("mean", 0), ("mean", 1), ("mean", 3)]


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("fit", "{answers}"), 1, "there is no column 'task'; there are 'item', 'who', 'answer'"),
        (("fit", "{answers}", *NAMES, "--method", "luck"), 2, "'luck'"),
        (("fit", "{answers}", *NAMES, "--ledger", "{answers}.sqlite"), 2, "leave out --ledger"),
        (("fit", "{answers}", *NAMES, "--out", "{answers}.txt"), 2, ".csv or .parquet"),
        (("attack", "{answers}", *NAMES, "--attack", "kindness", "--out", "{answers}.csv"), 2, "'kindness'"),
        (("compare", "{answers}", *NAMES, "--malicious", "0:2:1"), 2, "FIRST:LAST:STEP"),
        (("compare", "{answers}", *NAMES, "--method", "crh+luck"), 2, "'crh+luck'"),
    ],
)
def test_what_it_refuses(answers, command, code, told):
    done = robustagg("truth", *(word.format(answers=answers) for word in command), code=code)
    assert told in " ".join(done.stderr.replace("│", " ").split())
