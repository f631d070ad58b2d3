"""FedML's cross-silo aggregator with a robust one behind it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import stubs  # noqa: F401
from hosts import changed, module

from robustagg import ledger

pytest.importorskip("fedml", reason="FedML is not installed; nox -s 'hosts(fedml)' has an environment of its own")

from fedml.cross_silo.server.fedml_aggregator import FedMLAggregator
from torch_hosts import KINDS, Model, bad, honest_mean, same, trained

from robustagg.integrations.fedml import RobustAggregator

CLIENTS = [101, 102, 103, 104, 105, 106]


def arguments(**others):
    """What fedml.init() makes of a configuration, as far as a server's aggregation looks."""
    others = {"dataset": "mnist", "client_id_list": json.dumps(CLIENTS), **others}
    features = dict.fromkeys(("attack", "defense", "dp", "fhe", "contribution"), False)
    return SimpleNamespace(**{f"enable_{name}": on for name, on in features.items()}, **others)


def server(how):
    return FedMLAggregator(None, None, 60, {}, {}, {}, len(CLIENTS), "cpu", how.args, how)


def a_round(how, eve, count=10):
    """As its server manager holds it; a model that is an OrderedDict is moved to the device, others are not."""
    held = server(how)
    for index, client in enumerate(range(1, 6)):
        held.add_local_trained_result(index, dict(trained(client)), 10)
    held.add_local_trained_result(5, eve, count)
    assert held.check_whether_all_receive()
    return held


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(kind, caplog):
    how = RobustAggregator(Model(), arguments(), "mean")
    sent = bad(kind)
    with caplog.at_level("WARNING"):
        a_round(how, sent if sent is not None else {}).aggregate()
    same(how.get_model_params(), honest_mean(range(1, 6)))
    assert "client 106: not admitted: " in caplog.text


def test_counts_are_claims():
    how = RobustAggregator(Model(), arguments(), "mean", count_cap=2)
    a_round(how, trained(6), 10**6).aggregate()
    assert how._rounds.result.weights[5] == pytest.approx(20 / 70)


def test_clients_without_names_are_places():
    how = RobustAggregator(Model(), arguments(client_id_list=None), "median")
    a_round(how, trained(6)).aggregate()
    assert how._rounds.result.clients == (0, 1, 2, 3, 4, 5)


def test_nobody_usable_and_a_restart(tmp_path):
    for round in (1, 2):
        how = RobustAggregator(Model(), arguments(), "reputation", ledger=tmp_path / "ledger.sqlite")
        same(how.aggregate([(10, bad("words"))] * 6), Model().state_dict())
        a_round(how, trained(6)).aggregate()
        assert how._rounds.result.round == round


def test_the_examples_aggregator(tmp_path, monkeypatch):
    app = changed("fedml", tmp_path)
    monkeypatch.chdir(app)
    a_round(module(app / "server.py").aggregator(Model(), arguments()), bad("NaN")).aggregate()
    assert "NaN" in ledger.history(app / "ledger.sqlite", 106)[0]["reason"]
