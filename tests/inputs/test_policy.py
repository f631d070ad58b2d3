"""Buffers do not vote: what the result holds of them is said by pattern, in memory and over files alike."""

from __future__ import annotations

import numpy as np
import pytest

import robustagg as ra

VARIANCES = ([1.0, np.nan], [4.0, 0.0], [2.0, 1.0], [900.0, 0.5])


def trees():
    rng = np.random.default_rng(0)
    return {
        name: {
            "bn.running_var": np.array(variance, np.float32),
            "bn.steps": np.array(k, np.int64),
            "codes": np.arange(2000, dtype=np.uint8) * (k + 1),
            "w": rng.normal(size=40).astype(np.float32),
        }
        for k, (name, variance) in enumerate(zip("abcd", VARIANCES, strict=True))
    }


@pytest.mark.parametrize(
    ("action", "variances", "steps"),
    [("median", [2, 0.5], 1), ("max", [900, 1], 3), ("min", [1, 0], 0), ("first", [1, np.nan], 0)],
)
def test_buffers_neither_vote_nor_count(action, variances, steps, tmp_path):
    buffers = {"*.running_*": action, "*.steps": action, "codes": "first"}
    rule = ra.MDA(f=1)
    result = rule.aggregate(trees(), buffers=buffers)
    assert result.admitted.all()
    np.testing.assert_array_equal(result.update["bn.running_var"], np.array(variances, np.float32))
    assert result.update["bn.steps"] == steps
    alone = ra.MDA(f=1).aggregate({name: {"w": tree["w"]} for name, tree in trees().items()})
    np.testing.assert_array_equal(result.update["w"], alone.update["w"])
    for name, tree in trees().items():
        np.savez(tmp_path / f"{name}.npz", **tree)
    ra.aggregate_files(ra.MDA(f=1), sorted(tmp_path.glob("*.npz")), tmp_path / "out.npz", buffers=buffers)
    with np.load(tmp_path / "out.npz") as written:
        for name, values in result.update.items():
            np.testing.assert_array_equal(written[name], values)


def test_large_integers_must_be_equal_unless_something_is_said(tmp_path):
    sent = trees()
    buffers = {"*.running_*": "median"}
    with pytest.raises(TypeError, match=r"client 'a', at 'codes'.*uint8.*\(2000,\).*buffers=\{'codes': 'median'\}"):
        ra.Mean().aggregate(sent, buffers=buffers)
    for name in "bcd":
        sent[name]["codes"] = sent["b"]["codes"]
    result = ra.Mean().aggregate(sent, buffers=buffers)
    assert result.admitted.tolist() == [False, True, True, True]
    assert "client 'a', at 'codes'" in result.reasons[0]
    for name, tree in sent.items():
        np.savez(tmp_path / f"{name}.npz", **tree)
    paths, out = sorted(tmp_path.glob("*.npz")), tmp_path / "out.npz"
    told = ra.aggregate_files(ra.Mean(), paths, out, buffers=buffers)
    assert told.admitted.tolist() == result.admitted.tolist()
    assert "'codes' holds other values" in told.reasons[0]
    np.savez(paths[1], **{**sent["b"], "codes": sent["a"]["codes"]})
    np.savez(paths[2], **trees()["c"])
    with pytest.raises(TypeError, match=r"at 'codes'.*buffers="):
        ra.aggregate_files(ra.Mean(), paths, out, buffers=buffers)


def test_small_integers_beside_a_scale_may_be_weights():
    def model(code, **more):
        return {"layer": {"weight": np.full(4, code, np.int8), **more}, "w": np.ones(8, np.float32)}

    scale = np.ones(1, np.float32)
    with pytest.raises(TypeError, match=r"at 'layer.weight'"):
        ra.Mean().aggregate([model(i, scale=scale) for i in range(3)])
    assert ra.Mean()([model(i) for i in range(3)])["layer"]["weight"].tolist() == [1] * 4


def test_numbers_of_python_can_be_told_too():
    update = ra.Mean()([{"w": np.ones(2), "step": i, "on": True} for i in (5, 7, 6)], buffers={"step": "max"})
    assert (update["step"], type(update["step"]), update["on"]) == (7, int, True)


@pytest.mark.parametrize("bad", [{"w": "mean"}, {3: "max"}, {"w": None}, "max", ["w"]])
def test_bad_policies(bad):
    with pytest.raises((TypeError, ValueError), match="buffers"):
        ra.Mean().aggregate([{"w": np.ones(2)}], buffers=bad)
