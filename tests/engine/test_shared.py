"""Infinities and NaN that the clients share are nobody's fault, and come back as they were."""

from __future__ import annotations

import copy

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import robustagg as ra
from robustagg.engine import shared
from robustagg.engine.shared import Look

VALUES = [1.0, -2.0, np.nan, np.inf, -np.inf]
MASK = [0.0, -np.inf, 0.0, np.nan]
RULES = [
    ra.Mean(),
    ra.Krum(f=1),
    ra.GeometricMedian(),
    ra.Reputation(),
    ra.FoolsGold(),
    ra.CenteredClipping(),
    ra.Pipeline(ra.NNM(f=1), ra.Median()),
]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_shared_mask_passes_through(rule, dtype):
    plain = [{"mask": np.zeros(4, dtype), "w": np.arange(5).astype(dtype) + dtype(i)} for i in range(5)]
    masked = [{**tree, "mask": np.array(MASK, dtype)} for tree in plain]
    one, two = copy.deepcopy(rule).aggregate(masked), copy.deepcopy(rule).aggregate(plain)
    assert one.admitted.all()
    np.testing.assert_array_equal(one.update["mask"].astype(float), MASK)
    np.testing.assert_array_equal(one.update["w"], two.update["w"])
    assert ra.NNM(f=1)(masked)[0]["mask"].tobytes() == masked[0]["mask"].tobytes()


def test_whoever_does_not_share_it_is_the_odd_one():
    updates = [np.array([-np.inf, i, 1.0]) for i in range(4)]
    updates += [np.array([0.0, 900.0, 1.0]), np.array([-np.inf, np.nan, 1.0]), np.full(3, -np.inf)]
    result = ra.Mean().aggregate(updates)
    assert result.admitted.tolist() == [True] * 4 + [False] * 3
    assert result.update.tolist() == [-np.inf, 1.5, 1.0]


def test_what_few_share_or_one_holds_alone_is_no_mask():
    assert ra.Mean().aggregate([[1.0, np.inf], [1.0, np.inf], [1.0, 2.0], [1.0, 2.0]]).admitted.sum() == 2
    for updates in ([[1.0, np.nan]], np.full((3, 4), np.nan)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            ra.Mean().aggregate(updates)


def test_over_files_as_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.where(rng.random(9000) < 0.1, -np.inf, 0.0)
    trees = {f"c{i}": {"mask": mask, "w": rng.normal(size=9000)} for i in range(4)}
    trees["c3"]["mask"] = np.zeros(9000)
    for name, tree in trees.items():
        np.savez(tmp_path / f"{name}.npz", **tree)
    result = ra.Mean().aggregate(trees)
    assert result.admitted.tolist() == [True, True, True, False]
    told = ra.aggregate_files(ra.Mean(), sorted(tmp_path.glob("c*.npz")), tmp_path / "out.npz")
    assert told.reasons == result.reasons
    with np.load(tmp_path / "out.npz") as written:
        for name, values in result.update.items():
            assert written[name].tobytes() == values.tobytes()


def definition(rows, m):
    """Who is odd, who holds nothing else, and whether something is shared, value by value."""
    bad, shared = [False] * len(rows), False
    for column in rows.T.tolist():
        told = [None if np.isfinite(value) else str(value) for value in column]
        common = {one for one in told[:m] if one and told[:m].count(one) >= max(m // 2 + 1, 2)}
        shared |= bool(common)
        for i, one in enumerate(told):
            bad[i] |= (one not in common) if common and i < m else bool(one) and not common
    return bad, [not np.isfinite(row).any() for row in rows[:m]], shared


@given(
    rows=arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(0, 9)), elements=st.sampled_from(VALUES)),
    stretch=st.integers(1, 9),
    width=st.integers(1, 9),
    references=st.integers(0, 1),
)
def test_whose_fault_it_is_does_not_depend_on_how_much_is_looked_at_together(rows, stretch, width, references):
    m = max(len(rows) - references, 1)
    look = Look(m, len(rows) - m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "STRETCH", 4 * stretch)
        for start in range(0, max(rows.shape[1], 1), width):
            look.add(list(rows[:, start : start + width]))
    bad, empty, found = definition(rows, m)
    assert (look.found.bad.tolist(), look.found.empty.tolist(), look.found.shared) == (bad, empty, found)
