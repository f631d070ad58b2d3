"""The attackers of a simulation: what they train on and send, when, under which names and with which claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg.attacks import ATTACKS, Trigger, corner
from robustagg.protocol import Client
from robustagg.simulation.data import SIDE, Samples
from robustagg.simulation.settings import Settings

FLIP = {"source": 3, "target": 8}
BACKDOOR = {"target": 0}
PIXELS = 2  # side of the backdoor's square


class Adversary:
    """One mind in the last f clients."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.payload = settings.payload if settings.over_rounds else settings.attack
        self.payload_kind = ATTACKS[self.payload].kind if settings.f else "none"

    @cached_property
    def trigger(self) -> Trigger:
        return corner(SIDE, SIDE, size=PIXELS)

    def attacks(self, round: int) -> bool:
        """Whether the attackers attack in this round."""
        if self.settings.kind == "schedule":
            return bool(self._call(self.settings.attack, round))
        return self.settings.f > 0

    def poisoned(self, samples: Samples, client: int) -> Samples:
        """What an attacker trains on while it attacks."""
        if self.payload_kind != "data":
            return samples
        x, y = self._call(self.payload, *samples, seed=[self.settings.seed, client])
        return x, y

    def rows(self, honest: NDArray[np.float32], round: int) -> NDArray[np.float32] | None:
        """What the attackers send in a round; None where they send what they have trained."""
        if self.payload_kind != "update" or not self.attacks(round):
            return None
        return np.asarray(self._call(self.payload, honest, self.settings.f, seed=[self.settings.seed, round]))

    def ids(self, clients: Sequence[Client], round: int) -> tuple[Client, ...]:
        """Under which ids the attackers come."""
        if self.settings.kind == "identity":
            return tuple(self._call(self.settings.attack, clients, round))
        return tuple(clients)

    def counts(self, counts: Sequence[float]) -> list[float]:
        """How many samples the attackers say they have."""
        if self.settings.kind == "samples":
            return list(self._call(self.settings.attack, counts))
        return list(counts)

    def success(self, predict: Callable[[Any], NDArray[np.intp]], test: Samples) -> float | None:
        """Share of the targeted test samples that the model takes for the target; None where none are."""
        x, y = test
        if self.payload == "backdoor":
            target = self._arguments(self.payload)["target"]
            return float((predict(self.trigger.on(x[y != target])) == target).mean())
        if self.payload == "label-flip":
            arguments = self._arguments(self.payload)
            return float((predict(x[y == arguments["source"]]) == arguments["target"]).mean())
        return None

    def _arguments(self, attack: str) -> dict[str, Any]:
        own = dict(self.settings.options) if attack == self.settings.attack else {}
        if attack == "backdoor":
            return {"trigger": self.trigger, **BACKDOOR, **own}
        return {**FLIP, **own} if attack == "label-flip" else own

    def _call(self, attack: str, *positional: Any, seed: Sequence[int] = ()) -> Any:
        function = ATTACKS[attack].function
        seeded = {"seed": seed} if "seed" in signature(function).parameters else {}
        return function(*positional, **self._arguments(attack), **seeded)
