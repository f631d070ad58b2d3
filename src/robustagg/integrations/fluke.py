"""fluke: a server for its centralised algorithms."""

from __future__ import annotations

import logging
from typing import Any

import torch
from fluke.algorithms.fedavg import FedAVG
from fluke.server import Server

from robustagg.integrations.rounds import Rounds

log = logging.getLogger("robustagg")


class Robust:
    """Makes a server of fluke's robust: ``class Ours(Robust, OwnServer): ...``.

    The server's hyper-parameters have besides its own ``rule``, as for :func:`robustagg.rule`, and ``intake``, further
    arguments of :class:`robustagg.Intake`.
    """

    def __init__(self, *arguments: Any, rule: Any, intake: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.hyper_params.update(rule=rule, intake=intake)  # type: ignore[attr-defined]
        self._rounds = Rounds(rule, log.warning, **(intake or {}))

    @torch.no_grad()
    def aggregate(self, eligible: Any, client_models: Any) -> None:
        model, own = self.model.state_dict(), self.hyper_params  # type: ignore[attr-defined]
        counts = [client.n_examples if own.weighted else None for client in eligible]
        names = [int(client.index) for client in eligible]
        readers = [getattr(sent, "state_dict", sent) for sent in client_models]
        update = self._rounds.hold(model, zip(names, readers, counts, strict=True))
        moved = {
            name: values.lerp(update[name], own.lr) if values.is_floating_point() else update[name]
            for name, values in model.items()
        }
        for name, values in model.items():  # only now: what is tied has several names
            values.copy_(moved[name])


class RobustServer(Robust, Server):
    """fluke's server with a robust rule in place of the average."""


class RobustFedAVG(FedAVG):
    """FedAVG with that server."""

    def get_server_class(self) -> type[Server]:
        return RobustServer
