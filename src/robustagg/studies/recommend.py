"""Which rule would be regretted least: the few cells that matter, run for the clients that somebody has."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.rules.table import Spec
from robustagg.simulation.results import percent
from robustagg.studies.grid import Progress, run_grid
from robustagg.studies.regret import Regret, Situation, regrets, situations
from robustagg.studies.store import Row, Store
from robustagg.studies.study import Study, study

CANDIDATES: tuple[Spec, ...] = (
    "suspicion",
    "reputation",
    "mean",
    "median",
    "trimmed-mean",
    "multi-krum",
    "geometric-median",
    "centered-clipping",
    "nnm + trimmed-mean",
)
ATTACKS: tuple[Mapping[str, Any], ...] = (
    {"attack": "none"},
    {"attack": "backdoor", "effort": 1.5},
    {"attack": "backdoor", "effort": 1.0},
    {"attack": "clipped", "payload": "backdoor"},
    {"attack": "label-flip"},
    {"attack": "sign-flip"},
    {"attack": "alie"},
    {"attack": "min-max"},
)
"""Crude and quiet, with a target and without: what the field tries first."""
CHOSEN = ("attack", "payload", "effort", "options", "rules", "seeds")
"""Settings that are not to be told: those of the attacks, and what are arguments of their own."""

ROUNDS = 15
SEEDS = 3
MINUTES = 2.0
NOTABLE = 0.02  # regret from which on a cell is told


@dataclass(frozen=True)
class Recommendation:
    """The rules beside each other, the one with the least worst regret first."""

    regrets: tuple[Regret, ...]
    situations: tuple[Situation, ...]
    seeds: int
    failed: tuple[Row, ...] = ()
    """The trainings that ended in an error."""

    @property
    def rule(self) -> str:
        """The one to be regretted least."""
        return self.regrets[0].rule

    def words(self) -> list[str]:
        """Sentences computed from the numbers."""
        first = self.regrets[0]
        told = [
            f"{first.rule}: in the worst of {first.cells} cells {first.worst * 100:.1f} points behind the best rule of "
            f"that cell, {first.mean * 100:.1f} on average (accuracy less attack success, {self._counted()})."
        ]
        held = [cell for cell in self.situations if first.rule in cell.figures]
        losses = sorted(held, key=lambda situation: -situation.regret(first.rule))
        told += [self._loss(first.rule, cell) for cell in losses if cell.regret(first.rule) > NOTABLE]
        if len(told) == 1:
            told.append(f"In no cell does it lose more than {NOTABLE * 100:.0f} points.")
        return [*told, "Other data, attackers and seeds give other numbers."]

    def _counted(self) -> str:
        return "one seed" if self.seeds == 1 else f"means of {self.seeds} seeds"

    def _loss(self, rule: str, cell: Situation) -> str:
        own, best = cell.figures[rule], cell.best
        attacked = own.success is not None
        success = f", attack success {percent(own.success)} ({best.rule} {percent(best.success)})" if attacked else ""
        return (
            f"It would lose {cell.regret(rule) * 100:.1f} points at {cell.label}: "
            f"accuracy {percent(own.accuracy)} ({best.rule} {percent(best.accuracy)}){success}."
        )


def recommend(
    *,
    rules: Sequence[Spec] = CANDIDATES,
    seeds: int = SEEDS,
    minutes: float = MINUTES,
    jobs: int = 1,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Recommendation:
    """Run the rules against the attacks that matter, and compare their regret.

    Parameters
    ----------
    rules : sequence of specifications
        As :func:`robustagg.rule` takes them.
    seeds : int
        With how many seeds at most.
    minutes : float
        Another seed is begun only if it is likely to end within this time; 0 is one seed.
    jobs : int
        Trainings at a time, see :func:`run_grid`.
    out : str or Path, optional
        A folder for all results, which has none yet.
    progress : callable, optional
        As of :func:`run_grid`, for each seed.
    **settings
        Of :class:`robustagg.simulation.Settings`: clients, attackers, alpha, task ... but not of the attacks, of which
        it tries its own.

    Returns
    -------
    Recommendation

    Raises
    ------
    ValueError
        If a setting is not known, out of range or one of the attacks'.
    FileExistsError
        If there are results in the folder already.

    Examples
    --------
    >>> from robustagg.studies import recommend
    >>> found = recommend(rules=["median", "mean"], seeds=1, clients=5, attackers=0.2, rounds=1)
    >>> sorted(regret.rule for regret in found.regrets)
    ['mean', 'median']
    """
    planned = planned_study(rules, seeds, minutes, settings)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(out or scratch)
        if Store(folder).path.exists():
            raise errors.results_exist(folder)
        store, run = _seed_by_seed(planned, folder, minutes, jobs, progress)
        found = situations(store)
        failed = tuple(row for row in store.rows() if row.error is not None)
    return Recommendation(tuple(regrets(found)), tuple(found), run, failed)


def planned_study(rules: Sequence[Spec], seeds: int, minutes: float, settings: Mapping[str, Any]) -> Study:
    """What :func:`recommend` runs; raises where it cannot."""
    if not minutes >= 0:
        raise errors.out_of_range("minutes", minutes, "at least 0")
    for name in settings:
        if name.partition(".")[0] in CHOSEN:
            raise errors.chosen_by_recommend(name)
    told = {"rounds": ROUNDS, "seeds": seeds, "rules": list(rules), **settings}
    return study(told, cells=ATTACKS, source="recommend")


def _seed_by_seed(
    planned: Study, folder: Path, minutes: float, jobs: int, progress: Progress | None
) -> tuple[Store, int]:
    """All results, and of how many seeds."""
    began = time.monotonic()
    seeds = planned.cells[0].seeds
    for count, seed in enumerate(seeds, 1):
        part = replace(planned, cells=tuple(replace(cell, seeds=(seed,)) for cell in planned.cells))
        store = run_grid(part, folder, jobs=jobs, resume=count > 1, progress=progress)
        spent = time.monotonic() - began
        if spent * (count + 1) / count > 60 * minutes:
            break
    return store, count
