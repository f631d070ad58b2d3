"""FL4Health's strategies behind the mixin for Flower's older API, on the Flower that it wants."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import stubs  # noqa: F401
from hosts import changed, module

import robustagg as ra
from robustagg import ledger

pytest.importorskip("fl4health", reason="FL4Health is not installed; nox -s 'hosts(fl4health)' has an environment")

from fl4health.strategies.basic_fedavg import BasicFedAvg
from flwr.common import Code, EvaluateRes, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays

from robustagg.integrations.flower.legacy import Robust

logging.getLogger("flwr").propagate = True
MODEL = [np.zeros((3, 2), np.float32), np.zeros(2)]
OK = Status(Code.OK, "")


class RobustFedAvg(Robust, BasicFedAvg):
    pass


class Manager:
    def num_available(self):
        return 6

    def sample(self, num_clients, min_num_clients):
        return [SimpleNamespace(cid=str(i)) for i in range(num_clients)]


def layers(seed):
    drawn = np.random.default_rng(seed)
    return [np.asarray(drawn.normal(size=a.shape), a.dtype) for a in MODEL]


def fit(cid, sent=None, count=10):
    sent = sent if isinstance(sent, Parameters) else ndarrays_to_parameters(sent or layers(cid))
    return SimpleNamespace(cid=str(cid)), FitRes(OK, sent, count, {"loss": 1.0, "site": f"site-{cid}"})


def begun(strategy):
    strategy.configure_fit(1, ndarrays_to_parameters(MODEL), Manager())
    return strategy


HONEST = [fit(cid) for cid in range(1, 6)]
BAD = {
    "another shape": fit(6, [np.zeros(3)]),
    "NaN": fit(6, [np.full((3, 2), np.nan, np.float32), np.zeros(2)]),
    "no arrays": fit(6, Parameters([b"garbage"] * 2, "numpy.ndarray")),
    "a negative count": fit(6, count=-1),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(bad, caplog):
    with caplog.at_level("WARNING"):
        update, metrics = begun(RobustFedAvg("mean")).aggregate_fit(1, [bad, *HONEST], [])
    expected = ra.Mean().aggregate([layers(cid) for cid in range(1, 6)]).update
    for array, other in zip(parameters_to_ndarrays(update), expected, strict=True):
        np.testing.assert_array_equal(array, other)
    assert metrics["robustagg/refused"] == 1
    assert "client '6': not admitted: " in caplog.text


def test_evaluation_survives_a_liar():
    told = [(SimpleNamespace(cid=str(i)), EvaluateRes(OK, float(i), 10, {})) for i in range(1, 6)]
    told.append((SimpleNamespace(cid="6"), EvaluateRes(OK, float("nan"), 10**6, {})))
    assert begun(RobustFedAvg("mean")).aggregate_evaluate(1, told, [])[0] == 3.0


def test_the_examples_strategy(tmp_path, monkeypatch):
    app = changed("fl4health", tmp_path)
    monkeypatch.chdir(app)
    for _ in (1, 2):
        begun(module(app / "server.py").strategy(6)).aggregate_fit(1, [*HONEST, BAD["NaN"]], [])
    lines = ledger.history(app / "ledger.sqlite", "site-6")
    assert [line["round"] for line in lines] == [1, 2]
    assert "NaN" in lines[0]["reason"]
