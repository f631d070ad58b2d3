"""APPFL: an aggregator that its configuration finds by name, once this module is imported."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import appfl.algorithm.aggregator
from appfl.algorithm.aggregator import FedAvgAggregator
from omegaconf import OmegaConf

from robustagg.integrations.rounds import Rounds

log = logging.getLogger("appfl")


class RobustAggregator(FedAvgAggregator):
    """FedAvg's aggregator with a rule in place of the average.

    `aggregator_kwargs` in the server's configuration has ``rule``, as for :func:`robustagg.rule`, ``ledger``, and
    ``intake``, further arguments of :class:`robustagg.Intake`, beside those of FedAvgAggregator.
    """

    def __init__(self, model: Any = None, aggregator_configs: Any = None, logger: Any = None) -> None:
        configs = OmegaConf.create({} if aggregator_configs is None else aggregator_configs)
        super().__init__(model, configs, logger)
        own: Any = OmegaConf.to_container(configs, resolve=True)
        self._rounds = Rounds(own["rule"], (logger or log).warning, ledger=own.get("ledger"), **own.get("intake", {}))

    def aggregate(self, local_models: Mapping[Any, Any], **_: Any) -> Any:
        """Aggregate whole models; the piece of one, as a client may send, is not like the model and left out."""
        sizes = getattr(self, "client_sample_size", {}) if self.client_weights_mode == "sample_size" else {}
        replies = [(client, local, sizes.get(client)) for client, local in local_models.items()]
        self.global_state = self._rounds.hold(self.get_parameters(), replies)
        if self.model is not None:
            self.model.load_state_dict(self.global_state, strict=False)
        return self.get_parameters()


appfl.algorithm.aggregator.RobustAggregator = RobustAggregator
