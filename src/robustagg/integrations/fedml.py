"""FedML: an aggregator for its servers, cross-silo ones first."""

from __future__ import annotations

import json
import logging
from typing import Any

from fedml.ml.aggregator.default_aggregator import DefaultServerAggregator

from robustagg.integrations.rounds import Rounds

log = logging.getLogger("robustagg")


class Robust:
    """Makes a ServerAggregator robust: ``class Ours(Robust, OwnAggregator): ...``.

    Parameters
    ----------
    model, args
        FedML's own.
    rule : Rule, or what :func:`robustagg.rule` takes
    **intake
        As for :class:`robustagg.Intake`.
    """

    def __init__(self, model: Any, args: Any, rule: Any, **intake: Any) -> None:
        super().__init__(model, args)  # type: ignore[call-arg]
        self._rounds = Rounds(rule, log.warning, **intake)

    def aggregate(self, raw_client_model_or_grad_list: Any) -> Any:
        """Aggregate (count, model) pairs, which stand in the order of ``args.client_id_list``."""
        replies = raw_client_model_or_grad_list
        names = json.loads(getattr(self.args, "client_id_list", None) or "[]")  # type: ignore[attr-defined]
        names = names if len(names) == len(replies) else range(len(replies))
        model = self.get_model_params()  # type: ignore[attr-defined]
        return self._rounds.hold(model, [(name, sent, n) for name, (n, sent) in zip(names, replies, strict=True)])


class RobustAggregator(Robust, DefaultServerAggregator):
    """FedML's default aggregator with a robust rule in place of the average."""
