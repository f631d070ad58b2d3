"""Answers out of any table, and what is wrong with them."""

from __future__ import annotations

import pytest
from crowds import crowd
from numpy.testing import assert_allclose, assert_array_equal

from robustagg import truth


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


@pytest.mark.parametrize(
    ("data", "options", "error", "told"),
    [
        ({"task": [1], "worker": [1]}, {}, ValueError, "no column 'label'; there are 'task', 'worker'"),
        (([1], [1, 2], [1.0]), {}, ValueError, "1 items, 2 workers, 1 values"),
        (([1.5], ["ada"], [1.0]), {}, TypeError, "row 0: the item must be a str or an int, got 1.5"),
        (([True], ["ada"], [1.0]), {}, TypeError, "must be a str or an int"),
        (([], [], []), {}, ValueError, "there are no answers"),
        (7, {}, TypeError, "got int"),
        ("answers.xls", {}, ValueError, r"\.csv or \.parquet"),
        (([1], [1], [1.0]), {"duplicates": "first"}, ValueError, "duplicates"),
    ],
)
def test_what_claims_refuse(data, options, error, told):
    if data == "answers.xls":
        pytest.importorskip("pyarrow", reason="files need the truth extra")
    with pytest.raises(error, match=told):
        truth.Claims.of(data, **options)
