"""Pictures of a study: heat maps of all cells, and curves of those in which the choice of the rule matters most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np

from robustagg import errors
from robustagg.rules.checks import whole
from robustagg.simulation.pictures import ATTACKER, HONEST, INK, dress, shade, styles
from robustagg.studies.regret import Figures, Situation, named, situations, varied
from robustagg.studies.store import Store

CURVES = 12  # cells of which curves are drawn, unless told otherwise
COLUMNS = 14  # of a heat map: where there would be more, cells of the same attack are averaged
SKEW = ("split", "alpha")


def show(store: Store, out: str | Path | None = None, curves: int = CURVES) -> list[Path]:
    """Draw a study.

    Parameters
    ----------
    store : Store
        Its results.
    out : str or Path, optional
        The folder of the pictures; the study's own where not given.
    curves : int
        Of how many cells curves are drawn: those in which rules differ most. Further curves of an earlier call are
        removed, unless it is 0.

    Returns
    -------
    list of Path
        ``heat-accuracy.png``, ``heat-success.png``, and ``curves-01.png`` and so on.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    whole("curves", curves)
    folder = Path(out or store.folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = situations(store)
    paths = [heat_map(found, "accuracy", folder / "heat-accuracy.png")]
    if any(figures.success is not None for cell in found for figures in cell.figures.values()):
        paths.append(heat_map(found, "success", folder / "heat-success.png"))
    telling = sorted(found, key=lambda cell: -max(map(cell.regret, cell.figures)))[:curves]
    for number, cell in enumerate(telling, 1):
        paths.append(cell_curves(cell, folder / f"curves-{number:02}.png"))
    for old in folder.glob("curves-[0-9][0-9]*.png") if curves else ():
        if old not in paths:
            old.unlink()
    return paths


# --- heat maps ------------------------------------------------------------------------------------------------------

Value: TypeAlias = Callable[[Figures], float | None]

QUANTITIES: dict[str, tuple[str, str, Value]] = {
    "accuracy": ("Test accuracy [%], dark is bad", "YlGnBu_r", lambda figures: figures.accuracy),
    "success": ("Attack success [%], dark is bad", "YlOrRd", lambda figures: figures.success),
}


def heat_map(found: Sequence[Situation], quantity: str, path: Path) -> Path:
    """A rule a row, an attack a column, a panel for each skew of the data."""
    title, colours, value = QUANTITIES[quantity]
    panels = [(skew, _told(cells, value)) for skew, cells in _arranged(found).items()]
    panels = [(skew, cells) for skew, cells in panels if cells]
    rules = list(dict.fromkeys(rule for cell in found for rule in cell.figures))
    widths = [len(cells) for _, cells in panels]
    longest = max(len(column) for _, cells in panels for column in cells)
    left = max(2.8, 1.3 + 0.08 * max(map(len, rules)))
    size = (left + 0.5 * len(panels) + 0.62 * sum(widths), 1.6 + 0.34 * len(rules) + 0.07 * longest)
    figure = blank(size)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True, width_ratios=widths)[0]
    figure.suptitle(title, fontsize=12, fontweight="bold", color=INK, x=0.01, ha="left")
    for axis, (skew, cells) in zip(axes, panels, strict=True):
        grid = _grid(cells, rules, value)
        image = axis.imshow(grid * 100, cmap=colours, vmin=0, vmax=100, aspect="auto")
        axis.set_title(skew, fontsize=9, color=INK, loc="left")
        axis.set_xticks(range(len(cells)), list(cells), rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
        axis.set_yticks(range(len(rules)), rules, fontsize=9)
        axis.tick_params(length=0, colors=INK)
        axis.spines[:].set_visible(False)
        _write_values(axis, grid, image)
    figure.savefig(path)
    return path


def _arranged(found: Sequence[Situation]) -> dict[str, dict[str, list[Situation]]]:
    """Cells by skew and column, in the order in which they come."""
    names = [name for name in varied([cell.settings for cell in found]) if name not in SKEW]
    if len({named(cell.settings, names) for cell in found}) > COLUMNS:
        names = [name for name in names if name in ("attack", "payload") or name.startswith("options.")]
    panels: dict[str, dict[str, list[Situation]]] = defaultdict(lambda: defaultdict(list))
    for cell in sorted(found, key=lambda cell: (cell.settings["split"], cell.settings["alpha"])):
        panels[_skew(cell.settings)][named(cell.settings, names)].append(cell)
    return panels


def _told(cells: dict[str, list[Situation]], value: Value) -> dict[str, list[Situation]]:
    """The columns that have a value: not all attacks have a target."""
    return {
        column: own
        for column, own in cells.items()
        if any(value(figures) is not None for cell in own for figures in cell.figures.values())
    }


def _grid(cells: dict[str, list[Situation]], rules: Sequence[str], value: Value) -> Any:
    """(rules, columns) means over the cells of a column; NaN where there are none."""
    grid = np.full((len(rules), len(cells)), np.nan)
    for j, own in enumerate(cells.values()):
        for i, rule in enumerate(rules):
            known = [value(cell.figures[rule]) for cell in own if rule in cell.figures]
            shown = [one for one in known if one is not None]
            grid[i, j] = fmean(shown) if shown else np.nan
    return grid


def _write_values(axis: Any, grid: Any, image: Any) -> None:
    for (i, j), one in np.ndenumerate(grid):
        if not np.isfinite(one):
            continue
        red, green, blue, _ = image.cmap(image.norm(one * 100))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        axis.text(j, i, f"{one * 100:.0f}", ha="center", va="center", fontsize=8, color="white" if dark else INK)


def _skew(settings: dict[str, Any]) -> str:
    if settings["split"] in ("iid", "by-class"):
        return str(settings["split"])
    unbalanced = "unbalanced, " if settings["split"] == "unbalanced" else ""
    return f"{unbalanced}alpha {settings['alpha']:g}"


# --- curves ---------------------------------------------------------------------------------------------------------


def cell_curves(cell: Situation, path: Path) -> Path:
    """Accuracy, attack success and reputations over the rounds: means over the seeds, and their range as bands."""
    remembering = next((own for own in cell.figures.values() if _reputations(own) is not None), None)
    targeted = any(own.success is not None for own in cell.figures.values())
    figure = blank((0.6 + 4.6 * (1 + targeted + (remembering is not None)), 4.6 + 0.1 * len(cell.figures)))
    figure.suptitle(cell.label, fontsize=12, fontweight="bold", color=INK, x=0.01, ha="left")
    axes = iter(figure.subplots(1, 1 + targeted + (remembering is not None), squeeze=False)[0])
    first = next(axes)
    _rules(first, cell, "accuracy", "Test accuracy", "correct test samples [%]")
    if targeted:
        _rules(next(axes), cell, "success", "Attack success", "targeted test samples taken as intended [%]")
    if remembering is not None:
        _draw_reputations(next(axes), cell, remembering)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, labelcolor=INK, fontsize=9)
    figure.savefig(path)
    return path


def _rules(axes: Any, cell: Situation, quantity: str, title: str, unit: str) -> None:
    looks = styles(list(cell.figures))
    for rule, own in cell.figures.items():
        values = _by_seed(own, quantity)
        if not np.isfinite(values).all():
            continue
        rounds = np.arange(1, values.shape[1] + 1)
        axes.plot(rounds, values.mean(axis=0), label=rule, **looks[rule])
        axes.fill_between(rounds, values.min(axis=0), values.max(axis=0), color=looks[rule]["color"], alpha=0.12, lw=0)
    _dress(axes, cell, title, unit)
    axes.set_ylim(-2, 102)


def _by_seed(own: Figures, quantity: str) -> Any:
    """(seeds, rounds) in percent."""
    rounds = [row.result["rounds"] for row in own.rows if row.result is not None]
    return np.array([[100 * _number(record[quantity]) for record in records] for records in rounds])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _reputations(own: Figures) -> Any:
    """(seeds, rounds, clients); None for a rule that keeps none."""
    rounds = [[record["reputation"] for record in row.result["rounds"]] for row in own.rows if row.result is not None]
    return None if any(scores is None for records in rounds for scores in records) else np.array(rounds)


def _draw_reputations(axes: Any, cell: Situation, own: Figures) -> None:
    """A line per client, mean over the seeds, and the range of the honest and of the attackers."""
    scores = _reputations(own)
    rounds = np.arange(1, scores.shape[1] + 1)
    honest = scores.shape[2] - cell.f
    parts = (("honest clients", scores[..., :honest], HONEST), ("attackers", scores[..., honest:], ATTACKER))
    for name, part, look in parts[: 1 + (cell.f > 0)]:
        axes.plot(rounds, part.mean(axis=0), **look)
        axes.plot([], [], label=name, **look)
        low, high = part.min(axis=(0, 2)), part.max(axis=(0, 2))
        axes.fill_between(rounds, low, high, color=look["color"], alpha=0.12, lw=0)
    _dress(axes, cell, f"Reputation of each client: {own.rule}", "decayed score [0 to 1]")
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside lower right", ncols=3, frameon=False, labelcolor=INK, fontsize=9)


def _dress(axes: Any, cell: Situation, title: str, unit: str) -> None:
    rows = next(iter(cell.figures.values())).rows
    records = rows[0].result["rounds"] if rows[0].result is not None else []
    dress(axes, title, unit, len(records))
    attacked = [record["round"] for record in records if record["attacking"]]
    if 0 < len(attacked) < len(records):
        shade(axes, attacked)


def blank(size: tuple[float, float], dpi: int = 130) -> Any:
    """A figure of this size in inches."""
    try:
        from matplotlib.figure import Figure  # not pyplot: no window, and no global state
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as cause:
        raise errors.optional_package("matplotlib", "sim") from cause
    return Figure(figsize=size, dpi=dpi, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
