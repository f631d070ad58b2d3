"""FedLab: a handler for its synchronous servers."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch
from fedlab.contrib.algorithm.basic_server import SyncServerHandler
from fedlab.utils import SerializationTool

from robustagg.integrations.rounds import Rounds

log = logging.getLogger("robustagg")


class Robust:
    """Makes a synchronous handler robust: ``class Ours(Robust, OwnHandler): ...``.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
    intake : dict, optional
        Further arguments of :class:`robustagg.Intake`: its ledger, for one.
    *arguments, **options
        The handler's own.
    """

    def __init__(self, rule: Any, *arguments: Any, intake: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rounds = Rounds(rule, log.warning, **(intake or {}))

    def sample_clients(self) -> Any:
        self._sampled = super().sample_clients()  # type: ignore[misc]
        return self._sampled

    def load(self, payload: Any) -> Any:
        """Take a payload; one that is empty, or none at all, would stop FedLab."""
        usable = isinstance(payload, (list, tuple)) and payload
        return super().load(payload if usable else [None])  # type: ignore[misc]

    def global_update(self, buffer: Any) -> None:
        """Aggregate payloads of [parameters, count], which come in the order of the clients sampled."""
        replies = [
            (client, partial(_read, payload), _count(payload))
            for client, payload in zip(self._sampled, buffer, strict=True)
        ]
        update = self._rounds.hold([self.model_parameters], replies)  # type: ignore[attr-defined]
        SerializationTool.deserialize_model(self._model, update[0])  # type: ignore[attr-defined]


class RobustHandler(Robust, SyncServerHandler):
    """FedLab's synchronous handler with a robust rule in place of the average."""


def _read(payload: Any) -> Any:
    return [payload[0]]


def _count(payload: Any) -> Any:
    """The count, if there is one, also as a vector of one number."""
    count = payload[1] if len(payload) > 1 else None
    return count.item() if isinstance(count, torch.Tensor) and count.numel() == 1 else count
