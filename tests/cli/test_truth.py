"""``robustagg truth``: estimates, attacks and comparisons from files."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("pyarrow", reason="files of answers need the truth extra")

from commandline import robustagg
from crowds import crowd

from robustagg import ledger, truth

NAMES = ("--item", "item", "--worker", "who", "--value", "answer")


def words(done) -> str:
    return " ".join(done.stderr.replace("│", " ").split())


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

    table = read(out, ["item"])
    assert list(table) == ["item", "estimate"]
    assert table["estimate"].to_pylist() == expected.estimates.tolist()
    assert read(weights, ["who"])["who"].tolist() == expected.workers.tolist()
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


def test_the_names_are_given_while_the_ledger_is_open(answers, tmp_path, monkeypatch):
    book, out = tmp_path / "workers.sqlite", tmp_path / "estimates.csv"
    out.write_text("as it was")

    @contextmanager
    def full(self, path):
        assert out.read_text() == "as it was"
        raise OSError("no space left")
        yield

    monkeypatch.setattr(truth.Reputation, "saving", full)
    robustagg("truth", "fit", answers, *NAMES, "--method", "reputation", "--ledger", book, "--out", out, code=1)
    assert out.read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"answers.csv", "estimates.csv"}


def test_a_ledgers_parameters_are_not_changed(answers, tmp_path):
    common = ("truth", "fit", answers, *NAMES, "--method", "reputation", "--ledger", tmp_path / "workers.sqlite")
    robustagg(*common, "--param", "reach=2")
    robustagg(*common)
    robustagg(*common, "--param", "reach=2")
    assert "written with other parameters: reach = 2" in words(robustagg(*common, "--param", "reach=3", code=2))
    assert "has no parameter 'nonsense'" in words(robustagg(*common, "--param", "nonsense=1", code=2))


def test_gold(answers, tmp_path):
    gold = tmp_path / "gold.csv"
    gold.write_text("item,truth\nx7,\n0,1\n1,\n")
    assert "gold of 1 items" in robustagg("truth", "fit", answers, *NAMES, "--gold", gold).stdout
    gold.write_text("item,truth\n0,joy\n")
    assert "csv: row 0: worker 'gold' answered item 0 with 'joy', which is no number" in words(
        robustagg("truth", "fit", answers, *NAMES, "--gold", gold, code=1)
    )


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


@pytest.mark.parametrize("option", ["answers", "gold"])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("no.csv", None, "no.csv cannot be read: No such file or directory"),
        ("no.parquet", None, "no.parquet cannot be read: No such file or directory"),
        ("empty.csv", b"", "empty.csv is no table of answers: Empty CSV file"),
        ("bytes.csv", b"a,b\n\xff\xfe,\n", "bytes.csv is no table of answers: "),
        ("uneven.csv", b"a,b\n1\n", "uneven.csv is no table of answers: "),
        ("empty.parquet", b"", "empty.parquet is no table of answers: "),
        ("bytes.parquet", b"words", "bytes.parquet is no table of answers: "),
    ],
)
def test_a_file_that_is_no_table_is_named(option, name, content, told, answers, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    asked = (path, "--item", "a") if option == "answers" else (answers, *NAMES[:1], "a", "--gold", path)
    if option == "gold":
        answers.write_text("a,worker,label\n1,2,3\n")
    done = robustagg("truth", "fit", *asked, code=1)
    assert f"{tmp_path}/{told}" in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("fit", "{answers}", *NAMES, "--method", "majority", "--ledger", "{answers}.sqlite"), 2, "leave out --ledger"),
        (("fit", "{answers}", *NAMES, "--param", "malicious=3"), 2, "crh has no parameter 'malicious'"),
        (("fit", "{answers}", *NAMES, "--param", "seed=3"), 2, "crh has no parameter 'seed'"),
        (("fit", "{answers}", *NAMES, "--param", "lost=3"), 2, "crh has no parameter 'lost'; it has loss, categorical"),
        (("fit", "{answers}", *NAMES, "-m", "crh+mie", "--param", "malicious=1.9"), 2, "malicious must be an integer"),
        (("fit", "{answers}", *NAMES, "--out", "{answers}"), 2, "would be overwritten"),
        (("fit", "{answers}", *NAMES, "--out", "{answers}.csv", "--weights", "{answers}.csv"), 2, "be overwritten"),
        (("fit", "{answers}", *NAMES, "--gold", "{answers}.csv", "--out", "{answers}.csv"), 2, "be overwritten"),
        (("attack", "{answers}", *NAMES, "--attack", "random", "--out", "{answers}"), 2, "be overwritten"),
        (("attack", "{answers}", *NAMES, "--method", "majority", "--out", "{answers}.csv"), 2, "'majority'"),
        (("compare", "{answers}", *NAMES, "--seeds", "0"), 2, "--seeds"),
        (("fit", "{answers}", *NAMES, "-m", "crh", "--method", "gtm"), 2, "it is given more than once"),
        (("fit", "{answers}", *NAMES, "--categorical", "--gold", "{answers}"), 2, "categories have no distance"),
        (("fit", "{answers}", *NAMES, "--param", "name=3"), 2, "crh has no parameter 'name'"),
        (("attack", "{answers}", *NAMES, "--param", "seed=3", "--out", "{answers}.csv"), 2, "has no parameter 'seed'"),
        (("attack", "{answers}", *NAMES, "--param", "malicious=3", "--out", "{answers}.csv"), 2, "'malicious'"),
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
    assert told in words(robustagg("truth", *(word.format(answers=answers) for word in command), code=code))
