"""Fed-BioMed's aggregator: called as an experiment does, and through its breakpoints."""

from __future__ import annotations

import json

import pytest
import stubs  # noqa: F401
from hosts import changed, module

from robustagg import ledger

pytest.importorskip("fedbiomed", reason="Fed-BioMed is not installed; nox -s 'hosts(fedbiomed)' has an environment")

from fedbiomed.common.logger import logger
from fedbiomed.researcher.aggregators import Aggregator
from torch_hosts import KINDS, Model, bad, honest_mean, same, trained

from robustagg.integrations.fedbiomed import RobustAggregator

HONEST = {f"NODE_{i}": trained(i) for i in range(1, 6)}


def aggregate(how, sent, weights=None):
    """The call of an experiment's round."""
    assert isinstance(how, Aggregator)
    weights = weights or dict.fromkeys(sent, 1 / len(sent))
    more = {"training_plan": None, "training_replies": {}, "node_ids": list(sent), "n_updates": 1, "n_round": 0}
    return how.aggregate(sent, weights, global_model=Model().state_dict(), **more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(kind, monkeypatch):
    told = []
    monkeypatch.setattr(logger, "warning", told.append)
    update = aggregate(RobustAggregator("mean"), {"NODE_6": bad(kind), **HONEST})
    same(update, honest_mean(range(1, 6)))
    assert "client 'NODE_6': not admitted: " in told[0]


def test_weights_are_claims():
    how = RobustAggregator("mean", count_cap=2)
    aggregate(how, {**HONEST, "NODE_6": trained(6)}, {**dict.fromkeys(HONEST, 0.001), "NODE_6": 0.995})
    assert how._rounds.result.weights[5] == pytest.approx(2 / 7)
    assert aggregate(how, HONEST, {"NODE_1": -1.0, "NODE_2": float("nan")})


def test_nobody_usable_and_a_breakpoint(tmp_path):
    how = RobustAggregator({"rule": "reputation"}, ledger=tmp_path / "ledger.sqlite")
    same(aggregate(how, {"NODE_6": bad("NaN")}), Model().state_dict())
    aggregate(how, HONEST)
    state = json.loads(json.dumps(how.save_state_breakpoint(str(tmp_path))))
    again = RobustAggregator()  # as a breakpoint makes it
    again.load_state_breakpoint(state)
    aggregate(again, HONEST)
    assert again._rounds.result.round == 2


def test_the_examples_aggregator(tmp_path, monkeypatch):
    app = changed("fedbiomed", tmp_path)
    monkeypatch.chdir(app)
    aggregate(module(app / "experiment.py").aggregator, {**HONEST, "NODE_6": bad("NaN")})
    assert "NaN" in ledger.history(app / "ledger.sqlite", "NODE_6")[0]["reason"]
