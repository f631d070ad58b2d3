"""NVFlare's aggregator of whole models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from nvflare.apis.analytix import AnalyticsDataType
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import FLMetaKey, ReservedKey
from nvflare.apis.utils.analytix_utils import create_analytic_dxo, send_analytic_dxo
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from robustagg.integrations.rounds import Rounds


class RobustAggregator(ModelAggregator):
    """A rule in place of the weighted average. Arguments are JSON, kept where the job's generator looks for them.

    Parameters
    ----------
    rule : str or dict
        As for :func:`robustagg.rule`.
    ledger : str, optional
        Path on the server.
    intake : dict, optional
        Further arguments of :class:`robustagg.Intake`.
    """

    def __init__(self, rule: Any, ledger: str | None = None, intake: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.rule, self.ledger, self.intake = rule, ledger, intake
        self._rounds = Rounds(rule, self.warning, ledger=ledger, **(intake or {}))
        self._replies: list[FLModel] = []
        self._kind = ParamsType.FULL

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        super().handle_event(event_type, fl_ctx)
        if event_type == AppEventType.BEFORE_TRAIN_TASK:  # of any controller: the model that clients begin with
            self._model = from_shareable(fl_ctx.get_prop(AppConstants.TRAIN_SHAREABLE)).data

    def accept(self, shareable: Any, fl_ctx: Any) -> bool:
        """Take what ScatterAndGather hands over, which are late replies, too, and those of no known form."""
        self.fl_ctx, client = fl_ctx, shareable.get_peer_prop(ReservedKey.IDENTITY_NAME, "?")
        if shareable.get_cookie(AppConstants.CONTRIBUTION_ROUND) != fl_ctx.get_prop(AppConstants.CURRENT_ROUND):
            self.warning(f"robustagg: client {client!r}: a reply to another round")
            return False
        try:
            model = FLModelUtils.from_shareable(shareable)
        except Exception as fault:  # whatever reading a stranger's reply trips over
            model = FLModel(params=fault)
        model.meta["client_name"] = client
        self.accept_model(model)
        return True

    def accept_model(self, model: FLModel) -> None:
        self._replies.append(model)

    def aggregate_model(self) -> FLModel:
        replies, self._replies = self._replies, []
        kinds = Counter(reply.params_type for reply in replies if reply.params_type)
        kind = self._kind = max(kinds, key=lambda kind: (kinds[kind], kind), default=self._kind)
        intake = self._rounds.begin(self._model, whole=kind == ParamsType.FULL)
        for reply in replies:
            client, count = reply.meta["client_name"], reply.meta.get(FLMetaKey.NUM_STEPS_CURRENT_ROUND)
            if reply.params_type == kind:
                intake.add(client, partial(_read, reply.params), count)
            else:
                intake.refuse(client, f"parameters of type {reply.params_type}, most send {kind}")
        result = self._rounds.close()
        if result is None:
            whole = kind == ParamsType.FULL
            stays = self._model if whole else {name: _zeros(values) for name, values in self._model.items()}
            return FLModel(params_type=kind, params=stays)
        self._show(result.round, result.metrics())
        there = self._rounds.there
        metrics = medians([reply.metrics or {} for reply in replies if reply.meta["client_name"] in there])
        return FLModel(params=result.update, params_type=kind, metrics=metrics)

    def reset_stats(self) -> None:
        self._replies = []

    def _show(self, round: int, metrics: Mapping[str, float]) -> None:
        """To the server's own receivers: what stands in FLModel.metrics goes to the clients."""
        for name, value in metrics.items():
            dxo = create_analytic_dxo(f"robustagg/{name}", value, AnalyticsDataType.METRIC, global_step=round)
            send_analytic_dxo(self, dxo, self.fl_ctx)


def medians(records: list[dict[Any, Any]]) -> dict[str, float]:
    """The median of each number that most clients tell of themselves."""
    told: dict[str, list[float]] = {}
    for name, value in (item for record in records for item in record.items()):
        if isinstance(name, str) and isinstance(value, (int, float, np.floating, np.integer)):
            with suppress(OverflowError):  # an int of any length
                if abs(number := float(value)) < 1e300:
                    told.setdefault(name, []).append(number)
    return {name: median(values) for name, values in told.items() if 2 * len(values) > len(records)}


def _zeros(values: Any) -> Any:
    return values.new_zeros(values.shape) if hasattr(values, "new_zeros") else np.zeros_like(values)


def _read(params: Any) -> dict[Any, Any]:
    if not isinstance(params, Mapping):
        raise TypeError(f"parameters that are no dict: {params!r:.200}")
    return {name: value.materialize() if hasattr(value, "materialize") else value for name, value in params.items()}
