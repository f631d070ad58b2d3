"""Rounds of tensors on a device: the answers of the host, in the sender's kind, where the tensors are."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES

import robustagg as ra
from robustagg import kernels

pytestmark = pytest.mark.skipif("cuda" not in kernels.available(), reason="needs a CUDA device and CuPy")


def on_device(rows: np.ndarray):
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(row).cuda() for row in rows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_rule_answers_as_at_the_host(case):
    rows = np.random.default_rng(0).normal(size=(12, 5000)).astype(np.float32)
    with kernels.use_backend("native"):
        expected = case.make(2).aggregate(list(rows))
    found = case.make(2).aggregate(on_device(rows))
    assert found.update.is_cuda
    np.testing.assert_allclose(found.update.cpu().numpy(), expected.update, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_state_dict_comes_back_as_it_was(dtype):
    torch = pytest.importorskip("torch")
    sent = [
        {
            "weight": torch.full((3, 4), float(i), dtype=getattr(torch, dtype), device="cuda"),
            "norm.running_mean": torch.full((3,), float(i), device="cuda"),
            "norm.num_batches_tracked": torch.tensor(7, device="cuda"),
        }
        for i in (1, 2, 900)
    ]
    update = ra.Median().aggregate(sent, policy=ra.Policy()).update
    assert update["weight"].dtype == getattr(torch, dtype)
    assert all(tensor.is_cuda for tensor in update.values())
    assert (update["weight"] == 2).all()
    assert update["norm.num_batches_tracked"] == 7


def test_who_sends_a_nan_costs_itself_alone():
    rows = np.arange(20.0, dtype=np.float32).reshape(5, 4)
    rows[1, 2] = np.nan
    result = ra.Median().aggregate(on_device(rows))
    assert result.weights[1] == 0
    assert result.update.is_cuda


def test_a_round_waits_for_what_torch_has_queued_and_torch_for_the_result():
    torch = pytest.importorskip("torch")
    rows = on_device(np.zeros((3, 4096), np.float32))
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10**8)
        for row, value in zip(rows, (1.0, 2.0, 900.0), strict=True):
            row.fill_(value)
        later = ra.Median()(rows) + 1
    torch.cuda.synchronize()
    assert (later == 3).all()


def test_arrays_of_cupy_share_their_memory():
    import cupy

    rows = [cupy.arange(4, dtype=np.float32) + i for i in range(3)]
    assert isinstance(ra.Median()(rows), cupy.ndarray)
    with kernels.use_backend("numpy"):
        assert isinstance(ra.Median()(rows), cupy.ndarray)
