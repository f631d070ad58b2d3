"""Federated training, attack included, with several rules side by side."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from robustagg.protocol import Result, Round, spans
from robustagg.rules.base import Rule
from robustagg.rules.harm import harms
from robustagg.rules.table import Spec, line, rule_against
from robustagg.simulation.adversaries import Adversary, Aim
from robustagg.simulation.models import Parameters, Training, model, one_blas_thread
from robustagg.simulation.results import CLEAN, RoundRecord, RuleRun, Simulation
from robustagg.simulation.settings import Settings
from robustagg.simulation.tasks import Samples, Task, load, split

LEAST_SCORE = -20.0  # lest a single sample decide
Progress = Callable[[str, RoundRecord], None]


def simulate(
    settings: Settings | None = None, progress: Progress | None = None, task: Task | None = None
) -> Simulation:
    """Train a model, federated over clients of whom some attack, once per rule.

    Each rule starts from the same parameters; clients, data, poison and the order of the samples are the same for all.
    Where the attack has a target, there is one run more, of the mean without any attack: how often the same error is
    made then.

    Parameters
    ----------
    settings : Settings, optional
        What to simulate.
    progress : callable, optional
        Called with the rule's name and the round's record after each round of each run.
    task : Task, optional
        In place of the one that the settings name: see :func:`robustagg.simulation.arrays`.

    Returns
    -------
    Simulation
        Accuracy, attack success, weights and reputations of every round.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    NoRound
        If there are too few clients for one of the rules; a ValueError, before anything is trained.

    Examples
    --------
    >>> from robustagg.simulation import Settings, simulate
    >>> simulation = simulate(Settings(attack="sign-flip", rounds=2, rules=("median",)))
    >>> [record.round for record in simulation.runs[0].records]
    [1, 2]
    """
    settings = settings or Settings()
    task = task or load(settings.task, settings.seed)
    federation = Federation(settings, task)
    for spec in settings.rules:
        federation.check(spec)
    with one_blas_thread():
        runs = [federation.run(spec, progress) for spec in settings.rules]
        clean = federation.clean(progress) if federation.aim.victims else None
    samples = tuple(len(y) for _, y in federation.clients)
    return Simulation(settings, tuple(runs), clean, task.title, task.classes, samples)


class Federation:
    """Clients with their samples, a model to train, and what attackers aim at."""

    def __init__(self, settings: Settings, task: Task) -> None:
        self.settings, self.task = settings, task
        recipe = task.recipe
        rate, batch = settings.learning_rate or recipe.learning_rate, settings.batch or recipe.batch
        training = Training(rate, batch, settings.momentum)
        self.model = model(settings.model or recipe.model, task, training, settings.device)
        self.aim = Aim(settings, task)
        x, y = task.train
        parts = split(y, settings.clients, settings.alpha, np.random.default_rng(settings.seed), settings.split)
        self.clients: list[Samples] = [(x[part], y[part]) for part in parts]
        held = np.random.default_rng([settings.seed, 1]).permutation(len(y))[: settings.server_samples]
        self.server: Samples = (x[held], y[held])

    def check(self, spec: Spec) -> None:
        """Whether a rule can do rounds of so many clients; raises if not. One that asks for more is not asked yet."""
        rule = rule_against(spec, self.settings.clients, self.settings.f)
        if not rule.extras:
            d = self.model.initial(self.settings.seed).size
            rule.check(Round(1, tuple(range(self.settings.clients)), d, spans=spans([("", (d,))])))

    def run(self, spec: Spec, progress: Progress | None = None) -> RuleRun:
        """One rule's training under the attack."""
        rule = rule_against(spec, self.settings.clients, self.settings.f)
        return self._run(line(spec), rule, Adversary(self.settings, self.aim), progress)

    def clean(self, progress: Progress | None = None) -> RuleRun:
        """The mean's training with nobody attacking; its success is that of the same error."""
        nobody = replace(self.settings, attack="none", options={}, adaptive=False)
        return self._run(CLEAN, rule_against("mean", 1, 0), Adversary(nobody, Aim(nobody, self.task)), progress)

    def _run(self, name: str, rule: Rule[Any], adversary: Adversary, progress: Progress | None) -> RuleRun:
        parameters = self.model.initial(self.settings.seed)
        records: list[RoundRecord] = []
        previous: Parameters | None = None
        for number in range(1, self.settings.rounds + 1):
            rows, served = self._trained(parameters, rule, adversary, number)
            aggregate = partial(self._aggregate, parameters, adversary=adversary, number=number, served=served)
            rows = adversary.sends(rows, number, previous, partial(_tried, rule, aggregate))
            result = aggregate(rule, rows)
            if result is not None:
                previous = np.asarray(result.update)
                with np.errstate(over="ignore", invalid="ignore"):
                    parameters = parameters + previous
            records.append(self._record(number, parameters, adversary, result))
            if progress is not None:
                progress(name, records[-1])
        return RuleRun(name, tuple(records), rule.weighs_samples, adversary.f, self.settings.target_accuracy)

    def _trained(
        self, parameters: Parameters, rule: Rule[Any], adversary: Adversary, number: int
    ) -> tuple[Parameters, dict[str, Any]]:
        """(n, d) what the clients' training changes in a round, and what else the rule asks for."""
        asked = "server_update" in rule.extras
        samples, efforts = list(self.clients), [1.0] * len(self.clients)
        for client in range(len(samples) - adversary.f, len(samples)):
            samples[client], efforts[client] = adversary.trains(client, samples[client], number)
        epochs = [max(1, round(effort * self.settings.epochs)) for effort in efforts]
        seeds = [[self.settings.seed, number, client] for client in range(len(samples) + asked)]
        rows = self.model.updates(
            parameters, samples + [self.server] * asked, epochs + [self.settings.epochs] * asked, seeds
        )
        known = {"server_update": rows[-1], "global_model": parameters}
        return rows[: len(samples)], {name: known[name] for name in rule.extras if name in known}

    def _aggregate(
        self,
        parameters: Parameters,
        rule: Rule[Any],
        rows: Parameters,
        adversary: Adversary,
        number: int,
        served: dict[str, Any],
    ) -> Result | None:
        """The round's result; None where all training, or the server's, has diverged, and the model stays."""
        if not np.isfinite(rows).all(axis=1).any() or not all(np.isfinite(known).all() for known in served.values()):
            return None
        if "harm" in rule.extras:
            served = {**served, "harm": harms(rows, partial(self._liked, parameters))}
        honest = len(rows) - adversary.f
        clients = list(range(len(rows)))
        counts = [float(len(y)) for _, y in self.clients]
        return rule.aggregate(
            rows,
            clients=[*clients[:honest], *adversary.ids(clients[honest:], number)],
            sample_counts=[*counts[:honest], *adversary.counts(counts[honest:])] if rule.weighs_samples else None,
            round=number,
            **served,
        )

    def _liked(self, parameters: Parameters, update: Parameters) -> float:
        """The mean over the classes of the mean log-probability of the server's samples, each -20 at least."""
        x, y = self.server
        scores = self.model.scores(parameters + update, x)[np.arange(len(y)), y].clip(LEAST_SCORE)
        return float(np.mean([scores[y == k].mean(dtype=np.float64) for k in np.unique(y)]))

    def _record(self, number: int, parameters: Parameters, adversary: Adversary, result: Result | None) -> RoundRecord:
        x, y = self.task.test
        scores = self.model.scores(parameters, x)
        right = scores.argmax(axis=1) == y
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(-scores[np.arange(len(y)), y].mean(dtype=np.float64))
        return RoundRecord(
            round=number,
            accuracy=float(right.mean()),
            success=self.aim.success(lambda x: self.model.scores(parameters, x).argmax(axis=1)),
            attacking=adversary.attacks(number),
            weights=None if result is None else tuple(result.weights.tolist()),
            reputation=None if result is None or result.reputation is None else tuple(result.reputation.tolist()),
            recall=tuple(
                float(right[y == k].mean()) if (y == k).any() else None for k in range(len(self.task.classes))
            ),
            loss=loss,
        )


def _tried(rule: Rule[Any], aggregate: Callable[..., Result | None], rows: Parameters) -> Parameters | None:
    """What a copy of the rule, with all that it remembers, would make of these rows; None where it refuses them."""
    try:
        result = aggregate(deepcopy(rule), rows)
    except ValueError:
        return None
    return None if result is None else np.asarray(result.update)
