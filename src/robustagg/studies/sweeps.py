"""One picture of a study over one number: the rounds, a setting, an option of the attack, an argument of a rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.rules.table import Spec, described, line
from robustagg.rules.written import written
from robustagg.simulation.pictures import INK, quiet, styles
from robustagg.simulation.results import CLEAN
from robustagg.studies.pictures import blank
from robustagg.studies.regret import Figures, Situation, named, setting, situations, varied
from robustagg.studies.store import Row, Store

ROUNDS = "rounds"
LEAST = 4.0  # points that an axis spans: smaller differences are chance, and must not look large
NOBODY = {"color": "#999999", "linestyle": (0, (1, 1)), "linewidth": 1.4}  # the run without attackers


class Quantity(NamedTuple):
    """What is drawn, in percent."""

    title: str
    final: str
    """Its name in the result of a training."""
    of_round: Callable[[Mapping[str, Any], int], float | None]
    """Its value in the record of a round, given how many clients attack."""
    whole: bool = True
    """Whether the axis goes from 0 to 100; else from the least to the greatest that there is."""


def _weight(record: Mapping[str, Any], f: int) -> float | None:
    return sum(record["weights"][-f:]) if f and record["weights"] is not None else None


QUANTITIES = {
    "accuracy": Quantity("accuracy", "accuracy", lambda record, _: record["accuracy"], whole=False),
    "success": Quantity("attack success", "success", lambda record, _: record["success"]),
    "attackers-weight": Quantity("attackers' weight", "attacker_share", _weight),
}

Panels: TypeAlias = dict[str, dict[str, "Line"]]
"""By column and rule."""


class Line(NamedTuple):
    """One rule in one panel."""

    x: NDArray[np.float64]
    values: NDArray[np.float64]
    """(seeds, x); NaN where a seed has none."""


def over(
    store: Store,
    name: str = ROUNDS,
    quantities: Sequence[str] = ("accuracy", "success"),
    out: str | Path | None = None,
) -> Path:
    """Draw the rules over one number, a column of panels for each situation that the study has beside.

    Parameters
    ----------
    store : Store
        A study's results.
    name : str
        "rounds", or what the study varies: a setting ("attackers"), an option of the attack ("size"), an argument of a
        rule ("positive_weight").
    quantities : sequence of str
        A row of panels for each: "accuracy", "success", "attackers-weight". Lines are means over the seeds, bands
        their range; beside attack success stands how often the mean makes the same error with nobody attacking.
    out : str or Path, optional
        The file; ``over-NAME.png`` in the study's folder where not given.

    Raises
    ------
    ValueError
        If there is no such quantity or none of it in the study, or the study varies no such number.
    ImportError
        If matplotlib is not installed.
    """
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise errors.not_one_of("the quantity", quantity, QUANTITIES)
    found = situations(store)
    if name not in (ROUNDS, *_numbers(found)):
        raise errors.not_one_of("what is varied", name, [ROUNDS, *_numbers(found)])
    drawn = {quantity: _panels(found, name, QUANTITIES[quantity]) for quantity in quantities}
    panels = {quantity: own for quantity, own in drawn.items() if own}
    if not panels:
        raise errors.nothing_to_draw(store.folder, quantities)
    path = Path(out or store.folder / f"over-{name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    _drawn(panels, name).savefig(path)
    return path


def _numbers(found: Sequence[Situation]) -> list[str]:
    """What the study varies and has an order."""
    told = [cell.settings for cell in found]
    names = [name for name in varied(told) if all(_is_number(setting(own, name)) for own in told)]
    arguments = [item for own in told for spec in own["rules"] for item in _member(spec)[1].items()]
    return [*(_plain(name) for name in names), *dict.fromkeys(name for name, value in arguments if _is_number(value))]


def _member(spec: Spec) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a rule; of a pipeline its line, and none."""
    members = described(spec)
    return members[0] if len(members) == 1 else (line(spec), {})


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _plain(name: str) -> str:
    return name.removeprefix("options.")


# --- what is drawn --------------------------------------------------------------------------------------------------


def _panels(found: Sequence[Situation], name: str, quantity: Quantity) -> Panels:
    """Columns in which the number varies."""
    beside = [own for own in varied([cell.settings for cell in found]) if _plain(own) != name]
    pieces: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for cell in found:
        for rule, figures, x in _told(cell, name):
            values = np.array([_values(row, quantity, name, cell.f) for row in figures.rows], np.float64)
            at = np.arange(1.0, 1 + values.shape[1]) if name == ROUNDS else np.array([x], np.float64)
            if np.isfinite(values).any() and np.isfinite(at).all():
                pieces[named(cell.settings, beside)][rule].append(Line(at, values))
    lines = {column: {rule: _joined(own) for rule, own in rules.items()} for column, rules in pieces.items()}
    varying = {column: own for column, own in lines.items() if any(len(line.x) > 1 for line in own.values())}
    return varying or lines


def _told(cell: Situation, name: str) -> Iterator[tuple[str, Figures, float | None]]:
    """Every line of a cell: its name, its figures, and where on the axis they stand."""
    at = cell.settings.get(name, cell.settings["options"].get(name))
    members = {line(spec): _member(spec) for spec in cell.settings["rules"]}
    for rule, figures in cell.figures.items():
        kind, own = members.get(rule, (rule, {}))
        x = own.pop(name, at)
        yield written(kind, own), figures, x
    if cell.clean is not None:
        yield CLEAN, cell.clean, at


def _values(row: Row, quantity: Quantity, name: str, f: int) -> list[float | None]:
    """In each round, or in the end."""
    result = row.result or {}
    if name == ROUNDS and result[quantity.final] is not None:
        return [quantity.of_round(record, f) for record in result["rounds"]]
    return [result[quantity.final]]


def _joined(pieces: Sequence[Line]) -> Line:
    """The points of several cells, in order."""
    x = np.concatenate([piece.x for piece in pieces])
    values = np.full((max(len(piece.values) for piece in pieces), len(x)), np.nan)
    first = 0
    for piece in pieces:
        values[: len(piece.values), first : first + len(piece.x)] = piece.values
        first += len(piece.x)
    order = np.argsort(x, kind="stable")
    return Line(x[order], values[:, order])


# --- how ------------------------------------------------------------------------------------------------------------


def _drawn(panels: Mapping[str, Panels], name: str) -> Any:
    columns = list(dict.fromkeys(column for own in panels.values() for column in own))
    rules = list(dict.fromkeys(rule for own in panels.values() for lines in own.values() for rule in lines))
    looks = styles([rule for rule in rules if rule != CLEAN]) | {CLEAN: NOBODY}
    width = max(5.6, 0.6 + 2.6 * len(columns))
    wide = _side_by_side(rules, width)
    figure = blank((width, 0.7 + 2.2 * len(panels) + 0.2 * ceil(len(rules) / wide)), dpi=100)
    grid = figure.subplots(len(panels), len(columns), squeeze=False, sharex="all", sharey="row")
    for row, (quantity, own) in zip(grid, panels.items(), strict=True):
        for axes, column in zip(row, columns, strict=True):
            _panel(axes, own.get(column, {}), looks, "" if name == ROUNDS else "o")
            quiet(axes, "", f"{QUANTITIES[quantity].title} [%]" if axes is row[0] else "")
            if QUANTITIES[quantity].whole:
                axes.set_ylim(-2, 102)
        low, high = row[0].get_ylim()
        if high - low < LEAST:
            row[0].set_ylim((low + high - LEAST) / 2, (low + high + LEAST) / 2)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=9, color=INK)
    for axes in grid[-1]:
        axes.xaxis.get_major_locator().set_params(integer=_counted(panels))
        axes.set_xlabel("round" if name == ROUNDS else name.replace("_", " "), color=INK)
    known = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    shown = [rule for rule in rules if rule in known]
    look = {"loc": "outside lower left", "ncols": wide, "frameon": False, "labelcolor": INK, "fontsize": 8}
    figure.legend([known[rule] for rule in shown], shown, **look)
    return figure


def _counted(panels: Mapping[str, Panels]) -> bool:
    """Whether all that stands on the axis is whole: nobody has half a client."""
    return all((line.x % 1 == 0).all() for own in panels.values() for lines in own.values() for line in lines.values())


def _side_by_side(rules: Sequence[str], width: float) -> int:
    """How many of the legend's entries fit beside each other, were the longest in one line; widths in inches."""
    longest = sorted((0.5 + 0.068 * len(rule) for rule in rules), reverse=True)
    return max(wide for wide in range(1, 5) if wide == 1 or sum(longest[:wide]) <= width)


def _panel(axes: Any, lines: Mapping[str, Line], looks: Mapping[str, Mapping[str, Any]], marker: str) -> None:
    for rule, (x, values) in lines.items():
        mean, low, high = (function(values * 100, axis=0) for function in (np.nanmean, np.nanmin, np.nanmax))
        axes.plot(x, mean, label=rule, marker=marker, markersize=3, **looks[rule])
        axes.fill_between(x, low, high, color=looks[rule]["color"], alpha=0.12, lw=0)
    if not lines:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", color="#999999", fontsize=9)
