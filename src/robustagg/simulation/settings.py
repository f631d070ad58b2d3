"""What to simulate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.attacks import ATTACKS, Trigger
from robustagg.rules.checks import part, positive, whole, yes_or_no
from robustagg.rules.table import Spec, line, rule_against
from robustagg.simulation import models, tasks
from robustagg.simulation.tasks import SPLITS

CHOICES: tuple[str, ...] = ("none", *ATTACKS)
PAYLOADS: tuple[str, ...] = tuple(name for name, attack in ATTACKS.items() if attack.kind in ("data", "update"))
CARRIERS = ("disguise", "schedule", "arrival", "identity", "samples")
"""Kinds of attack that carry a payload."""

GIVEN = ("seed", "trigger", "previous", "goal")
"""Arguments of attacks that the simulation itself gives, or cannot."""

AIMS = {"source": 0, "target": 0, "size": 1}
"""Options of which the data say whether they fit, and the least that they may be; classes may be names, too."""

EXAMPLES: dict[str, tuple[Any, ...]] = {
    "data": (np.zeros((1, 1)), [0]),
    "update": (np.eye(4), 1),
    "disguise": (np.eye(4), np.ones((1, 4))),
    "schedule": (1,),
    "arrival": (1,),
    "identity": ((), 1),
    "samples": ((1.0,),),
}
"""The least that an attack of each kind can be called with, and what it needs besides."""
NEEDED: dict[str, dict[str, Any]] = {
    "label-flip": {"source": 0, "target": 0},
    "backdoor": {"target": 0, "trigger": Trigger(np.array([0]), np.array([1.0]))},
}

USUAL = ("reputation", "median", "trimmed-mean", "mean")


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("clients", "rounds", "epochs", "batch", "server_samples"), partial(whole, least=1)),
    "seed": whole,
    **dict.fromkeys(("alpha", "effort", "learning_rate"), positive),
    **dict.fromkeys(("attackers", "target_accuracy", "momentum"), part),
    "adaptive": yes_or_no,
}
"""Settings that are numbers, or yes or no."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One simulation. The same settings give the same numbers.

    Attributes
    ----------
    task : str
        What is learnt: "digits", "mnist:PATH", "topics:FOLDER", "csv:PATH", "images:PATH".
    model : str, optional
        What learns it, a name of ``robustagg.simulation.MODELS``; the task's own where not given.
    device : str
        Where a network of torch is trained: "auto" (a GPU if torch finds one), "cpu", "cuda". A GPU's numbers are the
        processor's within rounding.
    attack : str
        "none", or a name of :data:`robustagg.attacks.ATTACKS`.
    payload : str
        What the attackers of an attack that carries one (a disguise, a schedule, new ids, claimed samples) send when
        they attack.
    options : mapping of str to value
        Arguments of the attack's function and of the payload's. Classes (`source`, `target`) are given by number or
        name; `size` is the backdoor's: the side of a square in pixels, or how many words.
    adaptive : bool
        Whether the attackers know the rule and what it remembers: each round they scale what sets them apart from the
        honest mean so that a copy of the rule lets through most of it.
    clients, rounds, seed : int
        How many; of all draws.
    attackers : float
        Share of the clients, rounded to whole ones.
    rules : tuple of specifications
        As :func:`robustagg.rule` takes them: names, lines such as ``"nnm + trimmed-mean"`` or
        ``"reputation(positive_weight=0.2)"``, mappings, or ``module:Class`` for a rule of the user's own. An f that is
        not given is the number of attackers, or as much as the clients allow. Each is run from the start with the
        same data and draws.
    split : str
        How samples are dealt out: "dirichlet" (equally many, classes by `alpha`), "unbalanced" (by `alpha` too),
        "iid", "by-class".
    alpha : float
        Dirichlet concentration of the split by class: small is skewed, 100 nearly even.
    epochs : int
        Passes over its data that a client makes in a round.
    effort : float
        How many times as long as honest clients attackers train where they poison their data (rounded to whole epochs).
    learning_rate, momentum : float
        Of the clients' descent; the task's own rate where not given.
    batch : int, optional
        Samples of a step of the descent; the task's own where not given.
    server_samples : int
        How many training samples the server holds, where a rule asks for an update of its own (FLTrust).
    target_accuracy : float
        Accuracy, as a share, that rounds to target are counted to.

    Raises
    ------
    ValueError
        If something is out of range or unknown.
    """

    task: str = "digits"
    model: str | None = None
    device: str = "auto"
    attack: str = "backdoor"
    payload: str = "backdoor"
    options: Mapping[str, Any] = field(default_factory=dict)
    adaptive: bool = False
    clients: int = 10
    attackers: float = 0.3
    rounds: int = 30
    rules: tuple[Spec, ...] = USUAL
    split: str = "dirichlet"
    alpha: float = 1.0
    epochs: int = 2
    effort: float = 1.5
    learning_rate: float | None = None
    momentum: float = 0.0
    batch: int | None = None
    server_samples: int = 100
    seed: int = 0
    target_accuracy: float = 0.9

    def __post_init__(self) -> None:
        for name, options in (
            ("attack", CHOICES),
            ("payload", PAYLOADS),
            ("split", SPLITS),
            ("device", models.DEVICES),
        ):
            if getattr(self, name) not in options:
                raise errors.not_one_of(name, getattr(self, name), options)
        tasks.check(self.task)
        if self.model is not None:
            models.check(self.model)
        self._check_rules()
        self._check_numbers()
        if self.f >= self.clients:
            raise errors.nobody_honest(self.clients, self.f)
        for option in self.options:
            if option not in self.known_options:
                raise errors.unknown_option(self.attack, option, self.known_options)
        _check_aims(self.options)
        for attack in self.attacks:
            _try(attack, self.options)

    def _check_rules(self) -> None:
        if not self.rules:
            raise errors.out_of_range("rules", self.rules, "at least one rule")
        if len(set(self.named_rules)) < len(self.rules):
            raise errors.out_of_range("rules", self.rules, "each rule once")
        for spec in self.rules:
            rule_against(spec, 1000, 1)

    def _check_numbers(self) -> None:
        """What they are told becomes plain numbers."""
        for name, check in CHECKS.items():
            value = getattr(self, name)
            if not (value is None and name in ("batch", "learning_rate")):
                object.__setattr__(self, name, check(name, value))

    @property
    def named_rules(self) -> tuple[str, ...]:
        """The rules as they are called in results: each as one line."""
        return tuple(map(line, self.rules))

    @property
    def f(self) -> int:
        """How many clients attack."""
        return 0 if self.attack == "none" else round(self.attackers * self.clients)

    @property
    def kind(self) -> str:
        """Kind of the attack, "none" where there is none."""
        return ATTACKS[self.attack].kind if self.f else "none"

    @property
    def carries(self) -> bool:
        """Whether the attack is one that carries a payload."""
        return self.kind in CARRIERS

    @property
    def known_options(self) -> tuple[str, ...]:
        """Names that `options` may hold."""
        return tuple(dict.fromkeys(name for attack in self.attacks for name in options_of(attack)))

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attack and, where it carries one, its payload."""
        if self.attack == "none":
            return ()
        carries = ATTACKS[self.attack].kind in CARRIERS
        return (self.attack, self.payload) if carries else (self.attack,)


def options_of(attack: str) -> tuple[str, ...]:
    """What an attack may be told."""
    parameters = signature(ATTACKS[attack].function).parameters.values()
    own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in GIVEN]
    return (*own, "size") if attack == "backdoor" else tuple(own)


def _check_aims(options: Mapping[str, Any]) -> None:
    """Raise where a class is neither a number nor a name, or the size no number."""
    for name in AIMS.keys() & options.keys():
        if name == "size" or not isinstance(options[name], str):
            whole(name, options[name], AIMS[name])


def _try(attack: str, options: Mapping[str, Any]) -> None:
    """Call an attack on next to nothing, for it to say now what is wrong with its options."""
    own = {name: value for name, value in options.items() if name in options_of(attack) and name not in AIMS}
    if own:
        ATTACKS[attack].function(*EXAMPLES[ATTACKS[attack].kind], **NEEDED.get(attack, {}), **own)
