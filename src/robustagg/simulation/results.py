"""What came of a simulation: numbers per round and rule, a table, and words that say no more than the numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from robustagg.simulation.settings import Settings

LAST = 5  # rounds that a final figure is the mean of
MARGIN = 0.02  # differences below it are called none: the standard error of a share of 450 test images
CLEAN = "mean, nobody attacks"


@dataclass(frozen=True)
class RoundRecord:
    """One round of one rule. Shares are in [0, 1]; tuples run over the clients, in the order of their ids."""

    round: int
    accuracy: float
    """Of the aggregated model, on clean test samples."""
    success: float | None
    """Share of the targeted test samples taken for the target; None where the attack has no target."""
    attacking: bool
    """Whether the attackers attacked in this round."""
    weights: tuple[float, ...] | None
    """None where every client's training diverged and there was nothing to aggregate."""
    reputation: tuple[float, ...] | None
    """None for rules that keep none."""
    recall: tuple[float | None, ...] = ()
    """Accuracy on each class; None where no test sample has it."""
    loss: float | None = None
    """Mean negative log-likelihood of the test samples."""


@dataclass(frozen=True)
class RuleRun:
    """One rule's training."""

    rule: str
    records: tuple[RoundRecord, ...]
    weighs: bool
    """Whether the rule weighs clients; the weights of the others are an equal say."""
    f: int
    target_accuracy: float

    @property
    def accuracy(self) -> float:
        """Mean of the last five rounds."""
        return fmean(record.accuracy for record in self.records[-LAST:])

    @property
    def success(self) -> float | None:
        """Mean of the last five rounds with an attack (of all, where there was none); None without a target."""
        attacked = [record for record in self.records if record.attacking] or self.records
        values = [record.success for record in attacked[-LAST:] if record.success is not None]
        return fmean(values) if values else None

    @property
    def recall(self) -> tuple[float | None, ...]:
        """Accuracy on each class, mean of the last five rounds."""
        by_class = zip(*(record.recall for record in self.records[-LAST:]), strict=True)
        return tuple(None if None in values else fmean(values) for values in by_class)

    @property
    def rounds_to_target(self) -> int | None:
        """The first round with the target accuracy; None where there is none."""
        return next((record.round for record in self.records if record.accuracy >= self.target_accuracy), None)

    @property
    def attacker_share(self) -> float | None:
        """Weight of all attackers together, mean over the rounds with an attack; None where the rule weighs nobody."""
        shares = [sum(r.weights[-self.f :]) for r in self.records if r.weights is not None and r.attacking]
        return fmean(shares) if self.weighs and self.f and shares else None

    @property
    def honest_unheard(self) -> float | None:
        """Share of the rounds in which an honest client had no weight; None where the rule weighs nobody."""
        rounds = [r.weights[: len(r.weights) - self.f] for r in self.records if r.weights is not None]
        return fmean(min(weights) == 0 for weights in rounds) if self.weighs and rounds else None

    def to_dict(self) -> dict[str, Any]:
        """Ready for :func:`json.dumps`."""
        final = ("accuracy", "success", "recall", "rounds_to_target", "attacker_share", "honest_unheard")
        return {
            "rule": self.rule,
            **{name: getattr(self, name) for name in final},
            "rounds": [asdict(record) for record in self.records],
        }


@dataclass(frozen=True)
class Simulation:
    """All rules' trainings under one attack."""

    settings: Settings
    runs: tuple[RuleRun, ...]
    clean: RuleRun | None = None
    """The mean's run without any attack, where the attack has a target: its success is the rate of the same error."""
    title: str = ""
    """What is learnt, in words."""
    classes: tuple[str, ...] = ()
    samples: tuple[int, ...] = ()
    """How many each client holds."""

    @property
    def clients(self) -> tuple[int, ...]:
        """Ids of the clients (an attacker that whitewashes comes under others as well)."""
        return tuple(range(self.settings.clients))

    @property
    def attackers(self) -> tuple[bool, ...]:
        """Which clients attack: the last ones."""
        return tuple(client >= self.settings.clients - self.settings.f for client in self.clients)

    def to_dict(self) -> dict[str, Any]:
        """Ready for :func:`json.dumps`."""
        return {
            "settings": asdict(self.settings),
            "task": self.title,
            "classes": list(self.classes),
            "samples": list(self.samples),
            "clients": list(self.clients),
            "attackers": list(self.attackers),
            "rules": [run.to_dict() for run in self.runs],
            "clean": None if self.clean is None else self.clean.to_dict(),
            "words": self.words(),
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows, as text."""
        target = f"rounds to {self.settings.target_accuracy:.0%} accuracy"
        header = ["rule", "accuracy", "attack success", target, "attackers' weight"]
        rows = []
        for run in (*self.runs, *([self.clean] if self.clean else [])):
            reached = "not reached" if run.rounds_to_target is None else str(run.rounds_to_target)
            rows.append([run.rule, percent(run.accuracy), percent(run.success), reached, percent(run.attacker_share)])
        return header, rows

    def words(self) -> list[str]:
        """Sentences computed from the numbers, about the first rule beside the others."""
        first, others = self.runs[0], self.runs[1:]
        told = [self._setting()]
        if first.success is not None:
            told += _compared("attack success", first, others, lambda run: run.success or 0.0)
        if self.clean is not None:
            told.append(f"With nobody attacking, the mean makes the same error in {percent(self.clean.success)}.")
        told += _compared("accuracy", first, others, lambda run: run.accuracy)
        if first.attacker_share is not None:
            fair = self.settings.f / self.settings.clients
            less = first.attacker_share < fair
            told.append(
                f"{first.rule} gave the attackers {percent(first.attacker_share)} of the weight, "
                f"{'less' if less else 'not less'} than their share of the clients, {percent(fair)}."
            )
        if first.honest_unheard:
            told.append(
                f"{first.rule} gave an honest client no weight in {percent(first.honest_unheard)} of the rounds."
            )
        return [*told, "This is one seed: other seeds, data and attackers give other numbers."]

    def _setting(self) -> str:
        settings = self.settings
        attack = (
            f"{settings.f} of {settings.clients} clients attack ({self.named})" if settings.f else "No client attacks"
        )
        told = f"{attack}; {settings.rounds} rounds. {self._means()}"
        if not self.samples:
            return told
        fewest, most = min(self.samples), max(self.samples)
        return (
            f"{told} Clients hold {fewest} samples each."
            if fewest == most
            else f"{told} Clients hold {fewest} to {most} samples."
        )

    def _means(self) -> str:
        """Of which rounds the figures are means."""
        attacked = sum(record.attacking for record in self.runs[0].records)
        last = f"Accuracy is the mean of the last {min(LAST, self.settings.rounds)} rounds"
        if not attacked:
            return f"{last}."
        return (
            f"{last}, attack success that of the last {min(LAST, attacked)} with an attack, "
            f"the attackers' weight that of all {attacked} with one."
        )

    @property
    def named(self) -> str:
        """The attack, with its payload where it has one."""
        settings = self.settings
        return f"{settings.attack} with {settings.payload}" if settings.carries else settings.attack


def percent(share: float | None) -> str:
    """A share for readers."""
    return "-" if share is None else f"{share:.1%}"


def _compared(what: str, first: RuleRun, others: tuple[RuleRun, ...], value: Callable[[RuleRun], float]) -> list[str]:
    """How one rule's figure stands beside the others'."""
    ours = value(first)
    groups: dict[str, list[str]] = {"lower than": [], f"within {MARGIN * 100:.0f} points of": [], "higher than": []}
    for run in others:
        difference = ours - value(run)
        side = 1 if abs(difference) <= MARGIN else 0 if difference < 0 else 2
        list(groups.values())[side].append(f"{run.rule} ({percent(value(run))})")
    told = "; ".join(f"{relation} {', '.join(names)}" for relation, names in groups.items() if names)
    return [f"{first.rule}: {what} {percent(ours)}{', ' if told else ''}{told}."]
