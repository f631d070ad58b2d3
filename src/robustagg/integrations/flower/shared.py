"""What strategies of both of Flower's APIs share."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import robustagg as ra
from robustagg.integrations.rounds import Rounds
from robustagg.names import LONGEST_ID

log = logging.getLogger("flwr")
INTAKE = inspect.signature(ra.Intake).parameters.keys() - {"rule", "like"}


def named(said: Any) -> Any:
    """What a reply calls its client; None where that is no id."""
    return said if type(said) is int or (type(said) is str and len(said) <= LONGEST_ID) else None


def kept(made: np.ndarray[Any, Any], ours: np.ndarray[Any, Any], like: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """What the strategy behind has made of an array, in the model's dtype; of integers it knows only floats."""
    return np.asarray(made, like) if like.kind == "f" else ours


class Around:
    """What both kinds of strategy have around their own: a rule, and rounds that go on as long as they do."""

    def __init__(self, rule: Any, *, identity: str | None = None, **options: Any) -> None:
        intake = {name: options.pop(name) for name in INTAKE & options.keys()}
        super().__init__(**options)
        self._rounds = Rounds(rule, log.warning, **intake)
        self._identity, self._cap = identity, intake.get("count_cap", 4.0)

    @property
    def result(self) -> ra.Result | None:
        """What became of each client in the last round; None where there was no update."""
        return self._rounds.result

    def _begin(self, model: Any) -> None:
        """Take the first round's model for what replies have to be like, and each round's for where clients begin."""
        self._model = model
        self._intake = self._rounds.begin(model)

    @contextmanager
    def _averaged(self, average: str, metrics: Any) -> Iterator[None]:
        """A block in which the strategy behind gets these metrics in place of averages of its one reply's."""
        own = getattr(self, average)
        setattr(self, average, lambda *_: metrics)
        try:
            yield
        finally:
            setattr(self, average, own)

    def _take(self, client: Any, sender: Any, read: Callable[[], Any], count: Any) -> None:
        """A reply: whose it is, if it says so; whom it came from; how to read it; its sample count."""
        if client is None:
            self._intake.refuse(sender, f"no {self._identity!r} in the reply")
        else:
            self._intake.add(client, read, count)
