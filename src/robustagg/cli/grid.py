"""``robustagg grid``: a study, its regrets and pictures; ``robustagg recommend``: the rule regretted least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from robustagg import kernels, simulation, studies
from robustagg.cli import arguments, screen
from robustagg.rules.table import Spec
from robustagg.simulation.results import CLEAN
from robustagg.studies.grid import strays
from robustagg.studies.recommend import CANDIDATES, planned_study

_DEFAULT = simulation.Settings()
_PROCESSORS = kernels.num_threads()


class RunFirst(TyperGroup):
    """``grid STUDY`` is ``grid run STUDY``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunFirst,
    no_args_is_help=True,
    help="A study: many simulations from one file, rules side by side.",
)

StudyFile: TypeAlias = Annotated[Path, typer.Argument(help="A TOML file, see docs/studies.md.", show_default=False)]
ScenarioFile: TypeAlias = Annotated[Path, typer.Argument(help="A TOML file, see docs/studies.md.", show_default=False)]
Picture: TypeAlias = Annotated[Path, typer.Option("--out", "-o", **arguments.DRAWN)]
Folder: TypeAlias = Annotated[Path, typer.Argument(help="The folder of a study's results.", show_default=False)]
Out: TypeAlias = Annotated[Path, typer.Option("--out", "-o", help="The folder of the results.", show_default=False)]
Jobs: TypeAlias = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Trainings at a time, each in a process.")]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", help="Go on with results that are there already.")]
Changes: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="In place of a default of the file; repeatable.")
]
Curves: TypeAlias = Annotated[int, typer.Option("--curves", min=0, help="Of how many cells curves are drawn.")]
Pictures: TypeAlias = Annotated[
    Path | None, typer.Option("--out", "-o", help="The folder of the pictures; the study's own by default.")
]
Over: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--over", help="One picture more, over this number: rounds, or a setting or an option that is varied."
    ),
]
Of: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--of", help="What it is of: accuracy, success, attackers-weight; repeatable. [default: the first two]"
    ),
]
Task: TypeAlias = Annotated[str, typer.Option("--task", "-t", help=f"What is learnt: {', '.join(simulation.TASKS)}.")]
Clients: TypeAlias = Annotated[int, typer.Option("--clients", "-n", help="How many clients.")]
Attackers: TypeAlias = Annotated[float, typer.Option("--attackers", help="Share of the clients that attack.")]
Alpha: TypeAlias = Annotated[
    float, typer.Option("--alpha", help="How alike the clients' data are: 0.1 very skewed, 100 nearly even.")
]
Rounds: TypeAlias = Annotated[int, typer.Option("--rounds", help="Rounds of training.")]
Rules: TypeAlias = Annotated[
    list[str] | None, typer.Option("--rule", "-r", help=f"Repeatable; by default {', '.join(map(str, CANDIDATES))}.")
]
Seeds: TypeAlias = Annotated[int, typer.Option("--seeds", min=1, help="With how many seeds at most.")]
Minutes: TypeAlias = Annotated[
    float, typer.Option("--minutes", min=0, help="No other seed is begun that would end later.")
]
Kept: TypeAlias = Annotated[Path | None, typer.Option("--out", "-o", help="A folder for all results.")]


@app.command()
def run(
    study: StudyFile,
    out: Out,
    jobs: Jobs = _PROCESSORS,
    resume: Resume = False,
    change: Changes = None,
    as_json: screen.Json = False,
) -> None:
    """Run a study: every rule of every cell with every seed."""
    with arguments.usage():
        planned = studies.load_study(study, arguments.assigned(change or ()))
    arguments.needed("sklearn", "scikit-learn")
    with _told("Training") as progress:
        store = studies.run_grid(planned, out, jobs=jobs, resume=resume, progress=progress)
    if others := len(strays(store, planned)):
        screen.warn(f"{others} results in {out} are of cells, rules or seeds that {study} does not have now")
    _regrets(store, as_json, pictures=[])


@app.command()
def show(
    folder: Folder,
    out: Pictures = None,
    curves: Curves = 12,
    over: Over = None,
    of: Of = None,
    as_json: screen.Json = False,
) -> None:
    """Each rule's regret against the best rule of every cell, heat maps and curves."""
    arguments.needed("matplotlib", "matplotlib")
    store = studies.Store(folder)
    studies.situations(store)
    paths = []
    if over is not None:
        paths.append(studies.over(store, over, of or ("accuracy", "success"), (out or folder) / f"over-{over}.png"))
    paths += studies.show(store, out, curves)
    _regrets(store, as_json, list(map(str, paths)))


@app.command()
def scenario(file: ScenarioFile, out: Picture = Path("reputations.png"), as_json: screen.Json = False) -> None:
    """Reputations without training: what the ledger makes of clients that attack in the rounds that a file names."""
    with arguments.usage():
        found = studies.load_scenarios(file)
    arguments.needed("matplotlib", "matplotlib")
    studies.draw_scenarios(found, out)
    if as_json:
        screen.say_json({"panels": list(map(_panel, found)), "picture": str(out)})
        return
    screen.table(("panel", "client", "highest", "lowest", "last"), (row for panel in found for row in _course(panel)))
    screen.say("", f"Picture: {out}")


def recommend(
    clients: Clients = _DEFAULT.clients,
    attackers: Attackers = _DEFAULT.attackers,
    alpha: Alpha = _DEFAULT.alpha,
    task: Task = _DEFAULT.task,
    rule: Rules = None,
    rounds: Rounds = 15,
    seeds: Seeds = 3,
    minutes: Minutes = 2.0,
    jobs: Jobs = _PROCESSORS,
    change: Changes = None,
    out: Kept = None,
    as_json: screen.Json = False,
) -> None:
    """Name the rule that would be regretted least for clients like yours, and say where it would lose."""
    arguments.needed("sklearn", "scikit-learn")
    rules: Sequence[Spec] = rule or CANDIDATES
    with arguments.usage():
        own: dict[str, Any] = {
            "clients": clients,
            "attackers": attackers,
            "alpha": alpha,
            "task": task,
            "rounds": rounds,
        }
        own |= arguments.assigned(change or ())
        planned_study(rules, seeds, minutes, own)
    with _told("Trying rules") as progress:
        found = studies.recommend(
            rules=rules, seeds=seeds, minutes=minutes, jobs=jobs, out=out, progress=progress, **own
        )
    if as_json:
        told = _compared(found.regrets, found.situations, found.failed)
        screen.say_json({"rule": found.rule, "words": found.words(), **told})
        return
    screen.table(HEADER, map(_line, found.regrets))
    screen.say("", *found.words())
    _warn_of(found.failed)


HEADER = ("rule", "worst regret", "mean regret", "cells near the best", "worst at")


def _panel(scenario: studies.Scenario) -> dict[str, Any]:
    """A scenario, ready for JSON."""
    lines = scenario.reputations().T.tolist()
    clients = [{**vars(client), "reputation": line} for client, line in zip(scenario.clients, lines, strict=True)]
    return {"title": scenario.title, "clients": clients}


def _course(scenario: studies.Scenario) -> Iterator[tuple[str, ...]]:
    for client, line in zip(scenario.clients, scenario.reputations().T, strict=True):
        yield scenario.title, client.name, f"{line.max():.3f}", f"{line.min():.3f}", f"{line[-1]:.3f}"


def _regrets(store: studies.Store, as_json: bool, pictures: list[str]) -> None:
    cells = studies.situations(store)
    found = studies.regrets(cells)
    rows = store.rows()
    failed = [row for row in rows if row.error is not None]
    if as_json:
        screen.say_json({**_compared(found, cells, failed), "pictures": pictures})
        return
    screen.table(HEADER, map(_line, found))
    screen.say("", "Regret: how many points of accuracy less attack success the best rule of a cell is ahead.")
    _warn_of(failed)
    if alone := len(rows) - len(failed) - _count(cells, rows):
        screen.warn(f"{alone} results are not compared: other rules of their cells have none with the same seed")
    if len({tuple(sorted(row.versions.items())) for row in rows}) > 1:
        screen.warn("the results come from different versions of Python or packages")
    for task in dict.fromkeys(row.settings["task"] for row in rows):
        if len({row.data for row in rows if row.settings["task"] == task and row.data}) > 1:
            screen.warn(f"the results come from different data: the files of {task} have changed in between")
    screen.say(*(f"Picture: {path}" for path in pictures))


def _count(cells: Iterable[studies.Situation], rows: Iterable[studies.Row]) -> int:
    """How many results are compared, or stand beside."""
    beside = sum(row.rule == CLEAN and row.error is None for row in rows)
    return beside + sum(len(figures.rows) for cell in cells for figures in cell.figures.values())


def _warn_of(failed: Iterable[studies.Row]) -> None:
    for (rule, seed, error), cells in Counter((row.rule, row.seed, row.error) for row in failed).items():
        screen.warn(f"{rule}, seed {seed} failed{f' in {cells} cells' if cells > 1 else ''}: {error}")


def _compared(
    regrets: Iterable[studies.Regret], cells: Iterable[studies.Situation], failed: Iterable[studies.Row]
) -> dict[str, Any]:
    """Ready for JSON."""
    errors = [{"cell": row.cell, "rule": row.rule, "seed": row.seed, "error": row.error} for row in failed]
    return {"regrets": list(map(vars, regrets)), "cells": list(map(_cell, cells)), "failed": errors}


def _line(regret: studies.Regret) -> tuple[str, ...]:
    worst, mean = f"{regret.worst * 100:.1f}", f"{regret.mean * 100:.1f}"
    return regret.rule, worst, mean, f"{regret.near:.0%} of {regret.cells}", regret.where


def _cell(cell: studies.Situation) -> dict[str, Any]:
    """A cell, ready for JSON."""
    names = ("accuracy", "success", "attacker_share", "score")
    rules = {rule: {name: getattr(own, name) for name in names} for rule, own in cell.figures.items()}
    clean = None if cell.clean is None else {"accuracy": cell.clean.accuracy, "success": cell.clean.success}
    return {"label": cell.label, "settings": cell.settings, "best": cell.best.rule, "clean": clean, "rules": rules}


@contextmanager
def _told(what: str) -> Iterator[Callable[[int, int, str], None]]:
    with screen.progress() as bars:
        bar = bars.add_task(what, total=None, note="")

        def progress(done: int, total: int, last: str) -> None:
            bars.update(bar, completed=done, total=total, note=f"{done} of {total} {last}")

        yield progress
