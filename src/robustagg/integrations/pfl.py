"""pfl: an aggregator for its simulations that is a postprocessor, too, which tells it whose statistics come."""

from __future__ import annotations

import copy
import logging
from functools import partial
from typing import Any

import torch
from pfl.aggregate.base import Aggregator
from pfl.metrics import Metrics, StringMetricName
from pfl.postprocessor.base import Postprocessor
from pfl.stats import MappedVectorStatistics

from robustagg.integrations.rounds import Rounds

log = logging.getLogger("robustagg")


class Robust(Aggregator, Postprocessor[Any]):
    """A rule in place of the sum: ``SimulatedBackend(..., postprocessors=[..., robust], aggregator=robust)``.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
    **intake
        As for :class:`robustagg.Intake`.
    """

    def __init__(self, rule: Any, **intake: Any) -> None:
        self._rounds = Rounds(rule, log.warning, **intake)
        self._replies: list[tuple[Any, dict[str, Any], float]] = []
        self._user: Any = None
        self._like: dict[str, Any] = {}

    def postprocess_one_user(self, *, stats: Any, user_context: Any) -> Any:
        self._user = user_context.user_id
        return stats, Metrics()

    def accumulate(self, *, accumulated: Any, user_stats: Any) -> Any:
        """Keep them apart; what pfl carries on is the first, for its form."""
        user = len(self._replies) if self._user is None else self._user
        self._replies.append((user, copy.deepcopy(dict(user_stats.items())), user_stats.weight))
        return user_stats if accumulated is None else accumulated

    def postprocess_server(self, *, stats: Any, central_context: Any, aggregate_metrics: Any) -> Any:
        """Aggregate updates, each of which is multiplied by its weight, to one of weight 1."""
        replies, self._replies = self._replies, []
        if not self._like:  # no later round's first user is asked what the model is like
            self._like = {name: torch.zeros_like(values) for name, values in stats.items()}
        nothing = {name: torch.zeros_like(values) for name, values in self._like.items()}
        parts: dict[Any, list[tuple[dict[str, Any], float]]] = {}
        for user, tree, weight in replies:
            if weight != 0:
                parts.setdefault(user, []).append((tree, weight))
        sent = [(user, partial(_mean, own), sum(weight for _, weight in own)) for user, own in parts.items()]
        for name, values in self._rounds.hold(nothing, sent, whole=False).items():
            stats[name] = values
        stats.weight = 1.0
        told = self._rounds.result.metrics() if self._rounds.result else {}
        return stats, Metrics([(StringMetricName(f"robustagg/{name}"), value) for name, value in told.items()])


def _mean(parts: list[tuple[dict[str, Any], float]]) -> dict[str, Any]:
    """What one user says, who may have been drawn several times; statistics come multiplied by their weights."""
    total = sum((MappedVectorStatistics(tree, weight) for tree, weight in parts[1:]), MappedVectorStatistics(*parts[0]))
    return {name: values / total.weight for name, values in total.items()}
