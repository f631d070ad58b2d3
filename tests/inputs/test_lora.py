"""LoRA's factors vote as their product: how a client writes it does not matter, and the result is factored again."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from cases import ASKING, CASES
from hypothesis import given, settings
from hypothesis import strategies as st

import robustagg as ra
from robustagg.inputs import lora
from robustagg.inputs.gather import gather

torch = pytest.importorskip("torch", reason="torch tensors need torch")

PRODUCT = ra.Policy(lora="product")
A, B = "model.q.lora_A.default.weight", "model.q.lora_B.default.weight"
OUT, IN, RANK = 37, 53, 3
RULES = [
    ra.Mean(),
    ra.Median(),
    ra.Krum(f=1),
    ra.GeometricMedian(),
    ra.Reputation(),
    ra.Pipeline(ra.NNM(f=1), ra.MDA(f=1)),
]


def adapters(seed, n=6, rank=RANK, dtype=np.float32):
    """What clients make of one adapter: near to each other, as after a round."""
    drawn = np.random.default_rng(seed)
    a, b = drawn.normal(size=(rank, IN)), drawn.normal(size=(OUT, rank))
    return [
        {
            A: (a + 0.1 * drawn.normal(size=a.shape)).astype(dtype),
            B: (b + 0.1 * drawn.normal(size=b.shape)).astype(dtype),
            "head": drawn.normal(size=5).astype(dtype),
        }
        for _ in range(n)
    ]


def product(tree, a=A, b=B):
    return np.asarray(tree[b], np.float64) @ np.asarray(tree[a], np.float64)


def dense(trees):
    return [{"head": tree["head"], "w": product(tree).astype(np.float32)} for tree in trees]


def truncated(matrix, rank=RANK):
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_as_by_hand_on_the_products(rule):
    trees = adapters(0)
    expected = copy.deepcopy(rule).aggregate(dense(trees))
    got = copy.deepcopy(rule).aggregate(trees, policy=PRODUCT)
    np.testing.assert_allclose(got.weights, expected.weights, rtol=1e-4)
    np.testing.assert_allclose(product(got.update), truncated(expected.update["w"]), atol=2e-4)
    np.testing.assert_array_equal(got.update["head"].shape, (5,))
    assert (got.update[A].shape, got.update[B].shape) == ((RANK, IN), (OUT, RANK))
    assert got.update[A].dtype == np.float32


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.floats(0.01, 100), st.integers(0, 5))
def test_the_same_product_written_otherwise_is_the_same_client(seed, s, who):
    trees = adapters(seed)
    other = [dict(tree) for tree in trees]
    other[who] |= {A: (trees[who][A] / s).astype(np.float32), B: (trees[who][B] * s).astype(np.float32)}
    for rule in (ra.MultiKrum(f=1, m=3), ra.GeometricMedian(), ra.Median()):
        one, two = (rule.aggregate(sent, policy=PRODUCT) for sent in (trees, other))
        np.testing.assert_allclose(two.weights, one.weights, atol=1e-3)
        np.testing.assert_allclose(product(two.update), product(one.update), atol=1e-3)


def test_as_factors_the_same_product_is_an_outlier():
    trees = adapters(1)
    trees[0] |= {A: trees[0][A] / 10, B: trees[0][B] * 10}
    as_factors = ra.MultiKrum(f=1).aggregate(trees)
    assert as_factors.weights[0] == 0
    told = ra.MultiKrum(f=1).aggregate(trees, policy=PRODUCT).reasons
    scores = [float(reason.rsplit(" ", 1)[1]) for reason in told]
    assert scores[0] < 1.5 * np.median(scores)


def test_the_product_of_means_is_not_the_mean_of_products():
    trees = adapters(2)
    mean = np.mean([product(tree) for tree in trees], axis=0)

    def error(update):
        return np.linalg.norm(product(update) - mean) / np.linalg.norm(mean)

    assert error(ra.Mean()(trees, policy=PRODUCT)) < error(ra.Mean()(trees))


@pytest.mark.parametrize("make", [np.float16, np.float64, torch.bfloat16])
def test_kinds_and_dtypes_stay(make):
    def kind(tree):
        if isinstance(make, torch.dtype):
            return {name: torch.from_numpy(values).to(make) for name, values in tree.items()}
        return {name: values.astype(make) for name, values in tree.items()}

    update = ra.Krum(f=1)([kind(tree) for tree in adapters(3)], policy=PRODUCT)
    assert type(update[A]) is type(kind(adapters(3)[0])[A])
    assert update[A].dtype == update[B].dtype == update["head"].dtype == make


def test_convolutions_embeddings_and_plain_names():
    drawn = np.random.default_rng(4)

    def tree():
        return {
            "conv": {"lora_A": drawn.normal(size=(2, 3, 3, 3)), "lora_B": drawn.normal(size=(6, 2, 1, 1))},
            "e.lora_embedding_A.default": drawn.normal(size=(2, 40)),
            "e.lora_embedding_B.default": drawn.normal(size=(8, 2)),
        }

    trees = [tree() for _ in range(5)]
    result = ra.Krum(f=1).aggregate(trees, policy=PRODUCT)
    chosen = trees[int(result.weights.argmax())]
    pair = result.update["conv"], chosen["conv"]
    ours, theirs = (conv["lora_B"].reshape(6, 2) @ conv["lora_A"].reshape(2, -1) for conv in pair)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    names = "e.lora_embedding_A.default", "e.lora_embedding_B.default"
    np.testing.assert_allclose(product(result.update, *names), product(chosen, *names), atol=1e-12)


def test_an_untrained_adapter_can_still_be_trained():
    """Zero times zero has no gradient: A keeps a length where B is zero."""
    trees = [tree | {B: np.zeros((OUT, RANK), np.float32)} for tree in adapters(5)]
    update = ra.Mean()(trees, policy=PRODUCT)
    assert not update[B].any()
    np.testing.assert_allclose(np.linalg.norm(update[A], axis=1), np.sqrt(1e-3), rtol=1e-5)


def test_a_layer_narrower_than_the_rank():
    trees = [{"lora_A": np.eye(4, 2) * (i + 1.0), "lora_B": np.ones((3, 4))} for i in range(3)]
    update = ra.Median()(trees, policy=PRODUCT)
    np.testing.assert_allclose(update["lora_B"] @ update["lora_A"], trees[1]["lora_B"] @ trees[1]["lora_A"])


def test_nonsense_costs_its_sender_alone():
    trees = adapters(6)
    bad = [
        trees[0] | {A: np.full((RANK, IN), np.nan, np.float32)},
        trees[0] | {B: np.ones((OUT, RANK + 1), np.float32)},
    ]
    bad.append(trees[0] | {A: np.full((RANK, IN), 1e30, np.float32), B: np.full((OUT, RANK), 1e30, np.float32)})
    result = ra.Krum(f=1).aggregate([*trees, *bad], policy=PRODUCT)
    assert result.admitted.tolist() == [True] * 6 + [False] * 3
    np.testing.assert_allclose(product(result.update), product(ra.Krum(f=1)(trees, policy=PRODUCT)), atol=1e-4)
    result = ra.Median().aggregate([*trees, *bad], policy=PRODUCT)
    np.testing.assert_array_equal(result.update[A], ra.Median()(trees, policy=PRODUCT)[A])


def test_whole_adapters_with_their_reference():
    trees, center = adapters(7), adapters(8, n=1)[0]
    moved = [
        {"head": t["head"] - center["head"], "w": (product(t) - product(center)).astype(np.float32)} for t in trees
    ]
    expected = ra.CenteredClipping(tau=5.0).aggregate(moved)
    got = ra.CenteredClipping(tau=5.0).aggregate(trees, policy=PRODUCT, reference=center)
    np.testing.assert_allclose(got.weights, expected.weights, rtol=1e-4)
    np.testing.assert_allclose(product(got.update), truncated(expected.update["w"] + product(center)), atol=1e-3)


def test_an_intake_of_products(tmp_path):
    from robustagg import ledger

    trees = adapters(9)
    intake = ra.Intake("median", trees[0], policy=PRODUCT, reference=True, ledger=tmp_path / "ledger")
    for _ in range(2):
        for i, tree in enumerate(trees):
            assert intake.add(i, tree) is None
        update = intake.close().update
    np.testing.assert_allclose(product(update), truncated(ra.Median()(dense(trees))["w"]), atol=2e-4)
    assert ledger.summary(tmp_path / "ledger")["policy"]["lora"] == "product"


@pytest.mark.parametrize("case", [case for case in [*CASES, *ASKING] if case.make(1).isometric], ids=str)
def test_isometric_rules_turn_with_their_updates(case):
    x = np.random.default_rng(11).normal(size=(9, 6)) + np.arange(6)
    turn = np.linalg.qr(np.random.default_rng(12).normal(size=(6, 6)))[0]
    np.testing.assert_allclose(case.make(1)(x @ turn), case.make(1)(x) @ turn, atol=1e-5)


def test_who_is_isometric():
    named = {type(case.make(1)).__name__ for case in CASES if case.make(1).isometric}
    ours = {"Mean", "Krum", "MultiKrum", "MDA", "SMEA", "GeometricMedian", "Medoid", "CGE", "MoNNA", "CAF", "Pipeline"}
    assert named == ours
    assert not ra.Pipeline(ra.NNM(f=1), ra.Median()).isometric


def test_cores_are_as_small_as_the_clients_are_few():
    trees = [{"lora_A": tree[A], "lora_B": tree[B]} for tree in adapters(13, n=5)]
    (leaf, _) = gather(trees, policy=PRODUCT, isometric=True).leaves
    assert isinstance(leaf, lora.CoreLeaf)
    assert leaf.shape == (5 * RANK, 5 * RANK)
    whole = np.stack([product(tree, "lora_A", "lora_B").ravel() for tree in trees])
    cores = np.stack(leaf.rows)
    np.testing.assert_allclose(cores @ cores.T, whole @ whole.T, rtol=1e-4)
    many = [{"lora_A": tree[A], "lora_B": tree[B]} for tree in adapters(13, n=20)]
    assert isinstance(gather(many, policy=PRODUCT, isometric=True).leaves[0], lora.ProductLeaf)


def test_the_product_is_never_whole_and_any_cut_has_the_same_bits():
    drawn = np.random.default_rng(10)
    a, b = drawn.normal(size=(4, 300)).astype(np.float32), drawn.normal(size=(500, 4)).astype(np.float32)
    row = lora.Product(a, b)
    whole = row[:]
    np.testing.assert_allclose(whole.reshape(500, 300), b @ a, atol=1e-5)
    for start, stop in ((0, 0), (5, 6), (299, 301), (1000, 90_001), (149_999, 150_000)):
        assert row[start:stop].tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"w": np.ones(3)}, "no factors lora_A, but 'w'"),
        ({"lora_A": np.ones((2, 3))}, "no factor B that fits, but one of shape None"),
        ({"lora_A": np.ones((2, 3)), "lora_B": np.ones((4, 3))}, r"fits, but one of shape \(4, 3\)"),
    ],
)
def test_a_model_without_factors(tree, text):
    with pytest.raises(ValueError, match=text):
        ra.Mean().aggregate([tree] * 3, policy=PRODUCT)
