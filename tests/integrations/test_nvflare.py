"""NVFlare's aggregator without an engine, and the example in its simulator."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from hosts import changed

from robustagg import ledger

pytest.importorskip("nvflare", reason="NVFlare is not installed; nox -s 'hosts(nvflare)' has an environment of its own")

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from robustagg.integrations.nvflare import DictPersistor, RobustAggregator, RobustFedAvgRecipe

MODEL = {"w": np.zeros((3, 2), np.float32), "b": np.zeros(2), "steps": np.array(0)}


def trained(seed: int) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed)
    return {name: np.asarray(drawn.normal(1, 0.1, a.shape), a.dtype) for name, a in MODEL.items()}


def reply(site: int, params=None, steps=10, kind="FULL", metrics=None) -> FLModel:
    meta = {"client_name": f"site-{site}", FLMetaKey.NUM_STEPS_CURRENT_ROUND: steps}
    metrics = {"accuracy": 0.5} if metrics is None else metrics
    return FLModel(params_type=kind, params=trained(site) if params is None else params, metrics=metrics, meta=meta)


class Receiver:
    """Hears what components fire."""

    def __init__(self):
        self.events = []

    def fire_event(self, event_type, fl_ctx):
        shareable = fl_ctx.get_prop(FLContextKey.EVENT_DATA)
        if event_type == "analytix_log_stats":
            self.events.append(shareable["DXO"]["data"] if "DXO" in shareable else dict(shareable))


@pytest.fixture
def context():
    fl_ctx = FLContext()
    fl_ctx.set_prop(AppConstants.CURRENT_ROUND, 0, private=True, sticky=False)
    fl_ctx.set_prop(ReservedKey.ENGINE, Receiver(), private=True, sticky=False)
    fl_ctx.set_prop(AppConstants.TRAIN_SHAREABLE, DXO(DataKind.WEIGHTS, data=MODEL).to_shareable(), private=True)
    return fl_ctx


@pytest.fixture
def begun(context):
    def begin(*arguments, **options):
        aggregator = RobustAggregator(*arguments, **options)
        aggregator.fl_ctx = context
        aggregator.handle_event(AppEventType.BEFORE_TRAIN_TASK, context)
        return aggregator

    return begin


def aggregate(aggregator, *replies):
    aggregator.reset_stats()
    for one in replies:
        aggregator.accept_model(one)
    return aggregator.aggregate_model()


HONEST = [reply(site) for site in range(1, 6)]


class Broken:
    def materialize(self):
        raise OSError("the file is gone")


BAD = {
    "garbage": reply(6, {"w": np.zeros(3)}),
    "NaN": reply(6, {**trained(6), "b": np.array([np.nan, 0])}),
    "another dtype": reply(6, {**trained(6), "b": np.zeros(2, np.float32)}),
    "no dict": reply(6, np.zeros(3)),
    "differences among models": reply(6, kind="DIFF"),
    "a lazy value that cannot be read": reply(6, {**trained(6), "b": Broken()}),
    "a negative count": reply(6, steps=-1),
    "no parameters": FLModel(metrics={"accuracy": 1.0}, meta={"client_name": "site-6"}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(begun, bad, caplog):
    aggregator = begun("mean")
    with caplog.at_level("WARNING"):
        model = aggregate(aggregator, bad, *HONEST)
    expected = aggregate(begun("mean"), *HONEST).params
    assert list(model.params) == list(MODEL)
    for name, array in model.params.items():
        assert array.dtype == MODEL[name].dtype
        np.testing.assert_array_equal(array, expected[name])
    assert model.metrics == {"accuracy": 0.5}
    assert "client 'site-6': not admitted: " in caplog.text


def test_differences_stay_differences(begun):
    model = aggregate(begun("median"), *(reply(site, kind="DIFF") for site in range(1, 6)))
    assert model.params_type == "DIFF"


def test_nobody_usable_leaves_the_model_as_it_is(begun, caplog):
    with caplog.at_level("WARNING"):
        model = aggregate(begun("median"), BAD["garbage"])
    assert model.params_type == "FULL"
    np.testing.assert_array_equal(model.params["w"], MODEL["w"])
    assert "no update in this round" in caplog.text


def test_nobody_usable_among_differences_is_no_difference(begun):
    aggregator = begun("median")
    aggregator._model = trained(6)
    for replies in ([reply(6, {"w": np.zeros(3)}, kind="DIFF")], []):
        model = aggregate(aggregator, *replies)
        assert model.params_type == "DIFF"
        for name, values in MODEL.items():
            np.testing.assert_array_equal(model.params[name], values)
            assert model.params[name].dtype == values.dtype


def test_nobody_usable_among_differences_of_torch(begun):
    torch = pytest.importorskip("torch")
    aggregator = begun("median")
    aggregator._model = {"w": torch.ones(2, dtype=torch.bfloat16)}
    model = aggregate(aggregator, reply(6, kind="DIFF"))
    assert torch.equal(model.params["w"], torch.zeros(2, dtype=torch.bfloat16))


def test_a_model_without_tensors_is_named(begun):
    aggregator = begun("median")
    aggregator._model = {}
    with pytest.raises(ValueError, match="holds no tensors"):
        aggregate(aggregator, *HONEST)


@pytest.mark.parametrize("option", [{"exclude_vars": "head"}, {"aggregation_weights": {"site-1": 5.0}}])
def test_settings_of_the_average_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        RobustFedAvgRecipe("median", min_clients=2, train_script="client.py", **option)


def test_counts_and_metrics_are_claims(begun):
    liar = reply(6, steps=10**6, metrics={"accuracy": float("inf"), 3: 1.0, "odd": 10**400, "half": np.float16(1)})
    aggregator = begun("mean", intake={"count_cap": 2})
    assert aggregate(aggregator, liar, *HONEST).metrics == {"accuracy": 0.5}
    assert aggregator._rounds.result.weights[5] == pytest.approx(20 / 70)


def test_numbers_go_to_the_servers_receivers(begun, context):
    aggregate(begun("median"), *HONEST)
    told = {event["track_key"]: event["track_value"] for event in context.get_engine().events}
    assert told["robustagg/admitted"] == 5


def sent(site: str, data, round=0):
    shareable = DXO(DataKind.WEIGHTS, data=data).to_shareable()
    shareable.set_peer_props({ReservedKey.IDENTITY_NAME: site})
    shareable.add_cookie(AppConstants.CONTRIBUTION_ROUND, round)
    return shareable


def test_scatter_and_gather(begun, context):
    aggregator = begun("median")
    for site in range(1, 6):
        assert aggregator.accept(sent(f"site-{site}", trained(site)), context)
    hollow = sent("site-6", trained(6))
    del hollow["DXO"]
    assert aggregator.accept(hollow, context)
    assert not aggregator.accept(sent("site-7", trained(7), round=3), context)
    aggregator.aggregate(context)
    assert aggregator._rounds.result.clients == tuple(f"site-{site}" for site in range(1, 7))
    assert list(aggregator._rounds.result.admitted) == [True] * 5 + [False]


def test_models_of_any_names_survive_the_persistor(tmp_path):
    persistor = DictPersistor(str(tmp_path / "model.npz"))
    persistor.save_model({"weights": {"layer/0.weight": np.arange(3)}}, None)
    np.testing.assert_array_equal(persistor.load_model(None)["weights"]["layer/0.weight"], np.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_two_jobs_of_ten_clients_of_whom_half_are_bad(tmp_path):
    app = changed("nvflare", tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for job in (1, 2):
        command = [sys.executable, "job.py", str(tmp_path), "2", "1", "1", "1"]
        done = subprocess.run(command, cwd=app, env=environment, capture_output=True, text=True, check=False)
        rounds = [line["round"] for line in ledger.rounds(tmp_path / "ledger.sqlite")]
        assert rounds == list(range(1, 3 * job + 1)), done.stdout + done.stderr
    spec = importlib.util.spec_from_file_location("client", app / "client.py")
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    assert client.accuracy(np.load(tmp_path / "model.npz")) > 0.8
    for site, reason in (("site-3", "not the structure"), ("site-4", "NaN")):
        lines = ledger.history(tmp_path / "ledger.sqlite", site)
        assert len(lines) == 6
        assert all(reason in line["reason"] for line in lines)
    assert not list(ledger.history(tmp_path / "ledger.sqlite", "site-5"))
