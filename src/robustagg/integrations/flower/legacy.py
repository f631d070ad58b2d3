"""Strategies of Flower's older API (``flwr.server``)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from flwr.common import Parameters, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg

from robustagg.integrations.flower.arrays import in_place
from robustagg.integrations.flower.metrics import sound
from robustagg.integrations.flower.shared import Around, kept, named


class Robust(Around):
    """Makes a strategy of FedAvg's family robust: ``class RobustFedAdam(Robust, FedAdam): ...``.

    As :class:`robustagg.integrations.flower.Robust`; `identity` is a name in ``FitRes.metrics``, without it a client is
    called its proxy's cid.
    """

    # what the strategy behind has
    accept_failures: bool
    fit_metrics_aggregation_fn: Any

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: Any) -> Any:
        self._begin(_arrays(parameters))
        return super().configure_fit(server_round, parameters, client_manager)  # type: ignore[misc]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> tuple[Parameters | None, dict[str, Any]]:
        if not self._enough(results, failures):
            self._rounds.result = None
            return None, {}
        answers = [(self._client(proxy, answer), proxy, answer) for proxy, answer in results]
        for client, proxy, answer in answers:
            self._take(client, proxy.cid, partial(_arrays, answer.parameters), answer.num_examples)
        result, there = self._rounds.close(), self._rounds.there
        if result is None:
            return None, {}
        heard = {client: answer for client, _, answer in answers if client in there}
        records = {client: {**answer.metrics, "": answer.num_examples} for client, answer in heard.items()}
        told = [(record.pop(""), record) for record in sound(records, "", self._cap).values()]
        average = self.fit_metrics_aggregation_fn
        metrics = dict(average(told)) if average and told else {}
        metrics |= {f"robustagg/{name}": value for name, value in result.metrics().items()}
        update = ndarrays_to_parameters([np.asarray(values) for values in result.update])
        only = replace(answers[0][2], parameters=update, num_examples=1, metrics=told[0][1] if told else {})
        return self._gone_on(server_round, update, (answers[0][1], only), dict(metrics)), metrics

    def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> Any:
        records = [{**answer.metrics, "": answer.num_examples, " loss": answer.loss} for _, answer in results]
        kept = sound(dict(enumerate(records)), "", self._cap)
        heard = [(results[i][0], replace(results[i][1], num_examples=record[""])) for i, record in kept.items()]
        return super().aggregate_evaluate(server_round, heard, failures)  # type: ignore[misc]

    def _enough(self, results: Any, failures: Any) -> bool:
        """What the strategy behind asks of a round; all that it gets to see is one reply, and no failure."""
        if not failures:
            return True
        completed = len(results) / (len(results) + len(failures))
        return self.accept_failures and completed >= getattr(self, "completion_rate_fit", 0)

    def _client(self, proxy: Any, answer: Any) -> Any:
        if self._identity is None:
            return proxy.cid
        return named(answer.metrics.get(self._identity))

    def _gone_on(self, server_round: int, update: Parameters, reply: Any, metrics: dict[str, Any]) -> Parameters | None:
        """What the strategy behind makes of the robust aggregate and the average of metrics, in the model's dtypes."""
        with self._averaged("fit_metrics_aggregation_fn", metrics):
            made, _ = super().aggregate_fit(server_round, [reply], [])  # type: ignore[misc]
        if made is None:
            return None
        arrays = zip(parameters_to_ndarrays(made), _arrays(update), self._model, strict=True)
        return ndarrays_to_parameters([kept(array, ours, like.dtype) for array, ours, like in arrays])


class RobustStrategy(Robust, FedAvg):
    """FedAvg with a robust rule in place of the average; arguments as of :class:`Robust` and FedAvg."""

    def _gone_on(self, server_round: int, update: Parameters, *_: Any) -> Parameters | None:
        return update


def _arrays(parameters: Parameters) -> list[np.ndarray[Any, Any]]:
    return [in_place(data, parameters.tensor_type) for data in parameters.tensors]
