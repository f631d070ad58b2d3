"""OpenFL: aggregation functions for a task of the plan, over whole models or tensor by tensor."""

from __future__ import annotations

import logging
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from openfl.interface.aggregation_functions import AggregationFunction
from openfl.interface.aggregation_functions.experimental import PrivilegedAggregationFunction

import robustagg as ra
from robustagg.integrations.rounds import Rounds

log = logging.getLogger("openfl")
BESIDE = np.zeros(1)  # beside a 0-d array or a counter, which alone is no model


class RobustAggregation(PrivilegedAggregationFunction):
    """A rule over whole models; the round is computed when OpenFL asks for its first tensor.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
    **intake
        As for :class:`robustagg.Intake`.
    """

    def __init__(self, rule: Any, **intake: Any) -> None:
        super().__init__()
        self._rounds = Rounds(rule, log.warning, **intake)
        self._done: tuple[int, frozenset[str]] | None = None

    def call(self, local_tensors: Any, tensor_db: Any, tensor_name: str, fl_round: int, tags: Any) -> Any:
        if self._done != (fl_round, frozenset(tags)):
            tensors = tensor_db[tensor_db["round"] == fl_round]
            model = _tagged(tensors, {"model"})
            sent = [(one.col_name, _tagged(tensors, {*tags, one.col_name}, model), one.weight) for one in local_tensors]
            self._update = self._rounds.hold(model, sent)
            self._done = fl_round, frozenset(tags)
        if tensor_name in self._update:
            return np.asarray(self._update[tensor_name])
        others = {one.col_name: [one.tensor, BESIDE] for one in local_tensors}  # no part of the model: an optimizer's
        return np.asarray(ra.Median().aggregate(others).update[0])


class RobustTensors(AggregationFunction):
    """A rule that works coordinate by coordinate, on each tensor as it comes; arguments as of the other, no ledger."""

    def __init__(self, rule: Any, **intake: Any) -> None:
        super().__init__()
        self._new = partial(Rounds, rule, log.warning, **intake)
        self._rounds: dict[str, Rounds] = {}

    def call(self, local_tensors: Any, db_iterator: Any, tensor_name: str, fl_round: int, tags: Any) -> Any:
        of_it = (row for row in db_iterator if row["tensor_name"] == tensor_name and row["round"] == fl_round)
        model = next(np.asarray(row["nparray"]) for row in of_it if set(row["tags"]) == {"model"})
        rounds = self._rounds.setdefault(tensor_name, self._new())
        sent = [(one.col_name, [one.tensor, BESIDE], one.weight) for one in local_tensors]
        return np.asarray(rounds.hold([model, BESIDE], sent)[0])


def _tagged(tensors: Any, tags: set[str], like: Any = None) -> dict[str, Any]:
    """Tensors with just these tags, by name, in an order that no sender chooses; of a model like another its part."""
    rows = tensors[[set(own) == tags for own in tensors["tags"]]]
    found = sorted(zip(rows["tensor_name"], map(np.asarray, rows["nparray"]), strict=True), key=itemgetter(0))
    return {name: array for name, array in found if like is None or name in like}
