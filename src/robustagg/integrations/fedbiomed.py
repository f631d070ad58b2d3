"""Fed-BioMed: an aggregator for its experiments."""

from __future__ import annotations

import os
from typing import Any

from fedbiomed.common.logger import logger
from fedbiomed.researcher.aggregators import Aggregator

from robustagg.integrations.rounds import Rounds


class RobustAggregator(Aggregator):
    """A rule in place of the average: ``Experiment(aggregator=RobustAggregator("reputation", ledger=path), ...)``.

    Parameters
    ----------
    rule : str or dict
        As for :func:`robustagg.rule`; breakpoints keep it, with all other arguments.
    **intake
        As for :class:`robustagg.Intake`.
    """

    def __init__(self, rule: Any = None, **intake: Any) -> None:
        super().__init__()
        self.aggregator_name = "RobustAggregator"
        if intake.get("ledger") is not None:
            intake["ledger"] = os.fspath(intake["ledger"])  # breakpoints are JSON
        self._arguments = {"rule": rule, **intake}
        if rule is not None:  # else a breakpoint says it
            self._rounds = Rounds(rule, logger.warning, **intake)

    def aggregate(self, model_params: Any, weights: Any, *_: Any, global_model: Any, **__: Any) -> Any:
        replies = [(node, sent, weights.get(node)) for node, sent in model_params.items()]
        return self._rounds.hold(global_model, replies)

    def save_state_breakpoint(self, breakpoint_path: str | None = None, **created: Any) -> dict[str, Any]:
        return {**super().save_state_breakpoint(breakpoint_path, **created), "arguments": self._arguments}

    def load_state_breakpoint(self, state: dict[str, Any], **options: Any) -> None:
        super().load_state_breakpoint(state, **options)
        self.__init__(**state["arguments"])  # type: ignore[misc]
