"""Reputations without training: what the ledger makes of clients that attack in the rounds that a file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.ledger import Ledger
from robustagg.protocol import Floats
from robustagg.rules.checks import whole
from robustagg.rules.reputation import Reputation
from robustagg.simulation.pictures import INK, dress, styles
from robustagg.studies.pictures import blank
from robustagg.studies.study import read_toml

SECTIONS = {"title": "a text", "panels": "a list of tables", "reputation": "a table"}


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client of a scenario: in a round in which it attacks all of its parameters are rejected, else none.

    It attacks in the rounds `at`, in all from round `since` on, and in every k-th where `every` is k. All of these, and
    the parameters, are integers of at least 1, or a ValueError.
    """

    name: str
    parameters: int
    at: Sequence[int] = ()
    since: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise errors.out_of_range("name", self.name, "a text")
        if not isinstance(self.at, list | tuple | range):
            raise errors.out_of_range("at", self.at, "a list of rounds")
        numbers = [("parameters", self.parameters), *(("at", round) for round in self.at)]
        numbers += [(name, value) for name in ("since", "every") if (value := getattr(self, name)) is not None]
        for name, value in numbers:
            whole(name, value, 1)

    def attacks(self, round: int) -> bool:
        """Whether it attacks in a round, counted from 1."""
        goes_on = self.since is not None and round >= self.since
        returns = self.every is not None and round % self.every == 0
        return goes_on or returns or round in self.at


@dataclass(frozen=True)
class Scenario:
    """Clients side by side, none of whom knows of the others.

    A ValueError if there is no round or no client, or two are of one name.

    Examples
    --------
    >>> import robustagg as ra
    >>> from robustagg.studies.scenarios import Client, Scenario
    >>> clients = (Client(name="honest", parameters=20), Client(name="from 2 on", parameters=20, since=2))
    >>> Scenario("two rounds", 2, clients, ra.Reputation()).reputations().round(4).tolist()
    [[0.875, 0.875], [0.875, 0.3693]]
    """

    title: str
    rounds: int
    clients: tuple[Client, ...]
    rule: Reputation

    def __post_init__(self) -> None:
        whole("rounds", self.rounds, 1)
        names = [client.name for client in self.clients]
        if not names or len(set(names)) < len(names):
            raise errors.out_of_range("clients", names, "one at least, each of another name")

    def reputations(self) -> Floats:
        """(rounds, clients) float64, from the counts of accepted and rejected parameters and the ledger alone."""
        rule = self.rule
        ledger = Ledger(rule.decay, rule.window, rule.newcomer)
        parameters = np.array([client.parameters for client in self.clients], np.int64)
        scores = np.empty((self.rounds, len(parameters)))
        for round in range(1, self.rounds + 1):
            rejected = np.where([client.attacks(round) for client in self.clients], parameters, 0)
            observed = kernels.active().beta_reputation(
                parameters - rejected, rejected, rule.positive_weight, rule.prior, rule.prior_weight
            )
            scores[round - 1] = ledger.score(range(len(parameters)), observed, round)
            ledger.commit(range(len(parameters)), observed, round)
        return scores


def load_scenarios(path: str | Path) -> tuple[Scenario, ...]:
    """Read a file of scenarios.

    Parameters
    ----------
    path : str or Path
        TOML: ``[[panels]]``, each with `title`, `rounds` and a list of `clients` (`name`, `parameters`, and when they
        attack: the rounds `at`, all `since` one, `every` k-th); ``[reputation]``, arguments of
        :class:`robustagg.Reputation`.

    Raises
    ------
    ValueError
        If it is no TOML or says something else; the error names the panel.
    """
    path = Path(path)
    _, told = read_toml(path, SECTIONS)
    if not told.get("panels"):
        raise errors.bad_study(path, "[[panels]]: one at least")
    return tuple(_scenario(path, number, panel, told) for number, panel in enumerate(told["panels"], 1))


def _scenario(path: Path, number: int, panel: Mapping[str, Any], told: Mapping[str, Any]) -> Scenario:
    try:
        clients = _clients(panel["clients"])
        rule = Reputation.as_published(**told.get("reputation", {}))
        return Scenario(str(panel["title"]), panel["rounds"], clients, rule)
    except KeyError as fault:
        raise errors.bad_study(path, f"panel {number}: {fault} is missing") from fault
    except (TypeError, ValueError) as fault:
        raise errors.bad_study(path, f"panel {number}: {fault}") from fault


def _clients(told: Any) -> tuple[Client, ...]:
    if not isinstance(told, list):
        raise errors.out_of_range("clients", told, "a list of tables")
    known = [field.name for field in fields(Client)]
    for client in told:
        if not isinstance(client, Mapping) or not {"name", "parameters"} <= set(client) <= set(known):
            raise errors.out_of_range("a client", client, f"a table of {', '.join(known)}, the first two at least")
    return tuple(Client(**client) for client in told)


def draw_scenarios(scenarios: Sequence[Scenario], out: str | Path) -> Path:
    """Draw scenarios side by side, a line per client.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    figure = blank((0.4 + 4.2 * len(scenarios), 4.2), dpi=100)
    for axes, scenario in zip(figure.subplots(1, len(scenarios), squeeze=False)[0], scenarios, strict=True):
        scores = scenario.reputations()
        names = [client.name for client in scenario.clients]
        for name, look, line in zip(names, styles(names).values(), scores.T, strict=True):
            axes.plot(range(1, scenario.rounds + 1), line, label=name, **look)
        dress(axes, scenario.title, "reputation", scenario.rounds)
        axes.set_ylim(-0.02, 1.02)
        below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.17), "ncols": 2}
        axes.legend(**below, frameon=False, fontsize=8, labelcolor=INK)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
