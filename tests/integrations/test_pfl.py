"""pfl's simulated backend with the aggregator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hosts import changed, module

from robustagg import ledger

pytest.importorskip("pfl", reason="pfl is not installed; nox -s 'hosts(pfl)' has an environment of its own")

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.common_types import Population
from pfl.internal.ops.selector import set_framework_module
from pfl.metrics import Metrics, StringMetricName
from pfl.stats import MappedVectorStatistics

from robustagg.integrations.pfl import Robust

CONTEXT = SimpleNamespace(cohort_size=6, population=Population.TRAIN)


@pytest.fixture(autouse=True)
def _framework():
    from pfl.internal.ops import pytorch_ops

    set_framework_module(pytorch_ops)


def update(seed: int) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 2, generator=drawn), "b": torch.randn(2, generator=drawn)}


class Dataset:
    def __init__(self, place, user_id):
        self.place, self.user_id = place, user_id

    def __len__(self):
        return 10


class Cohort:
    """A federated dataset."""

    def __init__(self, named):
        self.named = named

    def get_cohort(self, size):
        return ((Dataset(place, user), 0) for place, user in enumerate(self.named, 1))


class Algorithm:
    """Users that train, of whom the sixth sends what it likes."""

    def __init__(self, eve, weights=(1.0,) * 6):
        self.eve, self.weights = eve, weights

    def simulate_one_user(self, model, dataset, context):
        weight = self.weights[dataset.place - 1]
        sent = self.eve if dataset.place == 6 else update(dataset.place)
        return MappedVectorStatistics({k: v * weight for k, v in sent.items()}, weight), Metrics()


def a_round(backend, eve, weights=(1.0,) * 6):
    stats, metrics = backend.gather_results(None, Algorithm(eve, weights), central_context=CONTEXT)
    stats.average()  # as FederatedAveraging does
    return stats, metrics


def backend(robust, named=(1, 2, 3, 4, 5, 6)):
    return SimulatedBackend(Cohort(named), Cohort(named), [robust], aggregator=robust)


BAD = {
    "another shape": {"w": torch.zeros(7), "b": torch.zeros(2)},
    "lacks a tensor": {"w": torch.zeros(3, 2)},
    "NaN": {"w": torch.full((3, 2), torch.nan), "b": torch.zeros(2)},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(bad, caplog):
    with caplog.at_level("WARNING"):
        stats, metrics = a_round(backend(Robust("mean")), bad)
    expected = torch.stack([update(i)["w"] for i in range(1, 6)]).double().mean(dim=0).float()
    torch.testing.assert_close(stats["w"], expected)
    assert metrics[StringMetricName("robustagg/admitted")] == 5
    assert "client 6: not admitted: " in caplog.text


def test_weights_are_claims_and_divided_out():
    robust = Robust("mean", count_cap=2)
    stats, _ = a_round(backend(robust), update(6), (10.0,) * 5 + (1e6,))
    assert robust._rounds.result.weights[5] == pytest.approx(20 / 70)
    shares = [10 / 70] * 5 + [20 / 70]
    torch.testing.assert_close(stats["b"], sum(s * update(i)["b"] for i, s in enumerate(shares, 1)))


def test_a_user_drawn_twice_is_one_client(caplog):
    robust = Robust("reputation")
    weights = (1.0, 3.0, 1.0, 1.0, 1.0, 1.0)
    with caplog.at_level("WARNING"):
        a_round(backend(robust, named=(7, 7, 1, 2, 3, 4)), update(6), weights)
    assert not caplog.text
    assert robust._rounds.result.clients == (1, 2, 3, 4, 7)
    robust = Robust("mean", count_cap=None)
    stats, _ = a_round(backend(robust, named=(7, 7, 1, 2, 3, 4)), update(6), weights)
    torch.testing.assert_close(stats["b"], sum(w * update(i)["b"] for i, w in enumerate(weights, 1)) / 8)
    assert robust._rounds.result.weights[4] == pytest.approx(4 / 8)


def test_a_user_of_no_weight_takes_no_part():
    robust = Robust("reputation")
    a_round(backend(robust), update(6), (1.0,) * 5 + (0.0,))
    assert robust._rounds.result.clients == (1, 2, 3, 4, 5)


def test_users_without_names_nobody_usable_and_a_restart(tmp_path):
    for round in (1, 2):
        robust = Robust("reputation", ledger=tmp_path / "ledger.sqlite")
        stats, _ = a_round(backend(robust, [None] * 6), update(6))
        assert robust._rounds.result.clients == (0, 1, 2, 3, 4, 5)
        assert robust._rounds.result.round == round
    robust = Robust({"rule": "krum", "f": 2})
    stats, _ = a_round(backend(robust), update(6))
    assert not stats["w"].any()


def test_the_examples_backend(tmp_path, monkeypatch):
    app = changed("pfl", tmp_path)
    monkeypatch.chdir(app)
    users = Cohort((1, 2, 3, 4, 5, 6))
    a_round(module(app / "simulation.py").backend(users, users, []), BAD["NaN"])
    assert "NaN" in ledger.history(app / "ledger.sqlite", 6)[0]["reason"]
