"""One figure of a simulation: accuracy, attack success and the clients' reputations over the rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.simulation.results import RuleRun, Simulation
from robustagg.simulation.settings import Settings

# Okabe and Ito's colours, told apart by colour-blind readers too; line styles say the same in print
USUAL = {
    "reputation": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.4, "zorder": 4},
    "median": {"color": "#E69F00", "linestyle": "--", "linewidth": 1.8},
    "trimmed-mean": {"color": "#009E73", "linestyle": "-.", "linewidth": 1.8},
    "mean": {"color": "#444444", "linestyle": ":", "linewidth": 2.0},
}
OTHERS = ("#D55E00", "#CC79A7", "#56B4E9", "#8C564B", "#9467BD", "#7F7F7F", "#17BECF", "#BCBD22", "#A50026")
DASHES = ("-", "--", "-.", ":")
HONEST = {"color": "#56B4E9", "linestyle": "-", "linewidth": 1.3}
ATTACKER = {"color": "#D55E00", "linestyle": "--", "linewidth": 1.6}
INK = "#333333"


def picture(simulation: Simulation, path: str | Path) -> None:
    """Draw a simulation into a file.

    Parameters
    ----------
    simulation : Simulation
        From :func:`robustagg.simulation.simulate`.
    path : str or Path
        The file; its suffix (png, svg, pdf) says the format.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: no window, and no global state
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as cause:
        raise errors.optional_package("matplotlib", "sim") from cause
    targeted = any(run.success is not None for run in simulation.runs)
    remembering = next((run for run in simulation.runs if any(record.reputation for record in run.records)), None)
    columns = 1 + targeted + (remembering is not None)
    legend = ceil(len(simulation.runs) / (2 * columns))  # lines of text
    size = (0.6 + 4.6 * columns, 4.5 + 0.2 * legend)
    figure = Figure(figsize=size, dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    figure.suptitle(_title(simulation, wide=columns > 2), fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left")
    axes = iter(figure.subplots(1, columns, squeeze=False)[0])
    first = next(axes)
    _rules(first, simulation, "accuracy", "Test accuracy", "correct test samples [%]")
    if targeted:
        _rules(next(axes), simulation, "success", "Attack success", "targeted test samples taken as intended [%]")
    if remembering is not None:
        _reputations(next(axes), simulation, remembering)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2 * columns, frameon=False, labelcolor=INK)
    figure.savefig(path)


def _title(simulation: Simulation, wide: bool) -> str:
    settings = simulation.settings
    attack = f"{settings.f} of {settings.clients} clients attack: {simulation.named}" if settings.f else "No attack"
    separator = "   ·   " if wide else "\n"
    data = f"{simulation.title}, {_split(settings)}, seed {settings.seed}"
    return f"{attack}{separator}{data}"


def _split(settings: Settings) -> str:
    """How the samples are split, in words."""
    heeds_alpha = settings.split in ("dirichlet", "unbalanced")
    unbalanced = " unbalanced" if settings.split == "unbalanced" else ""
    return f"Dirichlet alpha = {settings.alpha:g}{unbalanced}" if heeds_alpha else f"split {settings.split}"


def _rules(axes: Any, simulation: Simulation, quantity: str, title: str, unit: str) -> None:
    """One line per rule."""
    looks = styles([run.rule for run in simulation.runs])
    for run in simulation.runs:
        values = [getattr(record, quantity) * 100 for record in run.records]
        rounds = [record.round for record in run.records]
        axes.plot(rounds, values, label=run.rule, marker=_marker(rounds), **looks[run.rule])
    _dress(axes, simulation, title, unit)
    axes.set_ylim(-2, 102)


def styles(rules: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The usual rules always look the same; the others get what is still free, no two alike (9 and 4 are coprime).

    A rule with arguments looks as it does without them where it is the only one of its name.
    """
    names = [rule.partition("(")[0] for rule in rules]
    free = ({"color": OTHERS[k % len(OTHERS)], "linestyle": DASHES[k % len(DASHES)], "linewidth": 1.4} for k in count())
    return {
        rule: (USUAL.get(name) if names.count(name) == 1 or rule == name else None) or next(free)
        for rule, name in zip(rules, names, strict=True)
    }


def _reputations(axes: Any, simulation: Simulation, run: RuleRun) -> None:
    """One line per client."""
    records = [record for record in run.records if record.reputation is not None]
    rounds = [record.round for record in records]
    for client, attacks in zip(simulation.clients, simulation.attackers, strict=True):
        scores = [record.reputation[client] for record in records if record.reputation is not None]
        axes.plot(rounds, scores, marker=_marker(rounds), **(ATTACKER if attacks else HONEST))
    _dress(axes, simulation, "Reputation of each client", "decayed score [0 to 1]")
    entries: Iterable[tuple[str, dict[str, Any], int]] = (
        ("honest client", HONEST, simulation.settings.clients - simulation.settings.f),
        ("attacker", ATTACKER, simulation.settings.f),
    )
    lines = [axes.plot([], [], label=f"{name} ({number})", **style)[0] for name, style, number in entries if number]
    axes.figure.legend(handles=lines, loc="outside lower right", ncols=2, frameon=False, labelcolor=INK)


def _marker(rounds: Sequence[int]) -> str:
    """A dot for a single round, which has no line."""
    return "o" if len(rounds) == 1 else ""


def _dress(axes: Any, simulation: Simulation, title: str, unit: str) -> None:
    """Title and units, and a shade where attackers attack by turns."""
    dress(axes, title, unit, simulation.settings.rounds)
    if simulation.settings.kind in ("schedule", "arrival"):
        shade(axes, [record.round for record in simulation.runs[0].records if record.attacking])


def dress(axes: Any, title: str, unit: str, rounds: int) -> None:
    """Title, units and a quiet grid over the rounds."""
    quiet(axes, title, unit)
    axes.set_xlabel("round", color=INK)
    axes.set_xlim((1, rounds) if rounds > 1 else (0.5, 1.5))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def quiet(axes: Any, title: str, unit: str) -> None:
    """Title, unit and a quiet grid."""
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_ylabel(unit, color=INK)
    axes.tick_params(colors=INK, length=3)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def shade(axes: Any, attacked: Sequence[int]) -> None:
    """A shade over the rounds in which attackers attack."""
    for i, number in enumerate(attacked):
        label = None if i else "attack under way"
        axes.axvspan(number - 0.5, number + 0.5, color="#F4DCCB", linewidth=0, zorder=0, label=label)
