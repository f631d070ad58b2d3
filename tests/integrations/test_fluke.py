"""fluke's server, with its channel and clients' names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import stubs  # noqa: F401
from hosts import changed

from robustagg import ledger

pytest.importorskip("fluke", reason="fluke is not installed; nox -s 'hosts(fluke)' has an environment of its own")

import torch
from fluke.comm import Message
from fluke.utils import get_class_from_qualified_name
from omegaconf import OmegaConf
from torch_hosts import KINDS, Model, bad, honest_mean, same, trained

from robustagg.integrations.fluke import RobustServer

CLIENTS = [SimpleNamespace(index=i, n_examples=10) for i in range(1, 7)]


def server(**hyper_params):
    return RobustServer(Model(), None, CLIENTS, **hyper_params)


def a_round(how, eve):
    """As fluke's algorithms hold it: models come through the channel."""
    for client in CLIENTS[:5]:
        model = Model()
        model.load_state_dict(trained(client.index))
        how.channel.send(Message(model, "model", client.index), "server")
    how.channel.send(Message(eve, "model", 6), "server")
    how.aggregate(CLIENTS, how.receive_client_models(CLIENTS, state_dict=False))


def sender(state):
    """A model of a client's own making."""
    model = Model()
    model.state_dict = lambda: state
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(kind, caplog):
    how = server(rule="mean")
    with caplog.at_level("WARNING"):
        a_round(how, sender(bad(kind)))
    same(how.model.state_dict(), honest_mean(range(1, 6)))
    assert "client 6: not admitted: " in caplog.text


def test_what_is_no_model_and_a_learning_rate():
    how = server(rule="mean", lr=0.5)
    a_round(how, None)
    expected = honest_mean(range(1, 6))["0.weight"].lerp(Model().state_dict()["0.weight"], 0.5)
    torch.testing.assert_close(how.model.state_dict()["0.weight"], expected)


class Tied(torch.nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(torch.nn.Embedding(4, 3), torch.nn.Linear(3, 4, bias=False))
        self[1].weight = self[0].weight


def test_tied_weights_move_once():
    how, before = RobustServer(Tied(), None, CLIENTS, rule="mean", lr=0.5), Tied()[0].weight
    sent = {name: values + 1 for name, values in Tied().state_dict().items()}
    how.aggregate(CLIENTS, iter([sender(sent) for _ in CLIENTS]))
    torch.testing.assert_close(how.model[0].weight, before + 0.5)


def test_counts_are_claims():
    how = server(rule="mean", weighted=True, intake={"count_cap": 2})
    clients = [*CLIENTS[:5], SimpleNamespace(index=6, n_examples=10**6)]
    models = [sender(trained(client.index)) for client in clients]
    how.aggregate(clients, iter(models))
    assert how._rounds.result.weights[5] == pytest.approx(20 / 70)


def test_nobody_usable_and_a_restart(tmp_path):
    for round in (1, 2):
        how = server(rule={"rule": "reputation"}, intake={"ledger": tmp_path / "ledger.sqlite"})
        how.aggregate(CLIENTS[5:], iter([sender(bad("NaN"))]))
        same(how.model.state_dict(), Model().state_dict())
        a_round(how, sender(trained(6)))
        assert how._rounds.result.round == round


def test_the_algorithm_is_found_by_name():
    algorithm = get_class_from_qualified_name("robustagg.integrations.fluke.RobustFedAVG")
    assert algorithm.get_server_class(None) is RobustServer


def test_the_examples_configuration(tmp_path, monkeypatch):
    app = changed("fluke", tmp_path)
    monkeypatch.chdir(app)
    config = OmegaConf.to_container(OmegaConf.load("algorithm.yaml"))
    algorithm = get_class_from_qualified_name(config["name"])
    how = algorithm.get_server_class(None)(Model(), None, CLIENTS, **config["hyperparameters"]["server"])
    a_round(how, sender(bad("NaN")))
    assert "NaN" in ledger.history(app / "ledger.sqlite", 6)[0]["reason"]
