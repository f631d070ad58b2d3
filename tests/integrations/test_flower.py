"""What Flower's server asks of a strategy, without an engine: messages in, one update out, whatever a client sends."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import robustagg as ra

pytest.importorskip("flwr", reason="Flower is not installed; nox -s flower has an environment of its own")

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common import Code, EvaluateRes, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian
from flwr.supercore.task_identity import TaskIdentity

from robustagg.integrations.flower import Robust, RobustStrategy, legacy
from robustagg.integrations.flower.arrays import in_place

logging.getLogger("flwr").propagate = True
TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # as the engine sets them before it sends
MODEL = {"w": np.zeros((3, 2), np.float32), "b": np.zeros(2), "steps": np.array(0), "f": np.zeros((2, 3), order="F")}
HONEST = 5


class Grid:
    def get_node_ids(self):
        return range(1, HONEST + 4)


def trained(seed: int) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed)
    return {name: np.asarray(drawn.normal(1, 0.1, a.shape), a.dtype, order="K") for name, a in MODEL.items()}


def record(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def ask(node: int) -> Message:
    return Message(RecordDict(), dst_node_id=node, message_type="train")


def reply(node: int, arrays=None, metrics=None, **content) -> Message:
    arrays = record(trained(node)) if arrays is None else arrays
    metrics = {"num-examples": 10, "loss": float(node)} if metrics is None else metrics
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics), **content}), reply_to=ask(node))


def failed(node: int) -> Message:
    return Message(Error(0, "out of memory"), reply_to=ask(node))


def configured(strategy):
    asked = list(strategy.configure_train(1, record(MODEL), ConfigRecord(), Grid()))
    assert len(asked) == HONEST + 3
    return strategy


def honest() -> list[Message]:
    return [reply(node) for node in range(1, HONEST + 1)]


def numbers(arrays: ArrayRecord) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in arrays.items()}


def test_arrays_are_read_where_they_are():
    for array in (*MODEL.values(), np.zeros((0, 3)), np.arange(6.0)[::2], np.array(3, ">f4")):
        sent = Array(array)
        read = in_place(sent.data, sent.stype)
        np.testing.assert_array_equal(read, sent.numpy())
        assert read.dtype == array.dtype
        assert not read.flags.writeable
        assert not read.size or np.shares_memory(read, np.frombuffer(sent.data, np.uint8))


def header(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HOSTILE = {
    "empty": b"",
    "cut short": Array(np.zeros(9)).data[:-1],
    "no magic": b"PK" + bytes(200),
    "a lying shape": header("(10**12,)") + bytes(16),
    "a huge shape": header("(1000000000000000000000,)") + bytes(16),
    "a negative shape": header("(-1,)") + bytes(16),
    "objects": header("(1,)", "|O") + bytes(16),
    "a newer format": b"\x93NUMPY\x09\x00" + bytes(200),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_bytes_that_are_no_array_are_one_clients_fault(data):
    bad = record(trained(6))
    bad["w"] = Array("float32", (3, 2), "numpy.ndarray", data)
    strategy = configured(RobustStrategy(ra.Median()))
    arrays, _ = strategy.aggregate_train(1, [*honest(), reply(6, bad)])
    assert arrays is not None
    assert not strategy.result.admitted[5]


BAD = {
    "garbage": lambda: reply(6, record({"w": np.zeros(3)})),
    "another dtype": lambda: reply(6, record({k: v.astype(np.float16) for k, v in MODEL.items()})),
    "NaN": lambda: reply(6, record({**trained(6), "b": np.array([np.nan, 0])})),
    "no arrays": lambda: reply(6, ArrayRecord()),
    "two records of arrays": lambda: reply(6, more=record(MODEL)),
    "another kind of array": lambda: reply(6, ArrayRecord({**record(trained(6)), "b": Array("f", (2,), "x", b"")})),
    "a count that is a list": lambda: reply(6, metrics={"num-examples": [1, 2], "loss": 0.0}),
    "a negative count": lambda: reply(6, metrics={"num-examples": -1, "loss": 0.0}),
    "a count of NaN": lambda: reply(6, metrics={"num-examples": float("nan"), "loss": 0.0}),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_reply_ends_nothing_and_costs_nobody_else(bad, caplog):
    strategy, other = configured(RobustStrategy(ra.Median())), configured(RobustStrategy("median"))
    with caplog.at_level("WARNING"):
        arrays, metrics = strategy.aggregate_train(1, [BAD[bad](), *honest()])
    expected, told = other.aggregate_train(1, honest())
    for name, array in numbers(arrays).items():
        np.testing.assert_array_equal(array, numbers(expected)[name])
        assert array.dtype == MODEL[name].dtype
    assert list(arrays) == list(MODEL)
    assert metrics["loss"] == told["loss"] == 3.0
    assert (metrics["robustagg/admitted"], metrics["robustagg/refused"]) == (5, 1)
    assert strategy.result.clients == (1, 2, 3, 4, 5, 6)
    assert "client 6: not admitted: " in caplog.text


METRICS = {
    "none": {},
    "NaN": {"num-examples": 10, "loss": float("nan")},
    "others": {"num-examples": 10, "accuracy": 1.0},
    "lists": {"num-examples": 10, "loss": [1.0, 2.0]},
}


@pytest.mark.parametrize("metrics", METRICS.values(), ids=METRICS)
def test_bad_metrics_spoil_nobody_elses(metrics):
    strategy = configured(RobustStrategy(ra.Mean()))
    _, told = strategy.aggregate_train(1, [reply(6, metrics=metrics), *honest()])
    assert told["loss"] == 3.0
    assert told["robustagg/admitted"] == 6
    assert strategy.aggregate_evaluate(1, [*honest(), reply(6, metrics=metrics), failed(7)])["loss"] == 3.0


def test_a_lie_about_counts_is_capped_in_update_and_metrics():
    strategy = configured(RobustStrategy(ra.Mean()))
    liar = reply(6, metrics={"num-examples": 10**6, "loss": 30.0})
    _, told = strategy.aggregate_train(1, [liar, *honest()])
    assert strategy.result.weights[5] == pytest.approx(40 / 90)
    assert told["loss"] == pytest.approx((5 * 3 * 10 + 40 * 30) / 90)
    assert strategy.aggregate_evaluate(1, [liar, *honest()])["loss"] == told["loss"]


def test_nobody_usable_leaves_the_model_as_it_is(caplog):
    strategy = configured(RobustStrategy(ra.Median()))
    with caplog.at_level("WARNING"):
        assert strategy.aggregate_train(1, [failed(1), BAD["garbage"]()]) == (None, None)
    assert "no update in this round" in caplog.text
    assert strategy.aggregate_train(2, []) == (None, None)
    assert strategy.aggregate_evaluate(2, [failed(1)]) is None
    assert strategy.aggregate_train(3, honest())[0] is not None


def test_who_has_sent_an_error_takes_no_part():
    strategy = configured(RobustStrategy(ra.Median()))
    strategy.aggregate_train(1, [failed(6), *honest()])
    assert strategy.result.clients == (1, 2, 3, 4, 5)


def test_clients_by_a_name_of_their_own(tmp_path):
    for record_kind in (ConfigRecord, MetricRecord):
        strategy = configured(RobustStrategy(ra.Reputation(), ledger=tmp_path / record_kind.__name__, identity="site"))
        names = [f"site-{i}" if record_kind is ConfigRecord else 100 + i for i in range(4)]
        replies = [reply(7 + i, me=ConfigRecord({"site": name})) for i, name in enumerate(names)]
        if record_kind is MetricRecord:
            replies = [reply(7 + i, metrics={"num-examples": 10, "loss": 1.0, "site": n}) for i, n in enumerate(names)]
        strategy.aggregate_train(1, [*replies, reply(3), reply(4, me=ConfigRecord({"site": "x" * (2**25 + 1)}))])
        assert set(strategy.result.clients) == {*names, 3, 4}
        assert "no 'site' in the reply" in strategy.result.reasons[strategy.result.clients.index(3)]


def test_rounds_go_on_after_a_restart(tmp_path):
    for round in (1, 2):
        strategy = configured(RobustStrategy("reputation", ledger=tmp_path / "ledger"))
        _, metrics = strategy.aggregate_train(1, honest())  # Flower begins at 1 again
        assert metrics["robustagg/round"] == strategy.result.round == round


@pytest.mark.parametrize("behind", [FedAvg, FedMedian, FedAdam])
def test_another_strategy_goes_on_from_the_robust_aggregate(behind):
    class Ours(Robust, behind):
        pass

    strategy = configured(Ours(ra.Median()))
    arrays, metrics = strategy.aggregate_train(1, [*honest(), reply(6, metrics={})])
    direct, told = configured(RobustStrategy(ra.Median())).aggregate_train(1, [*honest(), reply(6, metrics={})])
    assert metrics == told
    for name, array in numbers(arrays).items():
        assert array.dtype == MODEL[name].dtype
        if behind is not FedAdam or array.dtype.kind == "i":
            np.testing.assert_array_equal(array, direct[name].numpy())
    if behind is FedAdam:
        plain = configured(FedAdam())
        expected, _ = plain.aggregate_train(1, [reply(1, direct)])
        for name in ("w", "b"):
            np.testing.assert_allclose(arrays[name].numpy(), expected[name].numpy(), rtol=1e-6)


class RobustFedAvg(Robust, FedAvg):
    pass


class Looks(FedAvg):
    def aggregate_train(self, server_round, replies):
        arrays, self.seen = super().aggregate_train(server_round, replies)
        return arrays, self.seen


class RobustLooks(Robust, Looks):
    pass


def test_integers_behind_another_strategy_are_the_rules():
    strategy, large = RobustFedAvg("median"), {"w": np.zeros(2), "seed": np.array([2**62 + 1])}
    list(strategy.configure_train(1, record(large), ConfigRecord(), Grid()))
    arrays, _ = strategy.aggregate_train(1, [reply(node, record(large)) for node in (1, 2, 3)])
    assert arrays["seed"].numpy() == 2**62 + 1


def test_metrics_are_averaged_once_and_of_clients_alone():
    heard = []

    def mine(records, key):
        heard.append([content["mine"]["loss"] for content in records])
        return MetricRecord({"loss": sum(heard[-1])})

    strategy = configured(RobustLooks("median", train_metrics_aggr_fn=mine))
    for number in (1, 2):
        content = {"mine": MetricRecord({"num-examples": 10, "loss": 1.0})}
        replies = [Message(RecordDict({"arrays": record(trained(i)), **content}), reply_to=ask(i)) for i in (1, 2, 3)]
        arrays, metrics = strategy.aggregate_train(number, replies)
        assert arrays is not None
        assert metrics["loss"] == strategy.seen["loss"] == 3.0
    assert heard == [[1.0] * 3] * 2


def test_names_are_asked_for_in_training_alone():
    strategy = configured(RobustStrategy("median", identity="site"))
    evaluated = [reply(node, metrics={"num-examples": 10, "loss": float(node)}) for node in (1, 2)]
    liar = reply(3, metrics={"num-examples": 10, "loss": 9.0}, me=ConfigRecord({"site": "one"}))
    framed = reply(4, metrics={"num-examples": 10, "loss": 0.0}, me=ConfigRecord({"site": "one"}))
    for order in ([liar, framed], [framed, liar]):
        assert strategy.aggregate_evaluate(1, [*evaluated, *order])["loss"] == 3.0


def test_a_strategy_may_serve_another_model():
    strategy = configured(RobustStrategy("median"))
    strategy.aggregate_train(1, honest())
    other = record({"other": np.zeros(2)})
    list(strategy.configure_train(1, other, ConfigRecord(), Grid()))
    arrays, _ = strategy.aggregate_train(1, [reply(node, record({"other": np.ones(2)})) for node in (1, 2, 3)])
    np.testing.assert_array_equal(arrays["other"].numpy(), np.ones(2))


def test_a_model_without_arrays_is_named():
    with pytest.raises(ValueError, match="holds no tensors"):
        RobustStrategy("median").configure_train(1, ArrayRecord(), ConfigRecord(), Grid())
    with pytest.raises(ValueError, match="holds no tensors"):
        legacy.RobustStrategy("median").configure_fit(1, Parameters([], ""), Manager())


@pytest.mark.parametrize("rule", ["foolsgold", "centered-clipping"])
def test_rules_get_the_differences_that_they_need(rule):
    strategy, hand = configured(RobustStrategy(rule)), ra.rule(rule)
    center = MODEL
    for number in (1, 2):
        arrays, _ = strategy.aggregate_train(number, honest())
        moved = {
            i: {k: v if k == "steps" else v - center[k] for k, v in trained(i).items()} for i in range(1, HONEST + 1)
        }
        expected = hand.aggregate(moved)
        assert strategy.result.reasons == expected.reasons
        center = numbers(arrays)
        list(strategy.configure_train(number + 1, arrays, ConfigRecord(), Grid()))


def test_a_policy_is_the_intakes():
    strategy = configured(RobustStrategy("mean", policy=ra.Policy(exclude=["b"])))
    arrays, _ = strategy.aggregate_train(1, honest())
    np.testing.assert_array_equal(arrays["b"].numpy(), np.median([trained(i)["b"] for i in range(1, 6)], axis=0))


# --- the older API --------------------------------------------------------------------------------------------------

LAYERS = [MODEL["w"], MODEL["b"], MODEL["steps"]]


class Proxy:
    def __init__(self, cid: str) -> None:
        self.cid = cid


class Manager:
    def num_available(self):
        return HONEST

    def sample(self, num_clients, min_num_clients):
        return [Proxy(str(i)) for i in range(num_clients)]


def layers(seed: int) -> list[np.ndarray]:
    drawn = trained(seed)
    return [drawn["w"], drawn["b"], drawn["steps"]]


def fit(cid: str, arrays=None, count=10, **metrics):
    sent = arrays if isinstance(arrays, Parameters) else ndarrays_to_parameters(arrays or layers(int(cid)))
    return Proxy(cid), FitRes(Status(Code.OK, ""), sent, count, metrics or {"loss": float(cid)})


def evaluated(cid: str, loss: float, count=10, **metrics):
    return Proxy(cid), EvaluateRes(Status(Code.OK, ""), loss, count, metrics)


def begun(strategy):
    strategy.configure_fit(1, ndarrays_to_parameters(LAYERS), Manager())
    return strategy


def mean_loss(told):
    return {"loss": sum(n * record["loss"] for n, record in told) / sum(n for n, _ in told)}


FITS = [fit(str(i)) for i in range(1, HONEST + 1)]
BAD_FITS = {
    "garbage": fit("6", [np.zeros(3)]),
    "NaN": fit("6", [np.full((3, 2), np.nan, np.float32), *LAYERS[1:]]),
    "no file": fit("6", Parameters([b"garbage"] * 3, "numpy.ndarray")),
    "another kind": fit("6", Parameters([], "pickle")),
    "a lie": fit("6", count=-5),
}


@pytest.mark.parametrize("bad", BAD_FITS.values(), ids=BAD_FITS)
def test_legacy_a_bad_reply_ends_nothing(bad):
    strategy = begun(legacy.RobustStrategy(ra.Median(), fit_metrics_aggregation_fn=mean_loss))
    update, metrics = strategy.aggregate_fit(1, [bad, *FITS], [RuntimeError("gone")])
    expected = ra.Median().aggregate([layers(i) for i in range(1, 6)], sample_counts=[10] * 5).update
    for array, other in zip(parameters_to_ndarrays(update), expected, strict=True):
        np.testing.assert_array_equal(array, other)
        assert array.dtype == other.dtype
    assert metrics["loss"] == 3.0
    assert metrics["robustagg/refused"] == 1
    assert strategy.result.clients[-1] == "6"


def test_legacy_metrics_counts_failures_and_restart(tmp_path):
    options = {"fit_metrics_aggregation_fn": mean_loss, "ledger": tmp_path / "ledger"}
    strategy = begun(legacy.RobustStrategy("mean", **options))
    _, metrics = strategy.aggregate_fit(1, [*FITS, fit("6", count=10**6, other=1.0)], [])
    assert metrics["loss"] == 3.0
    assert strategy.result.weights[5] == pytest.approx(40 / 90)
    assert begun(legacy.RobustStrategy("mean", **options)).aggregate_fit(1, FITS, [])[1]["robustagg/round"] == 2
    strict = begun(legacy.RobustStrategy("mean", accept_failures=False))
    assert strict.aggregate_fit(1, FITS, [RuntimeError("gone")]) == (None, {})
    assert strict.aggregate_fit(1, [], []) == (None, {})


def test_legacy_evaluation_survives_a_liar():
    strategy = begun(legacy.RobustStrategy("mean", evaluate_metrics_aggregation_fn=lambda told: {"clients": len(told)}))
    sound = [evaluated(str(i), float(i)) for i in range(1, 6)]
    bad = [evaluated("6", float("nan")), evaluated("7", 1.0, -3), evaluated("8", 1.0, 10, odd=1)]
    bad += [evaluated("9", loss, 10, **{"": 10, " loss": 1.0}) for loss in (float("nan"), "none", None)]
    assert strategy.aggregate_evaluate(1, [*bad, *sound], []) == (3.0, {"clients": 5})
    assert strategy.aggregate_evaluate(1, bad[:1], []) == (None, {})
    loss, _ = strategy.aggregate_evaluate(1, [*sound, evaluated("9", 30.0, 10**6)], [])
    assert loss == pytest.approx((5 * 3 * 10 + 40 * 30) / 90)


def test_legacy_names_and_other_strategies():
    from flwr.server.strategy import FedAdam as LegacyFedAdam

    class Ours(legacy.Robust, LegacyFedAdam):
        pass

    initial = ndarrays_to_parameters(LAYERS[:2])
    strategy = Ours("median", identity="site", initial_parameters=initial)
    strategy.configure_fit(1, initial, Manager())
    replies = [fit(str(i), layers(i)[:2], site=f"s{i}") for i in range(1, 6)]
    update, _ = strategy.aggregate_fit(1, [*replies, fit("6", layers(6)[:2])], [])
    assert strategy.result.clients == ("6", "s1", "s2", "s3", "s4", "s5")
    assert "no 'site'" in strategy.result.reasons[0]
    assert [array.dtype for array in parameters_to_ndarrays(update)] == [np.float32, np.float64]
    strategy.aggregate_fit(2, [*replies, fit("6", layers(6)[:2], site="x" * 2**25)], [])
    assert strategy.result.clients[0] == "6"


def test_legacy_what_the_strategy_behind_refuses():
    from flwr.server.strategy import FaultTolerantFedAvg

    class Ours(legacy.Robust, FaultTolerantFedAvg):
        pass

    strategy = begun(Ours("median", min_completion_rate_fit=0.5))
    assert strategy.aggregate_fit(1, FITS, [RuntimeError("gone")] * 6) == (None, {})
    assert strategy.result is None
    assert strategy.aggregate_fit(1, FITS, [RuntimeError("gone")] * 5)[0] is not None


def test_legacy_metrics_are_averaged_once_and_of_clients_alone():
    class Ours(legacy.Robust, LegacyFedAvg):
        pass

    strategy = begun(Ours("median", fit_metrics_aggregation_fn=lambda told: {"clients": len(told), **mean_loss(told)}))
    for number in (1, 2):
        _, metrics = strategy.aggregate_fit(number, FITS, [])
        assert (metrics["clients"], metrics["loss"]) == (HONEST, 3.0)
    update, metrics = strategy.aggregate_fit(3, [fit(str(i), loss=float("nan")) for i in range(1, 6)], [])
    assert update is not None
    assert "loss" not in metrics
