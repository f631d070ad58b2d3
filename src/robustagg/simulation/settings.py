"""What to simulate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from math import isfinite
from typing import Any

from robustagg import errors
from robustagg.attacks import ATTACKS
from robustagg.rules.table import entry_of

CHOICES: tuple[str, ...] = ("none", *ATTACKS)
PAYLOADS: tuple[str, ...] = tuple(name for name, attack in ATTACKS.items() if attack.kind in ("data", "update"))

USUAL = ("reputation", "median", "trimmed-mean", "mean")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One simulation. The same settings give the same numbers.

    Attributes
    ----------
    attack : str
        "none", or a name of :data:`robustagg.attacks.ATTACKS`.
    payload : str
        What the attackers of an attack over rounds (a schedule, new ids, claimed samples) send when they attack.
    options : mapping of str to value
        Arguments of the attack's function.
    clients, rounds, seed : int
        How many; of all draws.
    attackers : float
        Share of the clients, rounded to whole ones.
    rules : tuple of str
        Names as ``robustagg rules`` lists them, or ``module:Class`` for a rule of the user's own; each is run from the
        start with the same data and draws.
    alpha : float
        Dirichlet concentration of the split by class: small is skewed, 100 nearly even.
    epochs : int
        Passes over its data that a client makes in a round.
    overtraining : float
        How many times as long attackers train where they poison their data (rounded to whole epochs).
    target_accuracy : float
        Accuracy, as a share, that rounds to target are counted to.

    Raises
    ------
    ValueError
        If something is out of range or unknown.
    """

    attack: str = "backdoor"
    payload: str = "backdoor"
    options: Mapping[str, Any] = field(default_factory=dict)
    clients: int = 10
    attackers: float = 0.3
    rounds: int = 30
    rules: tuple[str, ...] = USUAL
    alpha: float = 1.0
    epochs: int = 2
    overtraining: float = 1.5
    seed: int = 0
    target_accuracy: float = 0.9

    def __post_init__(self) -> None:
        for name, options in (("attack", CHOICES), ("payload", PAYLOADS)):
            if getattr(self, name) not in options:
                raise errors.not_one_of(name, getattr(self, name), options)
        if not self.rules:
            raise errors.out_of_range("rules", self.rules, "at least one rule")
        if len(set(self.rules)) < len(self.rules):
            raise errors.out_of_range("rules", self.rules, "each rule once")
        for rule in self.rules:
            entry_of(rule)
        for name, lowest in (("clients", 1), ("rounds", 1), ("epochs", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise errors.out_of_range(name, value, f"an integer of at least {lowest}")
        for name in ("alpha", "overtraining"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise errors.out_of_range(name, getattr(self, name), "positive and finite")
        for name in ("attackers", "target_accuracy"):
            if not 0 <= getattr(self, name) <= 1:
                raise errors.out_of_range(name, getattr(self, name), "between 0 and 1")
        if self.f >= self.clients:
            raise errors.nobody_honest(self.clients, self.f)
        for option in self.options:
            if option not in self.known_options:
                raise errors.unknown_option(self.attack, option, self.known_options)

    @property
    def f(self) -> int:
        """How many clients attack."""
        return 0 if self.attack == "none" else round(self.attackers * self.clients)

    @property
    def kind(self) -> str:
        """Kind of the attack, "none" where there is none."""
        return ATTACKS[self.attack].kind if self.f else "none"

    @property
    def over_rounds(self) -> bool:
        """Whether the attack is one on a memory, which sends its payload."""
        return self.kind in ("schedule", "identity", "samples")

    @property
    def known_options(self) -> tuple[str, ...]:
        """Names that `options` may hold."""
        if self.attack == "none":
            return ()
        parameters = signature(ATTACKS[self.attack].function).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("seed", "trigger"))
