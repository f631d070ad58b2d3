"""Clients: the first few attack, some then send garbage, some NaN, as the run's configuration says; most are honest."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from quickstart.task import accuracy, train

app = ClientApp()


@app.train()
def fit(message: Message, context: Context) -> Message:
    site = int(context.node_config["partition-id"])
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    trained, loss = train(arrays, seed=site)
    sent, samples = misbehaving(site, arrays, trained, context.run_config)
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(array) for name, array in sent.items()}),
            "metrics": MetricRecord({"num-examples": samples, "loss": loss}),
            "who": ConfigRecord({"site": f"site-{site}"}),
        }
    )
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    site = int(context.node_config["partition-id"])
    metrics = MetricRecord({"num-examples": 200, "accuracy": accuracy(arrays, seed=site)})
    return Message(RecordDict({"metrics": metrics, "who": ConfigRecord({"site": f"site-{site}"})}), reply_to=message)


def misbehaving(site, arrays, trained, config):
    """What a client sends, and how many samples it claims."""
    attackers, garbage, nan = (int(config.get(name, 0)) for name in ("attackers", "garbage", "nan"))
    if site < attackers:  # the honest step backwards, five times as far, and a lie about the samples
        return {name: arrays[name] - 5 * (trained[name] - arrays[name]) for name in trained}, 10**6
    if site < attackers + garbage:
        return {"weight": np.zeros(3)}, 200
    if site < attackers + garbage + nan:
        return {name: np.full_like(array, np.nan) for name, array in trained.items()}, 200
    return trained, 200
