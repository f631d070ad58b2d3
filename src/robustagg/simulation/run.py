"""Federated training, attack included, with several rules side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from robustagg.protocol import Result
from robustagg.rules.table import entry_of
from robustagg.simulation.adversary import Adversary
from robustagg.simulation.data import Task, digits
from robustagg.simulation.results import RoundRecord, RuleRun, Simulation
from robustagg.simulation.settings import Settings
from robustagg.simulation.training import Network, Parameters

Progress = Callable[[str, RoundRecord], None]


def simulate(settings: Settings | None = None, progress: Progress | None = None) -> Simulation:
    """Train a small network on scikit-learn's digits, federated over clients of whom some attack, once per rule.

    Each rule starts from the same parameters; clients, data, poison and the order of the samples are the same for all.

    Parameters
    ----------
    settings : Settings, optional
        What to simulate.
    progress : callable, optional
        Called with the rule's name and the round's record after each round of each rule.

    Returns
    -------
    Simulation
        Accuracy, attack success, weights and reputations of every round.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> from robustagg.simulation import Settings, simulate
    >>> simulation = simulate(Settings(attack="sign-flip", rounds=2, rules=("median",)))
    >>> [record.round for record in simulation.runs[0].records]
    [1, 2]
    """
    settings = settings or Settings()
    task = digits(settings.clients, settings.alpha, settings.seed)
    adversary = Adversary(settings)
    runs = [_run(rule, settings, task, adversary, progress) for rule in settings.rules]
    return Simulation(settings, tuple(runs))


def _run(name: str, settings: Settings, task: Task, adversary: Adversary, progress: Progress | None) -> RuleRun:
    rule = entry_of(name).against(settings.clients, settings.f)
    network = Network(settings.seed)
    parameters = network.parameters
    first = settings.clients - settings.f  # attackers are the last ones
    clients = list(range(settings.clients))
    counts = [float(len(y)) for _, y in task.clients]
    records = []
    for number in range(1, settings.rounds + 1):
        updates = _updates(network, parameters, settings, task, adversary, number)
        result = None
        if np.isfinite(updates).all(axis=1).any():  # else all training has diverged, and the model stays
            result = rule.aggregate(
                updates,
                clients=[*clients[:first], *adversary.ids(clients[first:], number)],
                sample_counts=[*counts[:first], *adversary.counts(counts[first:])] if rule.weighs_samples else None,
                round=number,
            )
            with np.errstate(over="ignore"):
                parameters = parameters + result.update
        records.append(_record(number, network, parameters, task, adversary, result))
        if progress is not None:
            progress(name, records[-1])
    return RuleRun(name, tuple(records), rule.weighs_samples, settings.f, settings.target_accuracy)


def _updates(
    network: Network, parameters: Parameters, settings: Settings, task: Task, adversary: Adversary, number: int
) -> Parameters:
    """(n, d) what the clients send in a round."""
    attacking = adversary.attacks(number)
    poisons = attacking and adversary.payload_kind == "data"
    first = settings.clients - settings.f
    rows = []
    for client, samples in enumerate(task.clients):
        epochs = settings.epochs
        if client >= first and poisons:
            samples, epochs = adversary.poisoned(samples, client), round(settings.overtraining * epochs)
        rows.append(network.update(parameters, samples, max(epochs, 1), _seed(settings.seed, number, client)))
    crafted = adversary.rows(np.stack(rows[:first]), number)
    return np.stack(rows if crafted is None else [*rows[:first], *crafted])


def _record(
    number: int, network: Network, parameters: Parameters, task: Task, adversary: Adversary, result: Result | None
) -> RoundRecord:
    x, y = task.test
    predict = partial(network.predict, parameters)
    return RoundRecord(
        round=number,
        accuracy=float((predict(x) == y).mean()),
        success=adversary.success(predict, task.test),
        attacking=adversary.attacks(number),
        weights=None if result is None else tuple(result.weights.tolist()),
        reputation=None if result is None or result.reputation is None else tuple(result.reputation.tolist()),
    )


def _seed(*numbers: int) -> int:
    """One seed for scikit-learn out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
