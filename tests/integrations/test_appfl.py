"""APPFL's server agent with the aggregator, configured as its users do."""

from __future__ import annotations

import logging

import pytest
from hosts import changed

from robustagg import ledger

pytest.importorskip("appfl", reason="APPFL is not installed; nox -s 'hosts(appfl)' has an environment of its own")

import robustagg.integrations.appfl  # noqa: F401, I001  # gives APPFL the name
import torch
from appfl.algorithm.scheduler import SyncScheduler
from appfl.misc.utils import get_appfl_aggregator
from omegaconf import OmegaConf
from torch_hosts import KINDS, Model, bad, honest_mean, same, trained


def aggregator(**kwargs):
    config = OmegaConf.create({"num_clients": 6, "gradient_based": False, **kwargs})
    return get_appfl_aggregator("RobustAggregator", Model(), config, logging.getLogger("appfl"))


HONEST = {f"site-{i}": trained(i) for i in range(1, 6)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(kind, caplog):
    with caplog.at_level("WARNING"):
        update = aggregator(rule="mean").aggregate({"eve": bad(kind), **HONEST})
    same(update, honest_mean(range(1, 6)))
    assert "client 'eve': not admitted: " in caplog.text


def test_the_scheduler_gives_every_client_the_robust_model():
    how = aggregator(rule={"rule": "krum", "f": 1})
    scheduler = SyncScheduler(OmegaConf.create({"num_clients": 6}), how, logging.getLogger("appfl"))
    futures = [scheduler.schedule(client, dict(state)) for client, state in HONEST.items()]
    futures.append(scheduler.schedule("eve", bad("NaN"), _chunk_idx=0, _total_chunks=2, _chunk_keys=["0.weight"]))
    for future in futures:
        same(future.result(0), how.global_state)
    same(how.model.state_dict(), how.global_state)
    assert any(torch.equal(how.global_state["0.weight"], state["0.weight"]) for state in HONEST.values())


def test_sizes_are_claims():
    how = aggregator(rule="mean", client_weights_mode="sample_size", intake={"count_cap": 2})
    for client in HONEST:
        how.set_client_sample_size(client, 10)
    how.set_client_sample_size("eve", 10**6)
    how.aggregate({**HONEST, "eve": trained(6)})
    assert how._rounds.result.weights[0] == pytest.approx(20 / 70)


def test_nobody_usable_and_a_restart(tmp_path):
    for round in (1, 2):
        how = aggregator(rule="reputation", ledger=str(tmp_path / "ledger.sqlite"))
        same(how.aggregate({"eve": bad("NaN")}), Model().state_dict())
        how.aggregate(HONEST)
        assert how._rounds.result.round == round


def test_the_examples_configuration(tmp_path, monkeypatch):
    app = changed("appfl", tmp_path)
    monkeypatch.chdir(app)
    configured = OmegaConf.load("server.yaml").server_configs
    how = get_appfl_aggregator(configured.aggregator, Model(), configured.aggregator_kwargs)
    how.aggregate({**HONEST, "eve": bad("NaN")})
    assert "NaN" in ledger.history(app / "ledger.sqlite", "eve")[0]["reason"]
