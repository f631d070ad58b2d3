"""A small torch model and clients of it, for the hosts that hand over state dicts."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")


class Model(torch.nn.Sequential):
    """Three layers, whose batch normalisation has buffers, one of them a counter."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))


def trained(seed: int) -> dict[str, Any]:
    """What an honest client has made of the model."""
    drawn = torch.Generator().manual_seed(seed)
    state = Model().state_dict()
    return {
        name: values + 0.1 * torch.randn(values.shape, generator=drawn) if values.is_floating_point() else values + seed
        for name, values in state.items()
    }


def bad(kind: str) -> Any:
    """What a hostile client sends in place of a state dict."""
    state = trained(6)
    return {
        "no dict": None,
        "lacks a tensor": {"0.weight": state["0.weight"]},
        "another shape": {**state, "0.weight": torch.zeros(7)},
        "another dtype": {**state, "0.weight": state["0.weight"].double()},
        "NaN": {**state, "0.bias": torch.full((2,), torch.nan)},
        "words": {**state, "0.bias": "none of your business"},
    }[kind]


KINDS = ["no dict", "lacks a tensor", "another shape", "another dtype", "NaN", "words"]


def honest_mean(clients: Any) -> dict[str, Any]:
    """What is to become of honest clients alone."""
    import robustagg as ra

    states = [trained(client) for client in clients]
    update: dict[str, Any] = ra.Mean().aggregate(states, policy=ra.Policy()).update
    return update


def same(update: Any, expected: Any) -> None:
    assert list(update) == list(expected)
    for name, values in expected.items():
        torch.testing.assert_close(update[name], values, rtol=0, atol=0)
