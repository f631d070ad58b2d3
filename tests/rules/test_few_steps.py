"""A few steps of the geometric median for many clients: read anew for each, or on the Gram matrix, it is one rule."""

import numpy as np
import pytest
from definitions import geometric_median_byzfl
from executors import InTurn

import robustagg as ra
from robustagg.kernels import available
from robustagg.rules import geometric

TILE = 8192


def rule(**parameters):
    return ra.GeometricMedian(**{"nu": 0.1, "max_iter": 3, "tol": 0, "variant": "byzfl", **parameters})


@pytest.fixture
def read_anew(monkeypatch):
    monkeypatch.setattr(geometric, "WORTH", 0)


def on_gram(made, rows, **arguments):
    """The result where the Gram matrix is taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometric, "WORTH", 2**40)
        return made.aggregate(rows, **arguments)


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 2e-3), ("float32", 1e-5), ("float64", 1e-11)])
def test_both_are_the_definition(backend, dtype, rtol, read_anew):
    rows = np.random.default_rng(0).normal(0.3, 1, (12, 900)).astype(dtype)
    rows[:3] *= 100
    with ra.use_backend(backend):
        one, other = rule().aggregate(rows), on_gram(rule(), rows)
    np.testing.assert_allclose(one.update, geometric_median_byzfl(rows.astype(float), 0), rtol, rtol)
    np.testing.assert_allclose(one.weights, other.weights, 1e-6 if dtype != "float64" else 1e-12)
    assert one.reasons == other.reasons


@pytest.mark.parametrize("tol", [0, 1e-3, 0.5])
def test_they_end_after_the_same_step(tol, read_anew):
    rows = np.random.default_rng(1).normal(1, 1, (20, 300))
    counts = np.arange(20.0)
    one = rule(tol=tol, max_iter=40).aggregate(rows, sample_counts=counts)
    other = on_gram(rule(tol=tol, max_iter=40), rows, sample_counts=counts)
    np.testing.assert_allclose(one.weights, other.weights, 1e-11, 1e-14)


@pytest.mark.parametrize("size", [1e150, 1.7e308])
def test_a_huge_number_moves_nothing(size, read_anew):
    honest = np.random.default_rng(2).normal(3, 1, (9, 40))
    update = rule().aggregate(np.vstack([honest, np.full((2, 40), size)])).update
    assert np.abs(update).max() <= 2 * np.abs(honest).max()


def test_who_sends_nan_is_left_out(read_anew):
    rows = np.random.default_rng(3).normal(size=(9, 40))
    expected = rule()(rows[1:])
    rows[0, 7] = np.nan
    np.testing.assert_array_equal(rule()(rows), expected)


def test_many_clients_in_memory_over_files_and_elsewhere_have_the_same_bits(tmp_path):
    """In any blocks and with any threads: 128 clients are the fewest whose updates are read anew."""
    rows = np.random.default_rng(4).normal(size=(128, 5 * TILE + 5)).astype(np.float32)
    for i, row in enumerate(rows):
        np.save(tmp_path / f"{i:03}.npy", row)
    paths, out = sorted(tmp_path.glob("*.npy")), tmp_path / "out.npy"
    expected = rule()(rows)
    assert not np.array_equal(expected, on_gram(rule(), rows).update)
    for executor in (None, InTurn()):
        ra.aggregate_files(rule(), paths, out, max_memory="16 MiB", executor=executor)
        np.testing.assert_array_equal(np.load(out), expected)
    ra.set_num_threads(1)
    try:
        np.testing.assert_array_equal(rule()(rows), expected)
    finally:
        ra.set_num_threads(None)
