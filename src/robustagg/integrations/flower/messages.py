"""Strategies of Flower's Message API (``flwr.serverapp``)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from robustagg.integrations.flower.arrays import in_place
from robustagg.integrations.flower.metrics import sound
from robustagg.integrations.flower.shared import Around, kept, named


class Robust(Around):
    """Makes a strategy of FedAvg's family robust: ``class RobustFedAdam(Robust, FedAdam): ...``.

    The strategy behind it gets one reply in place of all clients': their robust aggregate.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
    identity : str, optional
        What a client is called: the value of this name in its reply's ConfigRecord or MetricRecord, which is a claim.
        Without, its node id, which is new whenever its SuperNode starts, unless that has a registered key.
    **options
        The arguments of :class:`robustagg.Intake`, `ledger` for one, and the strategy's own.

    Attributes
    ----------
    result : Result or None
        What became of each client in the last round; None where there was no update.
    """

    # what the strategy behind has
    weighted_by_key: str
    arrayrecord_key: str
    train_metrics_aggr_fn: Any
    evaluate_metrics_aggr_fn: Any

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self._begin(_tree(arrays))
        return super().configure_train(server_round, arrays, config, grid)  # type: ignore[misc, no-any-return]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        answers = self._answers(replies)
        for client, reply in answers:
            sender, count = reply.metadata.src_node_id, _record(reply).get(self.weighted_by_key)
            self._take(client, sender, partial(_update, reply), count)
        result, there = self._rounds.close(), self._rounds.there
        if result is None:
            return None, None
        arrays = ArrayRecord({name: Array(np.asarray(values)) for name, values in result.update.items()})
        heard = {client: reply for client, reply in answers if client in there}
        contents = self._sound(heard)
        metrics = self.train_metrics_aggr_fn(contents, self.weighted_by_key) if contents else MetricRecord()
        metrics.update({f"robustagg/{name}": value for name, value in result.metrics().items()})
        return self._gone_on(
            server_round, arrays, next(iter(heard.values())), contents, MetricRecord(dict(metrics))
        ), metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        answers = {reply.metadata.src_node_id: reply for reply in replies if not reply.has_error()}
        contents = self._sound(answers)
        return self.evaluate_metrics_aggr_fn(contents, self.weighted_by_key) if contents else None

    def _answers(self, replies: Iterable[Message]) -> list[tuple[Any, Message]]:
        """Who has sent what, None for who does not say its name; who has sent an error takes no part."""
        return [(self._client(reply), reply) for reply in replies if not reply.has_error()]

    def _client(self, reply: Message) -> Any:
        if self._identity is None:
            return reply.metadata.src_node_id
        records = [*reply.content.config_records.values(), *reply.content.metric_records.values()]
        names = [record[self._identity] for record in records if self._identity in record]
        return named(names[0]) if len(names) == 1 else None

    def _sound(self, replies: Mapping[Any, Message]) -> list[RecordDict]:
        """The replies' contents, without those whose metrics would spoil the others'."""
        kept = sound({client: _record(reply) for client, reply in replies.items()}, self.weighted_by_key, self._cap)
        contents = []
        for client, record in kept.items():
            content = replies[client].content
            contents.append(RecordDict({**content, next(iter(content.metric_records)): MetricRecord(record)}))
        return contents

    def _gone_on(
        self, server_round: int, update: ArrayRecord, reply: Message, contents: list[RecordDict], metrics: MetricRecord
    ) -> ArrayRecord | None:
        """What the strategy behind makes of the robust aggregate and the average of metrics, in the model's dtypes."""
        record = next(iter(contents[0].metric_records.values())) if contents else {}
        only = copy.copy(reply)
        only.content = RecordDict(
            {self.arrayrecord_key: update, "metrics": MetricRecord({**record, self.weighted_by_key: 1.0})}
        )
        ours = _tree(update)  # some strategies empty what they get
        with self._averaged("train_metrics_aggr_fn", metrics):
            arrays, _ = super().aggregate_train(server_round, [only])  # type: ignore[misc]
        if arrays is None:
            return None
        return ArrayRecord({k: Array(kept(v.numpy(), ours[k], self._model[k].dtype)) for k, v in arrays.items()})


class RobustStrategy(Robust, FedAvg):
    """FedAvg with a robust rule in place of the average; arguments as of :class:`Robust` and FedAvg."""

    def _gone_on(self, server_round: int, update: ArrayRecord, *_: Any) -> ArrayRecord | None:
        return update


def _tree(record: ArrayRecord) -> dict[str, np.ndarray[Any, Any]]:
    return {name: in_place(array.data, array.stype) for name, array in record.items()}


def _update(reply: Message) -> dict[str, np.ndarray[Any, Any]]:
    records = list(reply.content.array_records.values())
    if len(records) != 1:
        raise ValueError(f"{len(records)} ArrayRecords in the reply, not one")
    return _tree(records[0])


def _record(reply: Message) -> MetricRecord:
    """The reply's only MetricRecord; an empty one where it has none, or several."""
    records = list(reply.content.metric_records.values())
    return records[0] if len(records) == 1 else MetricRecord()
