"""A model of many small tensors is the same sequence of coordinates as one large tensor, to the bit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import robustagg as ra
from robustagg.inputs import blocks

TILE = 8192
SIZES = st.lists(st.sampled_from([0, 1, 64, 5000, TILE, TILE + 1, 40000, 100000]), max_size=12)


@given(SIZES, st.integers(1, 5), st.sampled_from([None, 4 * TILE]))
def test_blocks_begin_at_tiles_and_cover_the_run(sizes, tiles, alone):
    width, at = tiles * TILE, 0
    found = list(blocks.cuts(list(enumerate(sizes)), width, alone))
    for cut in found:
        assert at % TILE == 0
        size = sum(stop - start for _, start, stop in cut)
        assert size <= width or (len(cut) == 1 and size >= alone)
        at += size
    covered = [(k, start, stop) for cut in found for k, start, stop in cut]
    ends = dict.fromkeys(range(len(sizes)), 0)
    for k, start, stop in covered:
        assert ends[k] == start < stop
        ends[k] = stop
    assert list(ends.values()) == sizes
    assert [k for k, *_ in covered] == sorted(k for k, *_ in covered)


def test_a_tensor_per_coordinate_makes_no_endless_block():
    found = list(blocks.cuts([(k, 1) for k in range(3 * TILE)], 100 * TILE))
    assert max(map(len, found)) <= blocks.PIECES + TILE


RULES = [
    ra.Median(),
    ra.Krum(f=1),
    ra.GeometricMedian(),
    ra.MDA(f=1),
    ra.DnC(f=1, sub_dim=100),
    ra.FoolsGold(features=(9000, 30000)),
    ra.Reputation(),
    ra.CenteredClipping(),
    ra.Pipeline(ra.NNM(f=1), ra.TrimmedMean(f=1)),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_trees_files_and_flat_updates_have_the_same_bits(rule, tmp_path):
    rng = np.random.default_rng(0)
    sizes = [3, 40000, *[64] * 60, 0, 8192, 5, 20001]
    flat = rng.normal(size=(5, sum(sizes))).astype(np.float32)
    names = [f"t{k:03}" for k in range(len(sizes))]
    trees = [dict(zip(names, np.split(row, np.cumsum(sizes)[:-1]), strict=True)) for row in flat]
    for i, tree in enumerate(trees):
        np.savez(tmp_path / f"{i}.npz", **tree)
    one, two, three = (copy.deepcopy(rule) for _ in range(3))
    for _ in range(2):  # what a rule remembers is in the same order, too
        expected, got = one.aggregate(flat), two.aggregate(trees)
        told = ra.aggregate_files(three, sorted(tmp_path.glob("?.npz")), tmp_path / "out.npz", max_memory="32 MiB")
        assert np.concatenate(list(got.update.values())).tobytes() == expected.update.tobytes()
        assert got.weights.tobytes() == expected.weights.tobytes() == told.weights.tobytes()
        with np.load(tmp_path / "out.npz") as written:
            assert np.concatenate([written[name] for name in names]).tobytes() == expected.update.tobytes()
