"""One sender does not decide for all: the most common structure is the model, and whoever is odd is told so."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pandas
import pytest
import scipy.sparse

import robustagg as ra

torch = pytest.importorskip("torch", reason="torch tensors need torch")


def good(i):
    return {"embed": np.full((8, 2), i, np.float32), "head": np.full(2, i, np.float32)}


ODD = {
    "vocabulary": (
        lambda: {**good(1), "embed": np.ones((9, 2), np.float32)},
        r"'embed': shape \(9, 2\), but.*\(8, 2\)",
    ),
    "missing": (lambda: {"embed": good(1)["embed"]}, "lacks 'head'"),
    "additional": (lambda: {**good(1), "lm_head": np.ones(2)}, "adds 'lm_head'"),
    "prefix": (
        lambda: {f"module.{k}": v for k, v in good(1).items()},
        "lacks 'embed', lacks 'head', adds 'module.embed'",
    ),
    "float64": (lambda: {k: v.astype(float) for k, v in good(1).items()}, "dtype float64, but.*float32"),
    "bfloat16": (lambda: {k: v.astype(ml_dtypes.bfloat16) for k, v in good(1).items()}, "dtype bfloat16, but.*float32"),
    "integers": (lambda: {**good(1), "head": np.ones(2, int)}, "'head': dtype int64, but.*float32"),
    "text": (lambda: {**good(1), "head": "surprise"}, "'head': no tensor, but.*sent a tensor of float32"),
    "None": (lambda: None, "expected a tensor, got NoneType"),
    "str": (lambda: "update", "expected a tensor, got str"),
    "generator": (lambda: iter(()), "expected a tensor, got tuple_iterator"),
    "list": (lambda: list(good(1).values()), "lacks 'embed'"),
    "nested too deeply": (lambda: _deep(), "cannot be taken apart"),
    "masked": (lambda: {**good(1), "head": np.ma.array(np.ones(2, np.float32), mask=[1, 0])}, "'head': a masked array"),
    "frame": (lambda: pandas.DataFrame(np.ones((8, 2))), "a DataFrame"),
    "labels": (
        lambda: {**good(1), "embed": pandas.Series(np.ones(8), list("abcdefgh"))},
        "'embed': a Series has names",
    ),
    "frame within": (lambda: {**good(1), "embed": pandas.DataFrame(np.ones((8, 2)))}, "'embed': a DataFrame"),
    "complex": (lambda: {**good(1), "head": np.ones(2, complex)}, "'head': dtype complex128"),
    "torch complex": (lambda: {**good(1), "head": torch.ones(2, dtype=torch.complex64)}, "'head': dtype complex64"),
    "objects": (lambda: {**good(1), "head": np.array([1.0, None])}, "'head': dtype object"),
    "an object": (lambda: {**good(1), "head": np.array(None)}, "'head': dtype object"),
    "fields": (lambda: {**good(1), "head": np.zeros(2, "f4,f4")}, "'head': dtype void64"),
    "words": (lambda: {**good(1), "head": np.array(["a", "b"])}, "'head': dtype str"),
    "sparse": (lambda: {**good(1), "embed": scipy.sparse.eye_array(8, 2)}, "'embed': a sparse array"),
}


def _deep():
    tree = []
    for _ in range(5000):
        tree = [tree]
    return tree


@pytest.mark.parametrize("where", [0, 2])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_client_is_left_out_and_told_why(name, where):
    make, words = ODD[name]
    updates = {f"c{i}": make() if i == where else good(i) for i in range(5)}
    result = ra.Mean().aggregate(updates)
    assert result.admitted.tolist() == [i != where for i in range(5)]
    assert f"c{where}" in result.reasons[where]
    with pytest.raises(ValueError, match=words):
        raise ValueError(result.reasons[where])
    assert result.update["head"].tolist() == [(10 - where) / 4] * 2
    with pytest.raises((TypeError, ValueError), match=f"'c{where}'.*{words}"):
        ra.Mean().aggregate(updates, strict=True)
    assert len(ra.NNM(f=1)(updates)) == 4
    with pytest.raises((TypeError, ValueError), match=words):
        ra.NNM(f=1)(updates, strict=True)


def test_rows_of_one_masked_array_are_clients_of_their_own():
    rows = np.ma.array(np.arange(12.0).reshape(4, 3), mask=np.eye(4, 3) * [0, 1, 0])
    assert ra.Mean().aggregate(rows).admitted.tolist() == [True, False, True, True]
    assert ra.Mean()(np.ma.array(np.ones((2, 3)))).tolist() == [1, 1, 1]


def test_of_several_structures_the_first_is_the_model():
    result = ra.Mean().aggregate([np.ones(3), np.ones(4), np.ones(4), np.ones(3)])
    assert result.admitted.tolist() == [True, False, False, True]


def test_where_nobody_can_be_used_the_error_says_why_for_each():
    with pytest.raises(TypeError, match=r"client 'ada'.*NoneType; client 'bob'.*int"):
        ra.Mean().aggregate({"ada": None, "bob": 3})
    with pytest.raises(TypeError, match="updates must be"):
        ra.Mean().aggregate("abc")
    with pytest.raises(TypeError, match=r"a DataFrame; give its to_numpy\(\)"):
        ra.Mean().aggregate(pandas.DataFrame(np.ones((3, 2))))
    with pytest.raises(TypeError, match="clients must be a list"):
        ra.Mean().aggregate(np.ones((3, 2)), clients="abc")


# --- integers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.int32])
@pytest.mark.parametrize("where", [0, 3])
def test_no_dtype_wraps_the_others_counter(dtype, where):
    steps = [np.array(1, dtype) if i == where else np.array(2**40 + 7) for i in range(5)]
    result = ra.Median().aggregate([{"w": np.ones(2), "steps": step} for step in steps])
    assert result.update["steps"] == 2**40 + 7
    assert result.admitted.sum() == 4


def test_integers_are_compared_as_numbers_and_keep_their_dtype():
    for dtype, values, expected in (
        (np.uint64, [1, 2, 3, 2**63 + 1, 2**64 - 1], 3),
        (np.uint16, [1, 65535, 40000], 40000),
        (np.bool_, [True, True, False], True),
        (">i4", [3, 1, 2], 2),
        (ml_dtypes.int4, [3, -8, 1], 1),
    ):
        got = ra.Mean()([{"w": np.ones(2), "h": np.array([value], dtype)} for value in values])["h"]
        assert got.dtype == np.dtype(dtype).newbyteorder("=")
        assert got[0] == expected


def test_lists_of_integers_are_told_as_such():
    sent = [{"w": [0.5, 1.0]}, {"w": [0.5, 1.5]}, {"w": [0, 0]}]
    assert "'w': a list of integers, which is no tensor" in ra.Mean().aggregate(sent).reasons[2]
    with pytest.raises(ValueError, match="a list of integers is none, numbers to aggregate are floats"):
        ra.Mean()([[[1, 2], [3, 4]], [[1, 2], [3, 5]]])
