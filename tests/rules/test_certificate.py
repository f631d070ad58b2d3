"""What a certificate says holds: the result is no further from the median, whoever sends what, whatever the weights."""

from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import robustagg as ra
from robustagg import kernels
from robustagg.attacks import ATTACKS
from robustagg.kernels import numpy as specification

UPDATE_ATTACKS = [attack.function for attack in ATTACKS.values() if attack.kind == "update"]
ROUNDING = 1e-12  # of float64, relative to the largest number
TINY = 1e-140  # squares of what is below are not counted


def honest(seed, n, d, kind="dense"):
    rng = np.random.default_rng([seed, n, d])
    x = rng.normal(0.2, 0.05, (n, d))
    return {"dense": x, "sparse": x * (rng.random(x.shape) < 0.2), "equal": np.tile(x[0], (n, 1))}[kind]


def rescaled(x, rule):
    """The columns that are detected on, of which the replacement is the median."""
    return specification.rescaled_as_sent(np.asarray(x, np.float64), rule.line.rescale)[0]


def assert_holds(x, result, rule):
    """The distances as NumPy has them are within it."""
    kept = rescaled(x, rule)
    away = np.abs(np.asarray(result.update, np.float64) - np.median(kept, axis=0))
    told, room = result.certificate, ROUNDING * np.abs(kept).max(initial=0.0) + TINY
    assert np.linalg.norm(away) <= told.l2 * (1 + ROUNDING) + room
    assert away.max(initial=0.0) <= told.largest * (1 + ROUNDING) + room
    assert told.l2 <= told.worst_l2 * (1 + ROUNDING)
    assert told.largest <= told.worst_largest * (1 + ROUNDING)


@pytest.mark.parametrize("attack", UPDATE_ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize(
    "parameters",
    [{}, {"rescale": "paper"}, {"value_range": None}, {"normalize": "sum", "intercept": "median_point"}],
    ids=str,
)
def test_no_attack_exceeds_it(attack, parameters):
    for n, f in ((5, 1), (9, 4), (16, 6)):
        rule = ra.Reputation(**parameters)
        for seed, kind in enumerate(("dense", "sparse", "equal", "dense")):
            x = honest(seed, n - f, 30, kind)
            seeded = {"seed": seed} if "seed" in signature(attack).parameters else {}
            x = np.concatenate([x, attack(x, f, **seeded)])
            result = rule.aggregate(x, certify=True)
            assert_holds(x[result.admitted], result, rule)


@given(
    x=arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(0, 6)), elements=st.floats(-1e6, 1e6)),
    rescale=st.sampled_from(("clip", "paper")),
    value_range=st.sampled_from((None, 0.1, 2.0)),
)
def test_nothing_exceeds_it(x, rescale, value_range):
    rule = ra.Reputation(rescale=rescale, value_range=value_range)
    assert_holds(x, rule.aggregate(x, certify=True), rule)


def test_a_search_that_maximises_the_distance_does_not_exceed_it():
    closest = 0.0
    for restart in range(6):
        rng = np.random.default_rng(restart)
        n, f = ((5, 1), (7, 3), (10, 4))[restart % 3]
        base = honest(restart, n - f, 12)
        sent = rng.normal(0.2, 10.0 ** rng.uniform(-2, 1), (f, 12))
        best = -1.0
        for _ in range(40):
            tried = sent + rng.normal(size=sent.shape) * rng.choice([1e-3, 1e-2, 0.1, 1.0])
            x = np.concatenate([base, tried])
            rule = ra.Reputation()
            result = rule.aggregate(x, certify=True)
            assert_holds(x, result, rule)
            found = np.linalg.norm(result.update - np.median(x, axis=0))
            if found > best:
                best, sent = found, tried
                closest = max(closest, best / result.certificate.l2)
    assert closest > 0.5  # the search has come near


def test_one_client_with_all_the_weight_uses_it_up():
    x = honest(0, 5, 40)
    result = ra.Reputation().aggregate(x, sample_counts=[0, 0, 1, 0, 0], certify=True)
    assert result.weights[2] == 1
    assert_allclose(np.linalg.norm(result.update - np.median(x, axis=0)), result.certificate.l2)


@pytest.mark.parametrize("backend", kernels.available())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_it_says_of_each_client_is_the_distance_of_what_was_rectified(backend, dtype):
    x = np.concatenate([honest(3, 6, 9000), np.full((1, 9000), 5.0)]).astype(dtype)
    x[5, 8] = np.nan
    rule = ra.Reputation()
    with ra.use_backend(backend):
        told = rule.aggregate(x, certify=True).certificate
    admitted = np.delete(x, 5, axis=0)
    kept, rejected = ra.rectify(admitted)
    assert rejected.any()
    away = np.abs(kept - np.median(admitted, axis=0))
    assert_allclose(np.delete(told.distances, 5), np.linalg.norm(away, axis=1), rtol=1e-4)
    assert_allclose(np.delete(told.extremes, 5), away.max(axis=1), rtol=1e-4)
    assert told.distances[5] == told.extremes[5] == 0


def bound_of_the_line(y, rule):
    """(d,) how far a value that is accepted may lie from the median: (Z/delta) sqrt(2/n) sqrt(1-h) tau off the line."""
    ranked, n = np.sort(rescaled(y, rule), axis=0), len(y)
    x = np.arange(n)[:, None]
    slope, start = specification.line(ranked, rule.intercept)
    on_line = start + slope * x
    tau = 1.4826 * (1 + 5 / (n - 1)) * np.median(np.abs(ranked - on_line), axis=0) + rule.scale_floor
    leverage = 1 / n + (x - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    room = rule.interval_width / rule.confidence_threshold * np.sqrt(2 / n * (1 - leverage)) * tau
    return (room + np.abs(on_line - np.median(ranked, axis=0))).max(axis=0)


@pytest.mark.parametrize("intercept", ["separate", "hierarchical", "median_point"])
def test_it_is_never_above_what_the_line_leaves(intercept):
    for n, f in ((5, 1), (9, 3), (16, 6)):
        rule = ra.Reputation(intercept=intercept)
        x = honest(n, n, 60)
        x[n - f :] += np.random.default_rng(n).normal(size=(f, 60))
        told, room = rule.aggregate(x, certify=True).certificate, bound_of_the_line(x, rule)
        assert told.worst_l2 <= np.linalg.norm(room) * (1 + 1e-9)
        assert told.worst_largest <= room.max() * (1 + 1e-9)


def test_it_has_the_same_bits_for_threads_and_over_files(tmp_path, default_threads):
    x = honest(1, 6, 3 * 8192 + 5).astype(np.float32)
    once = ra.Reputation().aggregate(x, certify=True)
    for count in (1, 3):
        kernels.set_num_threads(count)
        assert_same(ra.Reputation().aggregate(x, certify=True), once)
    kernels.set_num_threads(None)
    paths = [tmp_path / f"{i}.npy" for i in range(6)]
    for path, row in zip(paths, x, strict=True):
        np.save(path, row)
    files = ra.aggregate_files(
        ra.Reputation(), paths, tmp_path / "out.npy", ids=range(6), max_memory="24 MiB", certify=True
    )
    assert_same(files, once)
    cut = [{"a": row[:8192], "b": row[8192:20000], "c": row[20000:]} for row in x]
    assert_same(ra.Reputation().aggregate(cut, certify=True), once)


def assert_same(found, expected):
    for name in ("weights", "distances", "extremes"):
        assert_array_equal(getattr(found.certificate, name), getattr(expected.certificate, name))


def test_updates_however_large():
    for sent in (1e200, 1.7e308, -1.7e308):
        x = np.concatenate([honest(0, 4, 6), np.full((2, 6), sent)])
        rule = ra.Reputation(value_range=None)
        assert rule.aggregate(x, certify=True).certificate.worst_l2 < 10
    far = np.linspace(1e200, 5e200, 5)[:, None] * np.ones(4)
    told = ra.Reputation(value_range=None).aggregate(far, certify=True).certificate
    assert_allclose(told.distances, 2 * np.abs(far[:, 0] - far[2, 0]), rtol=1e-9)  # sqrt(4) times each coordinate's


def test_it_is_there_where_it_was_asked_for():
    x = honest(0, 5, 4)
    assert ra.Reputation().aggregate(x).certificate is None
    assert ra.Reputation().aggregate(x, certify=False).certificate is None
    piped = ra.Pipeline(ra.NNM(f=1), ra.Reputation()).aggregate(x, certify=True)
    assert piped.certificate.l2 < 1
    metrics = ra.Reputation().aggregate(x, certify=True).metrics()
    assert metrics["certified_l2"] >= metrics["certified_largest"] > 0


def test_who_cannot_certify_says_so():
    rule = ra.Median()
    with pytest.raises(TypeError, match="Median certifies nothing; of the rules Reputation does"):
        rule.aggregate(honest(0, 5, 4), certify=True)
    assert rule.last_round is None
    rule = ra.Reputation()
    with pytest.raises(ValueError, match="certify must be True or False, got 'yes'"):
        rule.aggregate(honest(0, 5, 4), certify="yes")
    assert rule.last_round is None
