"""Answers out of any table, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from crowds import crowd
from numpy.testing import assert_allclose, assert_array_equal

from robustagg import truth
from robustagg.truth import tables, writing


def test_every_kind_of_table_gives_the_same_claims(tmp_path):
    items, workers, values = crowd()
    columns = {"task": items, "worker": [f"w{k}" for k in workers], "label": values}
    expected = truth.Claims.of(columns)
    kinds = [tuple(columns.values())]
    pandas = pytest.importorskip("pandas", reason="tables of pandas need the truth extra")
    pyarrow = pytest.importorskip("pyarrow", reason="tables of Arrow need the truth extra")
    from pyarrow import parquet

    frame, table = pandas.DataFrame(columns), pyarrow.table(columns)
    frame.to_csv(tmp_path / "a.csv", index=False)
    parquet.write_table(table, tmp_path / "a.parquet")
    kinds += [frame, table, tmp_path / "a.csv", str(tmp_path / "a.parquet")]
    for kind in kinds:
        got = truth.Claims.of(kind)
        assert_array_equal(got.items, expected.items)
        assert got.workers.tolist() == expected.workers.tolist()
        assert_allclose(got.answers.values, expected.answers.values)
    series = truth.CRH().fit_predict(frame)
    assert (series.index.name, series.loc[3]) == ("task", truth.CRH().fit(expected)[3])


def test_polars():
    polars = pytest.importorskip("polars", reason="polars is in no extra")
    items, workers, values = crowd()
    frame = polars.DataFrame({"task": items, "worker": [f"w{k}" for k in workers], "label": values})
    assert_array_equal(truth.Mean().fit(frame).estimates, truth.Mean().fit((items, workers, values)).estimates)


def test_ids_of_both_kinds_stay_apart():
    claims = truth.Claims.of(([1, "1", "b", 1], ["ada", "ada", "ada", 7], [1.0, 2.0, 3.0, 5.0]))
    assert claims.items.tolist() == [1, "1", "b"]
    assert claims.workers.tolist() == [7, "ada"]
    assert truth.Mean().fit(claims).estimates.tolist() == [3.0, 2.0, 3.0]


def test_answers_that_are_no_numbers():
    items, workers, values = ["a", "a", "b"], ["ada", "bob", "ada"], [1.0, float("nan"), float("inf")]
    claims = truth.Claims.of((items, workers, values))
    assert (claims.size, [d.row for d in claims.dropped]) == (1, [1, 2])
    assert "row 1, worker 'bob', item 'a': the answer is nan" in claims.remarks()[-1]
    with pytest.raises(ValueError, match=r"row 1: worker 'bob' answered item 'a' with nan, which is not finite"):
        truth.Claims.of((items, workers, values), nonfinite="raise")
    with pytest.raises(ValueError, match="row 2: worker 'ada' answered item 'b' with 'many'"):
        truth.Claims.of((items, workers, [1.0, 2.0, "many"]))
    with pytest.raises(ValueError, match="all 1 were dropped"):
        truth.Claims.of((["a"], ["ada"], [None]))


def test_two_answers_of_one_worker_to_one_item():
    answers = (["a", "b", "a", "a"], ["ada", "bob", "bob", "ada"], [1.0, 2.0, 3.0, 5.0])
    with pytest.raises(ValueError, match="worker 'ada' answered item 'a' twice, in rows 0 and 3"):
        truth.Claims.of(answers)
    assert truth.Mean().fit(truth.Claims.of(answers, duplicates="mean"))["a"] == 3.0


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_integers_of_any_width_are_the_same_ids(kind):
    info = np.iinfo(kind)
    ids = [int(info.min), int(info.min) + 1, int(info.max) - 1, int(info.max)] * 20
    answers = (np.arange(80) // 4, np.array(ids, kind), np.array(ids, kind))
    claims = truth.Claims.of(answers, categorical=True)
    assert claims.workers.tolist() == claims.categories.tolist() == sorted(set(ids))
    assert truth.Claims.of((answers[0], ids, ids), categorical=True).workers.tolist() == claims.workers.tolist()
    near = truth.Claims.of(([0, 0, 0], np.array([info.max - 2, info.max, info.max - 1], kind), [1.0, 2.0, 3.0]))
    assert near.workers.tolist() == [info.max - 2, info.max - 1, info.max]
    if info.bits < 64:
        assert claims.workers.dtype == np.int64


def test_ids_beyond_64_bits_and_of_both_models():
    big = [2**64 - 1, 5, 2**63]
    assert truth.Claims.of((["a"] * 3, [10**30, *big[1:]], [1.0, 2.0, 3.0])).workers.tolist() == [5, 2**63, 10**30]
    numbers = truth.Claims.of((["a"] * 3, np.array(big, np.uint64), [1.0, 2.0, 3.0]))
    labels = truth.Claims.of((["q"] * 3, np.array(big, np.uint64), list("xyx")), categorical=True)
    assert truth.CRH().fit(numbers, labels).workers.tolist() == sorted(big)
    poisoned = truth.attacks.maximum(numbers, workers=1, low=0, high=9)
    assert poisoned.workers.tolist() == [*sorted(big), "malicious-1"]


def written(tmp_path, suffix, rows):
    """A file of answers, and the arrays that it holds."""
    path = tmp_path / f"answers.{suffix}"
    columns = dict(zip(("task", "worker", "label"), zip(*rows, strict=True), strict=True))
    writing.write_columns(path, {name: tables.as_objects(list(column)) for name, column in columns.items()})
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_cell_of_a_file_means_the_same_whatever_the_others_are(suffix, tmp_path):
    pytest.importorskip("pyarrow", reason="files need the truth extra")
    rows = [(1, 6, "7"), (2, 6, "8"), (1, 7, "7")]
    plain = truth.Claims.of(written(tmp_path, suffix, rows), categorical=True)
    assert (plain.items.tolist(), plain.workers.tolist(), plain.categories.tolist()) == ([1, 2], [6, 7], [7, 8])
    odd = ("01", "x7", "1.0"), ("-0", "2024-01-01", "true"), (2**64 - 1, "007", "9" * 30)
    mixed = truth.Claims.of(written(tmp_path, suffix, [*rows, *odd]), categorical=True)
    assert mixed.items.tolist() == [1, 2, 2**64 - 1, "-0", "01"]
    assert mixed.workers.tolist() == [6, 7, "007", "2024-01-01", "x7"]
    assert mixed.categories.tolist() == [7, 8, "1.0", "9" * 30, "true"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_answers_come_back_from_a_file_as_they_were(suffix, tmp_path):
    pytest.importorskip("pyarrow", reason="files need the truth extra")
    poisoned = truth.attacks.maximum(crowd(), workers=2, low=-100, high=100)
    path = tmp_path / f"poisoned.{suffix}"
    writing.write_columns(path, dict(zip(("task", "worker", "label"), writing.answers(poisoned), strict=True)))
    defence = truth.MWA(truth.CRH())
    assert truth.Claims.of(path).workers.tolist() == poisoned.workers.tolist()
    assert_array_equal(defence.fit(path).estimates, defence.fit(poisoned).estimates)


def test_what_is_missing_is_no_answer(tmp_path):
    pandas = pytest.importorskip("pandas", reason="tables of pandas need the truth extra")
    pyarrow = pytest.importorskip("pyarrow", reason="tables of Arrow need the truth extra")
    items, workers = ["a"] * 4, ["x", "y", "z", "u"]
    numbers = [np.ma.masked_array([1.0, 2.0, 9.0, 3.0], [0, 0, 1, 0]), np.ma.masked_array([1, 2, 9, 3], [0, 0, 1, 0])]
    numbers += [pandas.array([1, 2, None, 3], kind) for kind in ("Int64", "Float64")]
    numbers += [pyarrow.array([1, 2, None, 3]), ["1", "2", None, "3"]]
    for values in numbers:
        claims = truth.Claims.of((items, workers, values))
        assert ([d.row for d in claims.dropped], claims.answers.values.tolist()) == ([2], [1.0, 2.0, 3.0])
    words, whole = ["yes", "no", None, "no"], [1, 0, None, 0]
    categories = [words, whole, [1.0, 0.0, float("nan"), 0.0], np.ma.masked_array([1, 0, 5, 0], [0, 0, 1, 0])]
    categories += [pandas.array(words, "string"), pandas.array(whole, "Int64"), pandas.Series(whole)]
    categories += [pyarrow.array(words), pyarrow.array(whole)]
    for values in categories:
        claims = truth.Claims.of((items, workers, values), categorical=True)
        assert [d.row for d in claims.dropped] == [2]
        assert claims.categories.tolist() in (["no", "yes"], [0, 1])
    for name, labels in {"text": ("yes", "no", "", "no"), "integers": (1, 0, "", 0)}.items():
        path = tmp_path / f"{name}.csv"
        path.write_text("task,worker,label\n" + "".join(f"a,{w},{v}\n" for w, v in zip(workers, labels, strict=True)))
        claims = truth.Claims.of(path, categorical=True)
        assert ([d.row for d in claims.dropped], claims.categories.size) == ([2], 2)


def test_whole_floats_are_integers_only_where_they_are_exact():
    assert truth.Claims.of(([1.0, 2.0], [7, 7], [1.0, 2.0])).items.tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"row 1: the item must be a str or an int, got 1e\+17"):
        truth.Claims.of((np.array([1.0, 1e17]), [7, 7], [1.0, 2.0]))


def test_the_row_of_a_fault_is_the_tables(tmp_path):
    pytest.importorskip("pyarrow", reason="files need the truth extra")
    path = tmp_path / "a.csv"
    path.write_text("task,worker,label\n1,7,\n1,8,1\n,,\n2,,3\n")
    with pytest.raises(ValueError, match="row 3: the worker is missing"):
        truth.Claims.of(path)
    with pytest.raises(TypeError, match="row 2: the category must be a str or an int, got True"):
        truth.Claims.of((["a"] * 3, ["x", "y", "z"], [None, "yes", True]), categorical=True)
    path.write_text("task,worker,label\n1,7,\n1,8,1\n2,8,-\n")
    with pytest.raises(ValueError, match="row 2: worker 8 answered item 2 with '-', which is no number"):
        truth.Claims.of(path)
    path.write_text("task,worker,label,label\na,x,1,1\n")
    with pytest.raises(ValueError, match="two columns of one name: 'task', 'worker', 'label', 'label'"):
        truth.Claims.of(path)


@pytest.mark.parametrize(
    ("data", "options", "error", "told"),
    [
        ({"task": [1], "worker": [1]}, {}, ValueError, "no column 'label'; there are 'task', 'worker'"),
        (([1], [1, 2], [1.0]), {}, ValueError, "1 items, 2 workers, 1 values"),
        (([1.5], ["ada"], [1.0]), {}, TypeError, "row 0: the item must be a str or an int, got 1.5"),
        (([True], ["ada"], [1.0]), {}, TypeError, "must be a str or an int"),
        (([], [], []), {}, ValueError, "there are no answers"),
        (7, {}, TypeError, "got int"),
        (([1], [1], np.array(["2024-01-01"], "M8[ns]")), {}, ValueError, "'2024-01-01T.*, which is no number"),
        (([1], [1], np.array([3], "m8[s]")), {}, ValueError, "'3 seconds', which is no number"),
        (([None], ["ada"], [1.0]), {}, ValueError, "row 0: the item is missing"),
        ("answers.xls", {}, ValueError, r"\.csv or \.parquet"),
        (([1], [1], [1.0]), {"duplicates": "first"}, ValueError, "duplicates"),
    ],
)
def test_what_claims_refuse(data, options, error, told):
    if data == "answers.xls":
        pytest.importorskip("pyarrow", reason="files need the truth extra")
    with pytest.raises(error, match=told):
        truth.Claims.of(data, **options)
