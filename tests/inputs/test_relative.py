"""Whole parameters with a reference are the differences by hand, to the bit, in memory and over files."""

from __future__ import annotations

import copy
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from cases import ASKING, CASES
from hypothesis import given
from hypothesis import strategies as st

import robustagg as ra
from robustagg.inputs import relative
from robustagg.kernels import available

torch = pytest.importorskip("torch", reason="torch tensors need torch")

SHAPES = {"w": (300, 101), "b": (7,), "odd": (9000,)}
RULES = [
    ra.Median(),
    ra.FoolsGold(),
    ra.CenteredClipping(tau=1.0),
    ra.Reputation(),
    ra.Pipeline(ra.ARC(f=1), ra.TrimmedMean(f=1)),
]


def model(seed, dtype=np.float32, scale=1.0):
    drawn = np.random.default_rng(seed)
    return {name: (scale * drawn.normal(size=shape)).astype(dtype) for name, shape in SHAPES.items()}


def wide(tree):
    return {name: values.astype(np.float32) if values.itemsize == 2 else values for name, values in tree.items()}


def whole_models(dtype, n=5):
    center = model(0, dtype, 100.0)
    whole = [{k: (wide(center)[k] + v).astype(dtype) for k, v in model(i, scale=0.1).items()} for i in range(1, n + 1)]
    return center, whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_as_subtracted_and_added_by_hand(rule, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(relative, "CHUNK", 5 * 4 * 8192)
    center, whole = whole_models(dtype)
    hand, memory, files = (copy.deepcopy(rule) for _ in range(3))
    if dtype in (np.float16, np.float32):
        np.savez(tmp_path / "center.npz", **center)
        for i, tree in enumerate(whole):
            np.savez(tmp_path / f"{i}.npz", **tree)
    for _ in range(2):  # what a rule remembers are differences, too
        expected = hand.aggregate([{k: wide(t)[k] - v for k, v in wide(center).items()} for t in whole])
        expected_whole = {k: (v + wide(center)[k]).astype(dtype) for k, v in expected.update.items()}
        got = memory.aggregate(whole, reference=center)
        assert got.weights.tobytes() == expected.weights.tobytes()
        for name, values in expected_whole.items():
            assert got.update[name].dtype == dtype
            assert got.update[name].tobytes() == values.tobytes()
        if dtype not in (np.float16, np.float32):
            continue
        paths, out = sorted(tmp_path.glob("?.npz")), tmp_path / "out.npz"
        for reference in (tmp_path / "center.npz", center):
            one = copy.deepcopy(files)
            told = ra.aggregate_files(one, paths, out, reference=reference, max_memory="32 MiB")
            assert told.weights.tobytes() == expected.weights.tobytes()
            with np.load(out) as written:
                for name, values in expected_whole.items():
                    assert written[name].tobytes() == values.tobytes()
        files = one


@pytest.mark.parametrize("backend", available())
def test_the_same_bits_in_every_backend(backend):
    center, whole = whole_models(np.float32)
    expected = ra.CenteredClipping(tau=1.0)(whole, reference=center)
    with ra.use_backend(backend):
        got = ra.CenteredClipping(tau=1.0)(whole, reference=center)
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-6)


@given(st.integers(0, 2**32), st.floats(-1e3, 1e3))
def test_rules_of_differences_do_not_see_where_the_model_is(seed, shift):
    drawn = np.random.default_rng(seed)
    updates = drawn.normal(size=(5, 12))
    center = np.full(12, shift)
    rule = ra.CenteredClipping(tau=0.5)
    np.testing.assert_allclose(
        rule(updates + center, reference=center) - center, ra.CenteredClipping(tau=0.5)(updates), atol=1e-9
    )


@pytest.mark.parametrize("case", [*CASES, *ASKING], ids=str)
def test_who_needs_differences_is_who_does_not_move_with_the_updates(case):
    assert case.make(1).differences == (not case.shift)


def test_extras_are_differences():
    center, whole = whole_models(np.float32)
    own = model(1, scale=0.1)
    hand = [{k: t[k] - v for k, v in center.items()} for t in whole]
    expected = ra.FLTrust()(hand, server_update=own)
    got = ra.FLTrust()(whole, server_update=own, reference=center)
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values + center[name])


def test_no_copy_of_all_updates():
    n, d = 8, 4_000_000
    center, updates = np.ones(d, np.float32), np.ones((n, d), np.float32)

    def peak(**reference):
        tracemalloc.start()
        ra.CenteredClipping()(list(updates), **reference)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    allowed = relative.CHUNK * 1.25 + 3 * center.nbytes
    assert peak(reference=center) - peak() < allowed < updates.nbytes


def test_buffers_and_words_are_not_subtracted():
    trees = [{"w": np.full(3, 10.0 + i), "steps": np.array(7), "kind": "conv"} for i in range(3)]
    update = ra.Mean()(trees, reference={"w": np.full(3, 9.0), "steps": np.array(5), "kind": "conv"})
    assert (update["w"].tolist(), update["steps"], update["kind"]) == ([11.0] * 3, 7, "conv")


def test_what_most_share_with_the_reference_is_no_difference(tmp_path):
    mask = np.array([0, -np.inf, 1], np.float32)
    trees = [{"w": np.full(3, i, np.float32), "mask": mask + np.float32([i, 0, 0])} for i in range(5)]
    trees[4]["mask"] = np.zeros(3, np.float32)
    result = ra.Mean().aggregate(trees, reference={"w": np.ones(3, np.float32), "mask": mask})
    assert result.admitted.tolist() == [True] * 4 + [False]
    assert result.update["mask"].tolist() == [1.5, -np.inf, 1]
    with pytest.raises(ValueError, match="NaN or infinite values in reference"):
        ra.Mean().aggregate(np.ones((3, 2)), reference=np.array([1.0, np.nan]))


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({"w": np.ones(3)}, "'reference'.*lacks 'b'"),
        ({"w": np.ones(3), "b": np.ones(2)}, r"reference.*\(2,\)"),
        ({"w": np.ones(3), "b": np.ones(1, np.float32)}, "reference.*float32"),
        (3, "reference"),
    ],
)
def test_a_reference_that_is_not_the_model(reference, text):
    rule = ra.CenteredClipping()
    with pytest.raises((TypeError, ValueError), match=text):
        rule.aggregate([{"w": np.ones(3), "b": np.ones(1)}] * 3, reference=reference)
    assert rule.last_round is None


def test_a_reference_file_that_cannot_be_used(tmp_path):
    for i in range(3):
        np.savez(tmp_path / f"{i}.npz", w=np.ones(3))
    paths = sorted(tmp_path.glob("?.npz"))
    np.savez(tmp_path / "other.npz", w=np.ones(4))
    (tmp_path / "damaged.npz").write_bytes(b"no archive")
    for name, text in (
        ("other.npz", r"other.npz cannot be used.*\(4,\)"),
        ("damaged.npz", "damaged.npz"),
        ("none.npz", "none.npz"),
    ):
        with pytest.raises((ValueError, OSError), match=text):
            ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", reference=tmp_path / name)
        assert not (tmp_path / "out.npz").exists()
    whole = (tmp_path / "0.npz").read_bytes()
    (tmp_path / "damaged.npz").write_bytes(whole.replace(np.float64(1).tobytes(), np.float64(2).tobytes(), 1))
    with pytest.raises(ValueError, match=r"damaged.npz cannot be used: tensor 'w' has the wrong checksum"):
        ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", reference=tmp_path / "damaged.npz")
    with pytest.raises(ValueError, match="overwritten"):
        ra.aggregate_files(ra.Mean(), paths, tmp_path / "other.npz", reference=tmp_path / "other.npz")
