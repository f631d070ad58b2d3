"""Methods, attacks and shares of malicious workers side by side, with and without defences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, TypeVar

import numpy as np

from robustagg import errors
from robustagg.truth import attacks
from robustagg.truth.claims import Claims
from robustagg.truth.defences import MIE, MWA
from robustagg.truth.estimators import METHODS, Estimator, Method
from robustagg.truth.metrics import estimation_error, gold_error
from robustagg.truth.reputation import Reputation
from robustagg.truth.results import Result

ATTACKS = ("random", "high", "maximum", "optimised", "adaptive")
DEFENDED = ("mwa", "mie")
NAMES = (*METHODS, "reputation", *(f"{method}+{defence}" for method in ("crh", "gtm") for defence in DEFENDED))
COMPARED = ("crh", "crh+mwa", "crh+mie", "gtm", "gtm+mwa", "gtm+mie", "reputation")
GROUPS = 5

E = TypeVar("E", bound=Estimator)


def estimator(name: str, /, malicious: int = 0, seed: int = 0, **parameters: Any) -> Estimator:
    """What a name stands for: a method, "reputation", or a method and its defence like "crh+mwa".

    Raises
    ------
    ValueError
        If it stands for nothing, or a parameter is none of its.
    """
    base, _, defence = name.partition("+")
    if base == "reputation" and not defence:
        return made(Reputation, name, parameters)
    if base not in METHODS or (defence and defence not in DEFENDED):
        raise errors.not_one_of("the method", name, NAMES)
    method = made(METHODS[base], name, parameters)
    if not defence:
        return method
    return MWA(method, GROUPS, seed) if defence == "mwa" else MIE(method, malicious)


def made(kind: type[E], name: str, parameters: Mapping[str, Any]) -> E:
    """The method, of its parameters; raises ValueError where one is none."""
    known = signature(kind).parameters
    for parameter in parameters:
        if parameter not in known:
            raise errors.no_parameter(name, parameter, known)
    return kind(**parameters)


@dataclass(frozen=True)
class Cell:
    """One method under one attack."""

    method: str
    attack: str
    share: float
    malicious: int
    error: float
    """How far the attack moved the estimates, on average of the seeds; see :func:`estimation_error`."""
    mae: float | None
    """How far they are from the gold then."""


@dataclass
class Comparison:
    """All cells, and what they were measured on.

    Attributes
    ----------
    cells : list of Cell
    items, workers, answers : int
        Of the honest workers.
    seeds : tuple of int
    """

    items: int
    workers: int
    answers: int
    seeds: tuple[int, ...]
    cells: list[Cell] = field(default_factory=list)

    def names(self, what: str) -> list[Any]:
        """The distinct values of a field of the cells, in their order."""
        return list(dict.fromkeys(getattr(cell, what) for cell in self.cells))

    def of(self, **wanted: Any) -> list[Cell]:
        """The cells with these values."""
        return [cell for cell in self.cells if all(getattr(cell, name) == value for name, value in wanted.items())]

    def table(self, quantity: str = "error") -> tuple[list[str], list[list[Any]]]:
        """Header and lines: attack and method, then the quantity for every share."""
        shares = self.names("share")
        lines = []
        for attack in self.names("attack"):
            for method in self.names("method"):
                cells = self.of(attack=attack, method=method)
                lines.append([attack, method, *(getattr(cell, quantity) for cell in cells)])
        return ["attack", "method", *(f"{share:.0%}" for share in shares)], lines

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for :func:`json.dumps`."""
        return {
            "items": self.items, "workers": self.workers, "answers": self.answers, "seeds": list(self.seeds),
            "cells": [vars(cell) for cell in self.cells],
        }  # fmt: skip


def compare(
    claims: Any,
    *,
    shares: Sequence[float],
    low: float,
    high: float,
    methods: Sequence[str] = COMPARED,
    attack_names: Sequence[str] = ATTACKS,
    gold: Mapping[Any, float] | None = None,
    seeds: Sequence[int] = (0,),
    steps: int = 40,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Every method under every attack by every share of malicious workers.

    Parameters
    ----------
    claims : Claims, or what :meth:`Claims.of` takes
    shares : sequence of float
        Malicious workers over all workers, at least 0 and below 1; each answers as many items as an honest one.
    low, high : float
        The range of answers that are allowed.
    methods : sequence of str
        See :func:`estimator`. MIE is told how many workers are malicious.
    attack_names : sequence of str
        "high" is the maximum attack that always takes `high`, "maximum" takes the farther end of the range;
        "optimised" is against the method without its defence, for "reputation" against CRH; "adaptive" is against the
        method with its defence.
    gold : mapping, optional
        True values by item.
    seeds : sequence of int
        Of the attacks; cells are means over them.
    steps : int
        Of the attacks that search.
    progress : callable, optional
        Called with a word before each cell.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If a name or a share is none, or there is no seed.
    """
    claims = Claims.of(claims)
    for name in attack_names:
        if name not in ATTACKS:
            raise errors.not_one_of("the attack", name, ATTACKS)
    for share in shares:
        if not 0 <= share < 1:
            raise errors.out_of_range("the share of malicious workers", share, "at least 0 and below 1")
    for name in methods:
        estimator(name)
    if not seeds:
        raise errors.out_of_range("seeds", seeds, "one at least")
    done = Comparison(claims.items.size, claims.workers.size, claims.size, tuple(seeds))
    for attack in attack_names:
        for name in methods:
            for share in shares:
                if progress:
                    progress(f"{attack}, {name}, {share:.0%}")
                malicious = round(claims.workers.size * share / (1 - share))
                found = [_cell(claims, name, attack, malicious, (low, high), gold, seed, steps) for seed in seeds]
                error, mae = (np.mean([cell[k] for cell in found], dtype=float) for k in (0, 1))
                done.cells.append(
                    Cell(name, attack, float(share), malicious, float(error), float(mae) if gold else None)
                )
    return done


def _cell(
    claims: Claims, name: str, attack: str, malicious: int, span: tuple[float, float], gold: Any, seed: int, steps: int
) -> tuple[float, float]:
    clean = name.removesuffix("+mie")  # nobody is malicious yet
    before = estimator(clean, seed=seed).fit(claims)
    after = _attacked(claims, name, attack, malicious, span, seed, steps) if malicious else before
    return estimation_error(before, after), gold_error(after, gold)["mae"] if gold else 0.0


def _attacked(
    claims: Claims, name: str, attack: str, malicious: int, span: tuple[float, float], seed: int, steps: int
) -> Result:
    base = name.split("+")[0]
    undefended = estimator("crh" if base == "reputation" else base)
    victim = Fresh(name, malicious, seed)
    common: dict[str, Any] = {"workers": malicious, "low": span[0], "high": span[1], "seed": seed}
    if attack == "random":
        poisoned = attacks.random(claims, **common)
    elif attack in ("high", "maximum"):
        extreme = "max" if attack == "high" else "far"
        poisoned = attacks.maximum(claims, undefended, extreme=extreme, **common)
    else:
        known = undefended if attack == "optimised" else victim.victim()
        poisoned = attacks.optimised(claims, known, steps=steps, **common)
    return victim.fit(poisoned)


class Fresh(Estimator):
    """An estimator made anew for every fit: what it remembers of one attempt does not judge the next."""

    def __init__(self, name: str, /, malicious: int, seed: int, **parameters: Any) -> None:
        self.name, self.malicious, self.options = name, malicious, {"seed": seed, **parameters}
        self.made(malicious)

    def victim(self) -> Estimator:
        """What an attack may look into: the method itself if it remembers nothing and is not defended."""
        made = self.made(self.malicious)
        return made if isinstance(made, Method) else self

    def fit(self, claims: Any, **columns: Any) -> Result:
        claims = Claims.of(claims, **columns)
        return self.made(min(self.malicious, claims.workers.size - 1)).fit(claims)

    def made(self, malicious: int) -> Estimator:
        return estimator(self.name, malicious, **self.options)
