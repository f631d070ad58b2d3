"""The attackers of a simulation: what they train on and send, when, under which names and with which claims."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np

from robustagg.attacks import ATTACKS
from robustagg.protocol import Client
from robustagg.simulation.adversaries.adaptive import Probe, Rows, strengthened
from robustagg.simulation.adversaries.aim import Aim
from robustagg.simulation.settings import Settings
from robustagg.simulation.tasks import Samples

__all__ = ["Adversary", "Aim"]


class Adversary:
    """One mind in the last f clients."""

    def __init__(self, settings: Settings, aim: Aim) -> None:
        self.settings, self.aim, self.f = settings, aim, settings.f
        self.payload_kind = ATTACKS[aim.payload].kind if self.f else "none"
        self._poison: dict[int, Samples] = {}

    def attacks(self, round: int) -> bool:
        """Whether the attackers attack in this round."""
        if self.settings.kind in ("schedule", "arrival"):
            return bool(self._call(self.settings.attack, round))
        return self.f > 0

    def trains(self, client: int, samples: Samples, round: int) -> tuple[Samples, float]:
        """What an attacker trains on in a round, and how many times as long as honest clients do."""
        if self.payload_kind != "data" or not self.attacks(round):
            return samples, 1.0
        if client not in self._poison:
            self._poison[client] = self._call(self.aim.payload, *samples, seed=[self.settings.seed, client])
        return self._poison[client], self.settings.effort

    def sends(self, rows: Rows, round: int, previous: Rows | None, probe: Probe) -> Rows:
        """(n, d) what is sent of what the clients have trained: the attackers' last rows may be others."""
        if not self.attacks(round):
            return rows
        honest, own = rows[: len(rows) - self.f], rows[len(rows) - self.f :]
        seed = [self.settings.seed, round]
        if self.payload_kind == "update":
            own = self._call(self.aim.payload, honest, self.f, seed=seed, previous=previous)
        if self.settings.kind == "disguise":
            own = self._call(self.settings.attack, honest, own, seed=seed)
        if self.settings.adaptive:
            own = strengthened(honest, own, lambda tried: probe(np.concatenate([honest, tried])))
        return np.concatenate([honest, np.asarray(own, rows.dtype)])

    def ids(self, clients: Sequence[Client], round: int) -> tuple[Client, ...]:
        """Under which ids the attackers come."""
        if self.settings.kind == "identity":
            return tuple(self._call(self.settings.attack, clients, round))
        if self.settings.kind == "arrival" and self.attacks(round):
            return tuple(f"{client}~1" for client in clients)
        return tuple(clients)

    def counts(self, counts: Sequence[float]) -> list[float]:
        """How many samples the attackers say they have."""
        if self.settings.kind == "samples":
            return list(self._call(self.settings.attack, counts))
        return list(counts)

    def _call(self, attack: str, *positional: Any, seed: Sequence[int] = (), previous: Any = None) -> Any:
        function = ATTACKS[attack].function
        known = signature(function).parameters
        given: dict[str, Any] = {"seed": seed} if "seed" in known else {}
        if "previous" in known:  # an attack over rounds draws once for all of them
            given = {"seed": seed[:1], "previous": previous}
        return function(*positional, **self.aim.arguments(attack), **given)
