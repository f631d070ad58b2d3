"""What a study says: each rule beside the best one of every cell."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from robustagg import errors
from robustagg.attacks import ATTACKS
from robustagg.rules.table import line
from robustagg.simulation.results import CLEAN
from robustagg.simulation.settings import CARRIERS
from robustagg.studies.store import Row, Store

NEAR_ACCURACY, NEAR_SUCCESS = 0.01, 0.02
"""How much less accurate and how much easier to attack than the best rule of a cell another may be, and near it."""


@dataclass(frozen=True)
class Figures:
    """One rule in one cell, over its seeds."""

    rule: str
    rows: tuple[Row, ...]

    @property
    def accuracy(self) -> float:
        """Mean over the seeds, of the last rounds of each."""
        return fmean(self._each("accuracy"))

    @property
    def success(self) -> float | None:
        """Of the attack, mean over the seeds; None without a target."""
        values = self._each("success")
        return fmean(values) if values else None

    @property
    def attacker_share(self) -> float | None:
        """Weight of all attackers together; None where the rule weighs nobody."""
        values = self._each("attacker_share")
        return fmean(values) if values else None

    @property
    def score(self) -> float:
        """Accuracy less attack success: what regret is measured in."""
        return self.accuracy - (self.success or 0.0)

    def _each(self, name: str) -> list[float]:
        return [row.result[name] for row in self.rows if row.result is not None and row.result[name] is not None]


@dataclass(frozen=True)
class Situation:
    """One cell with its results, of the seeds that all of its rules have."""

    key: str
    label: str
    settings: dict[str, Any]
    figures: dict[str, Figures]
    clean: Figures | None
    """The mean with nobody attacking: its success is the rate of the same error."""

    @property
    def f(self) -> int:
        """How many of the clients attack, the last ones."""
        attacked = self.settings["attack"] != "none"
        return round(self.settings["attackers"] * self.settings["clients"]) if attacked else 0

    @property
    def best(self) -> Figures:
        """The rule with the highest score."""
        return max(self.figures.values(), key=lambda figures: figures.score)

    def regret(self, rule: str) -> float:
        """By how much the best rule's score is higher."""
        return self.best.score - self.figures[rule].score

    def near(self, rule: str) -> bool:
        """Whether the rule is within 1 point of accuracy and 2 of attack success of the best one."""
        own, best = self.figures[rule], self.best
        return (
            own.accuracy >= best.accuracy - NEAR_ACCURACY
            and (own.success or 0.0) <= (best.success or 0.0) + NEAR_SUCCESS
        )


@dataclass(frozen=True)
class Regret:
    """One rule over all cells in which it was run."""

    rule: str
    worst: float
    mean: float
    near: float
    """Share of the cells in which the rule is near the best one."""
    cells: int
    where: str
    """The cell of the worst regret."""


def situations(store: Store) -> list[Situation]:
    """The cells of a study with what has come of them so far.

    A rule is in a cell where one of its trainings has succeeded. Rules are compared over the seeds that all those of
    the cell have; a cell without one is left out.
    """
    store.noted()
    told = store.rows()
    rows = [row for row in told if row.result is not None]
    clean = _grouped(row for row in rows if row.rule == CLEAN)
    cells = _grouped(row for row in rows if row.rule != CLEAN)
    names = varied([own[0].settings for own in cells.values()]) if cells else []
    found = []
    for key, own in cells.items():
        by_rule: dict[str, list[Row]] = defaultdict(list)
        for row in own:
            by_rule[row.rule].append(row)
        order = [*map(line, own[0].settings["rules"]), *by_rule]
        seeds = set.intersection(*({row.seed for row in rows} for rows in by_rule.values()))
        figures = {rule: _over(seeds, rule, by_rule[rule]) for rule in dict.fromkeys(order) if rule in by_rule}
        beside = _over(seeds, CLEAN, clean.get(own[0].clean or "", []))
        if seeds:
            label = named(own[0].settings, names)
            found.append(Situation(key, label, own[0].settings, figures, beside if beside.rows else None))
    if not found:
        raise errors.nothing_to_compare(store.folder, next((row.error for row in told if row.error), None))
    return sorted(found, key=lambda situation: _naturally(situation.label))


def regrets(found: Sequence[Situation]) -> list[Regret]:
    """Every rule's, the least worst one first; those that are not in all cells come after those that are."""
    rules = dict.fromkeys(rule for situation in found for rule in situation.figures)
    return sorted(
        (_regret(rule, found) for rule in rules),
        key=lambda regret: (regret.cells < len(found), regret.worst, regret.mean),
    )


def _regret(rule: str, found: Sequence[Situation]) -> Regret:
    own = [situation for situation in found if rule in situation.figures]
    worst = max(own, key=lambda situation: situation.regret(rule))
    each = [situation.regret(rule) for situation in own]
    near = fmean(situation.near(rule) for situation in own)
    return Regret(rule, worst.regret(rule), fmean(each), near, len(own), worst.label)


def _over(seeds: set[int], rule: str, rows: Iterable[Row]) -> Figures:
    return Figures(rule, tuple(row for row in rows if row.seed in seeds))


def _grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.cell].append(row)
    return groups


def varied(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The settings that are not the same in all cells, the attack first; options by their own names."""
    names = dict.fromkeys(["attack", "payload", *settings[0]])
    options = dict.fromkeys(f"options.{name}" for told in settings for name in told["options"])
    known = [name for name in (*names, *options) if name not in ("rules", "seed", "device", "options")]
    return [name for name in known if len({str(setting(told, name)) for told in settings}) > 1]


def named(settings: dict[str, Any], names: Sequence[str]) -> str:
    """A cell by some of its settings; those that change nothing are left out."""
    shown = []
    for name in names:
        value = setting(settings, name)
        if value is None or not _matters(name, settings):
            continue
        told = f"{value:g}" if isinstance(value, float) else str(value)
        shown.append(told if name in ("attack", "payload") else f"{name.removeprefix('options.')} {told}")
    return ", ".join(shown) or str(settings["attack"])


def _naturally(label: str) -> list[tuple[float, str]]:
    """Sorts numbers as numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return [(float(part), "") if k % 2 else (-1.0, part) for k, part in enumerate(parts)]


def _matters(name: str, settings: dict[str, Any]) -> bool:
    """Whether a setting changes anything: a payload where the attack carries one, effort where data are poisoned."""
    attack = settings["attack"]
    carries = attack != "none" and ATTACKS[attack].kind in CARRIERS
    if name == "effort":
        sent = settings["payload"] if carries else attack
        return sent != "none" and ATTACKS[sent].kind == "data"
    return carries or name != "payload"


def setting(settings: dict[str, Any], name: str) -> Any:
    """One setting, or ``options.NAME``; None where the attack has no such option."""
    first, _, option = name.partition(".")
    return settings["options"].get(option) if option else settings[first]
