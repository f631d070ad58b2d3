"""Pre-aggregations against their definitions, and pipelines against their members one after the other."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import definitions
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg.rules.mixing import pipeline

EXACT = {"rtol": 1e-9, "atol": 1e-12}


def honest(seed: int, n: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng([seed, n, d]).normal(size=(n, d))


MIXERS = [
    (lambda f: ra.NNM(f), definitions.nnm),
    (lambda f: ra.NormClipping(2.0), definitions.norm_clipping),
    (lambda f: ra.ARC(f), definitions.arc),
]
each_mixer = pytest.mark.parametrize(("make", "definition"), MIXERS, ids=["NNM", "NormClipping", "ARC"])


# --- on their own ---------------------------------------------------------------------------------------------------


@each_mixer
def test_definition(make, definition):
    for n in range(1, 9):
        for f in range((n + 1) // 2):
            x = honest(f, n)
            assert_allclose(make(f)(x), definition(x, f), **EXACT)


def test_neighbours_that_are_equal_come_in_the_clients_order():
    for seed in range(20):
        x = np.random.default_rng(seed).integers(0, 2, (6, 2)).astype(np.float64)
        assert_allclose(ra.NNM(2)(x), definitions.nnm(x, 2), **EXACT)


def test_buckets_are_means_of_different_clients():
    x = honest(0, 7)
    for s in range(1, 9):
        buckets = ra.Bucketing(s, seed=3)(x)
        order = np.random.default_rng([3, 1]).permutation(7)
        assert_allclose(buckets, [x[order[i : i + s]].mean(axis=0) for i in range(0, 7, s)], **EXACT)
    assert not np.array_equal(ra.Bucketing(2)(x), ra.Bucketing(2)(x, round=2))
    assert not np.array_equal(ra.Bucketing(2)(x), ra.Bucketing(2, seed=1)(x))


def test_clipping_leaves_a_zero_update_alone():
    assert_array_equal(ra.NormClipping(1.0)(np.zeros((2, 3))), np.zeros((2, 3)))
    assert_array_equal(ra.ARC(1)(np.zeros((3, 3))), np.zeros((3, 3)))
    result = ra.Pipeline(ra.ARC(1), ra.Krum(0)).aggregate(np.diag([0.0, 0.0, 5.0]))  # cut to nothing
    assert result.weights.sum() == 1


@each_mixer
def test_the_callers_array_is_left_as_it_was(make, definition):
    x = 100 * honest(0, 7)
    before = x.copy()
    make(2)(x)
    assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_comes_out_is_as_what_went_in(dtype):
    x = honest(0, 5).astype(dtype)
    mixed = ra.NNM(1)(x)
    assert mixed.dtype == dtype
    assert mixed.shape == (5, 5)
    trees = ra.NNM(1)([{"w": row[:4].reshape(2, 2), "b": row[4:], "steps": np.array(7)} for row in x])
    assert isinstance(trees, list)
    assert_array_equal(trees[2]["w"], mixed[2, :4].reshape(2, 2))
    assert trees[2]["steps"] == 7
    assert isinstance(ra.NNM(1)(list(x)), list)


def test_torch_tensors_come_back_as_one():
    torch = pytest.importorskip("torch")
    x = torch.tensor(honest(0, 5), dtype=torch.bfloat16)
    mixed = ra.NNM(1)(x)
    assert mixed.dtype == torch.bfloat16
    assert_allclose(mixed.double().numpy(), definitions.nnm(x.double().numpy(), 1), atol=0.02)


def test_who_sends_a_nan_takes_no_part():
    x = honest(0, 6)
    y = np.insert(x, 3, np.nan, axis=0)
    assert_array_equal(ra.NNM(2)(y), ra.NNM(2)(x))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ra.NNM(-1), "f must be"),
        (lambda: ra.ARC(0.5), "f must be"),
        (lambda: ra.Bucketing(0), "s must be"),
        (lambda: ra.Bucketing(2, seed=-1), "seed must be"),
        (lambda: ra.NormClipping(0), "c must be positive"),
        (lambda: ra.NNM(3)(honest(0, 3)), "NNM needs more than f = 3 clients; 3 clients are admitted"),
        (lambda: ra.ARC(3)(honest(0, 3)), "ARC needs more than f = 3 clients"),
    ],
)
def test_errors_name_the_numbers(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_neighbours_are_mixed_without_a_copy_per_neighbour():
    n, d = 60, 40_000
    x = honest(0, n, d).astype(np.float32)
    tracemalloc.start()
    ra.NNM(10)(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * x.nbytes  # the neighbours alone would be 50


# --- pipelines ------------------------------------------------------------------------------------------------------

LAST = [
    lambda: ra.Mean(),
    lambda: ra.Median(),
    lambda: ra.TrimmedMean(f=2),
    lambda: ra.Krum(2),
    lambda: ra.Bulyan(2),
    lambda: ra.GeometricMedian(),
    lambda: ra.CenteredClipping(tau=1.0),
    lambda: ra.CenteredClipping(tau=1.0, iterations=2),
    lambda: ra.MoNNA(2),
    lambda: ra.Aksel(2),
    lambda: ra.DnC(2, sub_dim=20),
    lambda: ra.Reputation(value_range=1.0),
    lambda: ra.ResidualReweighting(),
    lambda: ra.FoolsGold(),
    lambda: ra.MeaMed(f=2),
]


@pytest.mark.parametrize("last", LAST, ids=lambda make: type(make()).__name__)
@each_mixer
def test_a_pipeline_is_its_members_one_after_the_other(make, definition, last, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK", 1)  # many chunks of one tile
    x = np.concatenate([honest(0, 9, 20_000), 3 + honest(1, 2, 20_000)])
    whole, apart = ra.Pipeline(make(2), last()), last()
    for _ in range(3):
        got, expected = whole.aggregate(x), apart.aggregate(make(2)(x))
        assert_allclose(got.update, expected.update, rtol=1e-7, atol=1e-9)
        if got.reputation is not None:
            assert_array_equal(got.rejected, expected.rejected)
            assert_array_equal(got.reputation, expected.reputation)
        assert got.round == expected.round
        x = x[:, ::-1].copy()


def test_lengths_of_mixed_rows_follow_from_their_geometry():
    x = np.concatenate([honest(0, 9, 50), 30 + honest(1, 2, 50)])
    assert_allclose(ra.Pipeline(ra.NNM(2), ra.CGE(2))(x), ra.CGE(2)(ra.NNM(2)(x)), **EXACT)


@pytest.mark.parametrize(
    "members",
    [
        [ra.ARC(2), ra.NNM(2), ra.Bucketing(3)],
        [ra.Bucketing(3), ra.ARC(1)],
        [ra.NormClipping(1.0), ra.Bucketing(3)],
        [ra.ARC(2), ra.NormClipping(1.0)],
        [ra.NNM(2), ra.ARC(2)],
    ],
    ids=str,
)
def test_members_are_composed_in_their_order(members):
    x = np.concatenate([honest(0, 9, 50), 30 + honest(1, 2, 50)])
    got = ra.Pipeline(*members, ra.Median())(x)
    for member in members:
        x = member(x)
    assert_allclose(got, ra.Median()(x), **EXACT)


def test_weights_are_shares_of_the_rows():
    x = np.concatenate([honest(0, 9, 50), 30 + honest(1, 2, 50)])
    result = ra.Pipeline(ra.NNM(2), ra.Mean()).aggregate(x)
    assert_allclose(result.weights @ x, result.update, **EXACT)
    picked = ra.Pipeline(ra.Bucketing(2), ra.Krum(1)).aggregate(x)
    assert sorted(picked.weights)[-2:] == [0.5, 0.5]
    assert picked.weights.sum() == 1
    assert {reason.split(":")[0] for reason in picked.reasons} == {f"in row {k}" for k in range(6)}


@pytest.mark.parametrize("mixer", [ra.NNM(1), ra.NormClipping(1.0)], ids=str)
def test_where_the_rule_trusts_nobody_all_weights_are_zero(mixer):
    result = ra.Pipeline(mixer, ra.FLTrust()).aggregate(np.abs(honest(0, 5)), server_update=-np.ones(5))
    assert_array_equal(result.update, 0)
    assert_array_equal(result.weights, 0)


def test_conditions_are_those_of_the_mixed_rows():
    x = honest(0, 11)
    ra.Pipeline(ra.Bucketing(2), ra.TrimmedMean(f=2))(x)
    with pytest.raises(ValueError, match="TrimmedMean needs more than 2f = 6 clients; 6 clients"):
        ra.Pipeline(ra.Bucketing(2), ra.TrimmedMean(f=3))(x)
    with pytest.raises(ValueError, match="NNM needs more than f = 11"):
        ra.Pipeline(ra.NNM(11), ra.Median())(x)


def test_reputation_weighs_mixed_rows_but_no_buckets():
    x = np.concatenate([honest(0, 9, 300), 3 + honest(1, 2, 300)])
    result, alone = ra.Pipeline(ra.NormClipping(1e3), ra.Reputation()).aggregate(x), ra.Reputation().aggregate(x)
    assert_array_equal(result.rejected, alone.rejected)
    assert_allclose(result.weights, alone.weights, **EXACT)
    for last in (ra.Reputation(), ra.MoNNA(1)):
        with pytest.raises(ValueError, match="must know whose row is whose, but the rows that Bucketing makes"):
            ra.Pipeline(ra.Bucketing(), last)


def test_sample_counts_reach_the_rule():
    x, counts = honest(0, 6), np.arange(1.0, 7)
    got = ra.Pipeline(ra.NormClipping(1.0), ra.Mean()).aggregate(x, sample_counts=counts).update
    assert_allclose(got, counts @ definitions.norm_clipping(x, 0, 1.0) / counts.sum(), **EXACT)
    for members in ((ra.NNM(1), ra.TrimmedMean(f=1)), (ra.Bucketing(), ra.Mean())):
        with pytest.raises(ValueError, match="Pipeline does not weigh by sample counts"):
            ra.Pipeline(*members).aggregate(x, sample_counts=counts)


def test_a_nan_client_is_left_out_of_the_mixing():
    x = honest(0, 9)
    y = np.insert(x, 4, np.nan, axis=0)
    for last in LAST:
        result = ra.Pipeline(ra.NNM(2), last()).aggregate(y) if last is not LAST[4] else None
        if result is not None:
            assert result.weights[4] == 0
            assert not result.admitted[4]
    assert_array_equal(ra.Pipeline(ra.NNM(2), ra.Median())(y), ra.Pipeline(ra.NNM(2), ra.Median())(x))


def test_notes_do_not_wait_for_the_garbage_collector():
    array = np.ones(3)
    known = weakref.ref(array)
    notes = pipeline.ChunkNotes.of([array, array])
    assert [note is array for note in notes.chunks()] == [True, True]
    gc.disable()
    try:
        del array, notes
        assert known() is None
    finally:
        gc.enable()


def test_a_pipeline_remembers_what_its_rule_remembers():
    members = (ra.NNM(2), ra.CenteredClipping(tau=1.0))
    rule = ra.Pipeline(*members)
    rule(honest(0, 9))
    other = ra.Pipeline(ra.NNM(2), ra.CenteredClipping(tau=1.0))
    other.load_state_dict(rule.state_dict())
    assert_array_equal(rule(honest(1, 9)), other(honest(1, 9)))
    assert other.last_round == 2
    with pytest.raises(ValueError, match="members"):
        ra.Pipeline(ra.NNM(1), ra.CenteredClipping(tau=1.0)).load_state_dict(rule.state_dict())
    assert repr(ra.Pipeline(ra.NNM(2), ra.Median())) == "Pipeline(NNM(f=2), Median(nonfinite='reject'))"


def test_what_a_pipeline_is():
    for members in ((), (ra.NNM(1),), (ra.Median(), ra.NNM(1)), (ra.Median(), ra.Median()), (1, ra.Median())):
        with pytest.raises(TypeError, match="a pipeline is pre-aggregations and then one rule"):
            ra.Pipeline(*members)
    x = honest(0, 6)
    assert_array_equal(ra.Pipeline(ra.Median())(x), ra.Median()(x))


def test_bits_are_those_of_files(tmp_path):
    x = np.concatenate([honest(0, 9, 50_000), 3 + honest(1, 2, 50_000)]).astype(np.float32)
    for i, row in enumerate(x):
        np.save(tmp_path / f"{i:02}.npy", row)
    paths = sorted(tmp_path.glob("*.npy"))
    for last in LAST:
        in_memory = ra.Pipeline(ra.NNM(2), last()).aggregate(x)
        result = ra.aggregate_files(
            ra.Pipeline(ra.NNM(2), last()), paths, tmp_path / "out.npy", ids=range(11), max_memory="12 MiB"
        )
        assert_array_equal(np.load(tmp_path / "out.npy"), in_memory.update)
        assert_array_equal(result.weights, in_memory.weights)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: ra.Krum(2),
        lambda: ra.CenteredClipping(tau=1.0),
        lambda: ra.Pipeline(ra.NNM(2), ra.CenteredClipping(tau=1.0)),
        lambda: ra.Pipeline(ra.Bucketing(2, seed=5), ra.Median(), nonfinite="raise"),
        lambda: ra.Pipeline(ra.NormClipping(50.0), ra.Reputation(window=3)),
        lambda: ra.FoolsGold(),
    ],
    ids=lambda make: repr(make()).split("(nonfinite")[0],
)
def test_a_saved_rule_goes_on_where_it_was(make, tmp_path):
    rule, path = make(), tmp_path / "rule.npz"
    for seed in range(3):
        rule(honest(seed, 9))
    rule.save(path)
    other = type(rule).load(path)
    assert other.parameters == rule.parameters
    x = honest(5, 9)
    one, two = rule.aggregate(x), other.aggregate(x)
    assert_array_equal(one.update, two.update)
    assert_array_equal(one.weights, two.weights)
    assert one.round == two.round == 4
    assert [file.name for file in tmp_path.iterdir()] == ["rule.npz"]


def test_a_file_that_is_no_state_is_told(tmp_path):
    path = tmp_path / "rule.npz"
    with pytest.raises(FileNotFoundError):
        ra.Krum.load(path)
    ra.Krum(2).save(path)
    with pytest.raises(ValueError, match="the state of 'Krum', not of 'MultiKrum'"):
        ra.MultiKrum.load(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    for content in (b"", b"text", whole[: len(whole) // 2], (tmp_path / "other.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ra.InvalidLedger, match=r"rule\.npz is not a ledger"):
            ra.Krum.load(path)


def test_pipelines_of_one_rule_share_no_memory():
    rule = ra.CenteredClipping(tau=0.1)
    pipelines = [ra.Pipeline(ra.NNM(f=1), rule) for _ in range(2)]
    rows = np.random.default_rng(0).normal(size=(3, 6, 4))
    for x in rows:
        one, other = (pipeline.aggregate(x) for pipeline in pipelines)
        assert_array_equal(one.update, other.update)
        assert one.round == other.round
    assert rule.last_round is None
