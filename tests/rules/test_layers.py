"""Rules that judge tensors by themselves: the same evidence wherever the tensors lie, and however they are cut."""

from __future__ import annotations

import definitions
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file, save_file

import robustagg as ra
from robustagg import inputs
from robustagg.kernels.interface import GRAM_TILE
from robustagg.protocol import Block, spans
from robustagg.rules.evidence.tensors import TILES, ByTensor, tiled, within

SHAPES = {"a.bias": (7,), "a.weight": (7, 3000), "b.scale": (), "b.weight": (40_000,), "c": (0, 3), "d.weight": (2, 9)}
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def models(n: int = 9, dtype: str = "float32", seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {name: np.asarray(rng.normal(size=shape)).astype(dtype) for name, shape in SHAPES.items()} for _ in range(n)
    ]


def flat(trees: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """(n, size) of each tensor."""
    return [np.stack([tree[name].ravel() for tree in trees]).astype(np.float64) for name in sorted(trees[0])]


def saved(folder, trees):
    paths = [folder / f"{i}.safetensors" for i in range(len(trees))]
    for path, tree in zip(paths, trees, strict=True):
        save_file(tree, path)
    return paths


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert_array_equal(found[name], tensor, name)


# --- where tensors are ----------------------------------------------------------------------------------------------


def test_every_coordinate_of_a_block_is_of_one_tensor():
    shapes = [(3,), (0,), (2, 4), (), (5,)]
    placed = spans((str(k), shape) for k, shape in enumerate(shapes))
    owner = [k for k, span in enumerate(placed) for _ in range(span.size)]
    for start in range(len(owner) + 1):
        for stop in range(start, len(owner) + 1):
            found = [(k, c) for k, a, b in within(Block([np.zeros(stop - start)], start), placed) for c in range(a, b)]
            assert found == [(owner[start + c], c) for c in range(stop - start)]


def test_parts_end_where_tiles_do():
    for begin, end in ((0, 5), (3, GRAM_TILE), (GRAM_TILE - 1, 3 * GRAM_TILE + 1), (5, (TILES + 9) * GRAM_TILE)):
        parts = list(tiled(begin, end))
        assert [parts[0][0], *(b for _, b in parts)] == [*(a for a, _ in parts), end]
        assert all(b % GRAM_TILE == 0 for _, b in parts[:-1])


def test_evidence_of_tensors_adds_up_in_any_order():
    one, other = ByTensor({0: 1, 1: 2}), ByTensor({1: 3, 4: 5})
    assert (one + other).seen == (other + one).seen == {0: 1, 1: 5, 4: 5}
    assert one.seen == {0: 1, 1: 2}


def test_sources_say_where_tensors_are():
    trees = models(3)
    names = [span.name for span in inputs.gather(trees).spans]
    assert names == sorted(SHAPES)
    some = inputs.gather(trees, policy=ra.Policy(exclude=["*.bias"]))
    assert [span.name for span in some.spans] == sorted(SHAPES)[1:]
    assert some.spans[-1].stop == some.d
    (whole,) = inputs.gather(np.ones((3, 5))).spans
    assert (whole.name, whole.start, whole.shape) == ("", 0, (5,))
    assert inputs.Relative(inputs.gather(trees), trees[0]).spans == inputs.gather(trees).spans


# --- LASA -----------------------------------------------------------------------------------------------------------


def test_lasa_is_its_definition():
    for n in (1, 3, 4, 8):
        trees = models(n, "float64", n)
        for name in ("a.weight", "d.weight"):
            trees[-1][name] *= -5
        found = ra.LASA()(trees)
        together = np.concatenate([found[name].ravel() for name in sorted(found)])
        assert_allclose(together, definitions.lasa(flat(trees)), **EXACT)
        single = [{name: tensor.astype(np.float32) for name, tensor in tree.items()} for tree in trees]
        found = ra.LASA()(single)
        together = np.concatenate([found[name].ravel() for name in sorted(found)])
        assert_allclose(together, definitions.lasa(flat(single)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_lasa_over_files_has_the_same_bits(tmp_path, dtype):
    trees, counts = models(6, dtype), [1, 2, 3, 4, 5, 6]
    trees[2]["b.weight"] *= 30
    policy = ra.Policy(exclude=["d.*"])
    expected = ra.LASA().aggregate(trees, sample_counts=counts, policy=policy)
    arguments = {"sample_counts": counts, "policy": policy, "ids": range(6), "max_memory": "24 MiB"}
    found = ra.aggregate_files(ra.LASA(), saved(tmp_path, trees), tmp_path / "out.safetensors", **arguments)
    assert_same(load_file(tmp_path / "out.safetensors"), expected.update)
    assert_array_equal(found.weights, expected.weights)
    assert found.reasons == expected.reasons


def test_lasa_of_whole_parameters(tmp_path):
    trees, reference = models(5), models(1, seed=9)[0]
    differences = [{name: tree[name] - reference[name] for name in tree} for tree in trees]
    inner = ra.LASA().aggregate(differences)
    whole = ra.LASA().aggregate(trees, reference=reference)
    assert_same(whole.update, {name: inner.update[name] + reference[name] for name in reference})
    assert_array_equal(whole.weights, inner.weights)
    out = tmp_path / "out.safetensors"
    ra.aggregate_files(ra.LASA(), saved(tmp_path, trees), out, reference=reference, max_memory="24 MiB")
    assert_same(load_file(out), whole.update)


def test_lasa_after_a_pre_aggregation():
    trees = models(8, "float64")
    mixed = ra.NNM(f=2)(trees)
    found = ra.Pipeline(ra.NNM(f=2), ra.LASA()).aggregate(trees)
    expected = ra.LASA().aggregate(mixed)
    for name, tensor in expected.update.items():
        assert_allclose(found.update[name], tensor, **EXACT)


def test_lasa_leaves_a_client_out_of_the_tensors_that_it_has_poisoned():
    trees = models(10)
    for tree in trees[:9]:
        tree["a.weight"] += 1
    trees[9]["a.weight"] = -1 + trees[9]["a.weight"]
    result = ra.LASA(lambda_norm=2.5, lambda_sign=2.5).aggregate(trees)
    assert "of 5 tensors" in result.reasons[9]
    assert result.weights[9] < result.weights[:9].max()
    assert result.update["a.weight"].mean() > 0.6  # of 1, clipped
    for bad in ({"sparsity": 1.0}, {"lambda_norm": 0}, {"lambda_sign": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            ra.LASA(**bad)


# --- LFighter -------------------------------------------------------------------------------------------------------

HEAD = (12, 3000)  # neurons lie across tiles


def flipped(n: int = 9, f: int = 3, dtype: str = "float64", seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Honest updates of a model; the last f clients take class 4 for class 7."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=HEAD)
    trees = []
    for i in range(n):
        head = common + rng.normal(size=HEAD)
        head[[4, 7]] += 3 * common[[4, 7]] if i < n - f else -5 * common[[4, 7]]
        body = rng.normal(size=5000)
        trees.append({"a.body": body, "b.head": head, "b.bias": rng.normal(size=12), "z.last": rng.normal(size=(2, 5))})
    return [{name: tensor.astype(dtype) for name, tensor in tree.items()} for tree in trees]


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_lfighter_is_its_definition(variant):
    for seed in range(4):
        trees = flipped(seed=seed)
        whole = np.stack([np.concatenate([tree[name].ravel() for name in sorted(tree)]) for tree in trees])
        heads = np.stack([tree["b.head"] for tree in trees])
        two = np.sort(np.linalg.norm(heads, axis=2).sum(axis=0).argsort()[-2:])
        assert two.tolist() == [4, 7]
        chosen, expected = definitions.lfighter(whole, heads[:, two].reshape(9, -1), variant)
        result = ra.LFighter("*.head", variant=variant).aggregate(trees)
        assert np.flatnonzero(result.weights).tolist() == chosen
        together = np.concatenate([result.update[name].ravel() for name in sorted(trees[0])])
        assert_allclose(together, expected, **EXACT)


def test_lfighter_finds_who_flips_labels():
    for seed in range(3):
        result = ra.LFighter("b.head").aggregate(flipped(seed=seed))
        assert_array_equal(result.weights > 0, np.arange(9) < 6)
        assert "in a group of 3 of 9" in result.reasons[8]


def test_lfighter_takes_the_last_matrix_where_none_is_named():
    trees = flipped()
    last = np.stack([tree["z.last"].ravel() for tree in trees])  # two classes: the whole tensor
    chosen, _ = definitions.lfighter(last, last)
    assert np.flatnonzero(ra.LFighter().aggregate(trees).weights).tolist() == chosen
    with pytest.raises(ValueError, match=r"no tensor that votes fits 'fc\.\*'.*'b\.head'"):
        ra.LFighter("fc.*").aggregate(trees)
    with pytest.raises(ValueError, match="no tensor"):
        ra.LFighter("b.head").aggregate(trees, policy=ra.Policy(exclude=["b.*"]))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_lfighter_over_files_has_the_same_bits(tmp_path, dtype):
    trees, reference = flipped(dtype=dtype), flipped(1, 0, dtype, seed=5)[0]
    paths, out = saved(tmp_path, trees), tmp_path / "out.safetensors"
    for given in ({}, {"reference": reference}):
        expected = ra.LFighter("b.head").aggregate(trees, **given)
        found = ra.aggregate_files(ra.LFighter("b.head"), paths, out, max_memory="24 MiB", **given)
        assert_same(load_file(out), expected.update)
        assert_array_equal(found.weights, expected.weights)
        assert found.reasons == expected.reasons


def test_lfighter_withstands_huge_rows():
    trees = flipped(f=1)
    for size in (1e200, 1e300):
        trees[8] = {name: np.full_like(tensor, size) for name, tensor in trees[8].items()}
        result = ra.LFighter("b.head").aggregate(trees)
        assert_array_equal(result.weights > 0, np.arange(9) < 8)
