"""OpenFL's aggregation functions on its own database of tensors, made as a plan makes them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hosts import BAD, MODEL, average, changed, trained

from robustagg import ledger

pytest.importorskip("openfl", reason="OpenFL is not installed; nox -s 'hosts(openfl)' has an environment of its own")

from openfl.databases import TensorDB
from openfl.federated import Plan
from openfl.utilities import TensorKey
from openfl.utilities.types import SingletonABCMeta
from openfl.utilities.utils import change_tags

logging.getLogger("openfl").propagate = True
HONEST = {f"col-{i}": trained(i) for i in range(1, 6)}


def function(name: str, **settings):
    SingletonABCMeta._instances.clear()
    return Plan.build(template=f"robustagg.integrations.openfl.{name}", settings=settings)


def aggregate(how, sent, round=0, model=MODEL, weights=None):
    """A round as OpenFL's aggregator holds it, tensor by tensor, in the order of the first collaborator."""
    database = TensorDB()
    database.cache_tensor({TensorKey(name, "agg", round, False, ("model",)): a for name, a in model.items()})
    for client, tree in sent.items():
        tags = change_tags(("trained",), add_field=client)
        database.cache_tensor({TensorKey(name, "agg", round, False, tags): a for name, a in tree.items()})
    weights = weights or dict.fromkeys(sent, 1 / len(sent))
    keys = [TensorKey(name, "agg", round, False, ("trained",)) for name in next(iter(sent.values()))]
    return {key.tensor_name: database.get_aggregated_tensor(key, weights, how) for key in keys}


@pytest.mark.parametrize("name", ["RobustAggregation", "RobustTensors"])
@pytest.mark.parametrize("bad", [name for name in BAD if name != "lacks a tensor"])
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(name, bad, caplog):
    with caplog.at_level("WARNING"):
        update = aggregate(function(name, rule="mean"), {**HONEST, "col-6": BAD[bad]()})
    for tensor, array in average(range(1, 6)).items():
        if name == "RobustAggregation" or not np.array_equal(BAD[bad]()[tensor], trained(6)[tensor]):
            np.testing.assert_array_equal(update[tensor], array)
        assert (update[tensor].dtype, update[tensor].shape) == (MODEL[tensor].dtype, MODEL[tensor].shape)
    assert "client 'col-6': not admitted: " in caplog.text


def test_a_whole_model_is_judged_as_one():
    liars = {f"col-{i}": {**trained(i), "w": MODEL["w"] + 50} for i in (6, 7)}
    update = aggregate(function("RobustAggregation", rule={"rule": "krum", "f": 2}), {**HONEST, **liars})
    assert any(all(np.array_equal(update[t], sent[t]) for t in ("w", "b")) for sent in HONEST.values())


def test_nobody_usable_leaves_the_model_as_it_is(caplog):
    for name in ("RobustAggregation", "RobustTensors"):
        update = aggregate(function(name, rule="median"), {"col-6": {t: np.array("?") for t in MODEL}})
        np.testing.assert_array_equal(update["w"], MODEL["w"])
    assert "no update in this round" in caplog.text


def test_claims_of_data_are_capped():
    weights = {**dict.fromkeys(HONEST, 0.001), "col-6": 0.995}
    how = function("RobustAggregation", rule="mean")
    aggregate(how, {**HONEST, "col-6": trained(6)}, weights=weights)
    assert how._rounds.result.weights[5] == pytest.approx(4 / 9)


def test_what_is_no_part_of_the_model_is_a_median():
    optimizer = {client: {**tree, "moment": np.array(float(client[-1]))} for client, tree in HONEST.items()}
    update = aggregate(function("RobustAggregation", rule="mean"), optimizer)
    np.testing.assert_array_equal(update["w"], average(range(1, 6))["w"])
    assert update["moment"] == 3


def test_rounds_go_on_after_a_restart(tmp_path):
    for round in (0, 0, 1):
        how = function("RobustAggregation", rule="reputation", ledger=str(tmp_path / "ledger.sqlite"))
        aggregate(how, HONEST, round)
    assert how._rounds.result.round == 3


def test_the_examples_plan(tmp_path, monkeypatch):
    app = changed("openfl", tmp_path)
    (app / "save").mkdir()
    monkeypatch.chdir(app)
    SingletonABCMeta._instances.clear()
    plan = Plan()
    plan.config = Plan.load(Path("plan.yaml"))
    how = plan.get_tasks()["train"]["aggregation_type"]
    aggregate(how, {**HONEST, "col-6": BAD["NaN"]()})
    assert "NaN" in ledger.history(app / "save" / "ledger.sqlite", "col-6")[0]["reason"]
