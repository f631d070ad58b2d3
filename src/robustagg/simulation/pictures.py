"""One figure of a simulation: accuracy, attack success and the clients' reputations over the rounds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.simulation.results import RuleRun, Simulation

# Okabe and Ito's colours, told apart by colour-blind readers too; line styles say the same in print
STYLES = {
    "reputation": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.4, "zorder": 4},
    "median": {"color": "#E69F00", "linestyle": "--", "linewidth": 1.8},
    "trimmed-mean": {"color": "#009E73", "linestyle": "-.", "linewidth": 1.8},
    "mean": {"color": "#444444", "linestyle": ":", "linewidth": 2.0},
}
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
    remembering = next((run for run in simulation.runs if run.records[-1].reputation is not None), None)
    columns = 1 + targeted + (remembering is not None)
    figure = Figure(figsize=(0.6 + 4.6 * columns, 4.7), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    figure.suptitle(_title(simulation), fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left")
    axes = iter(figure.subplots(1, columns, squeeze=False)[0])
    first = next(axes)
    _rules(first, simulation, "accuracy", "Test accuracy", "correct test images [%]")
    if targeted:
        _rules(next(axes), simulation, "success", "Attack success", "targeted test images taken as intended [%]")
    if remembering is not None:
        _reputations(next(axes), simulation, remembering)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, labelcolor=INK)
    figure.savefig(path)


def _title(simulation: Simulation) -> str:
    settings = simulation.settings
    attack = f"{settings.f} of {settings.clients} clients attack: {simulation.named}" if settings.f else "No attack"
    return f"{attack}   ·   handwritten digits, Dirichlet alpha = {settings.alpha:g}, seed {settings.seed}"


def _rules(axes: Any, simulation: Simulation, quantity: str, title: str, unit: str) -> None:
    """One line per rule."""
    for run in simulation.runs:
        values = [getattr(record, quantity) * 100 for record in run.records]
        axes.plot([record.round for record in run.records], values, label=run.rule, **STYLES[run.rule])
    _dress(axes, simulation, title, unit)
    axes.set_ylim(-2, 102)


def _reputations(axes: Any, simulation: Simulation, run: RuleRun) -> None:
    """One line per client."""
    records = [record for record in run.records if record.reputation is not None]
    rounds = [record.round for record in records]
    for client, attacks in zip(simulation.clients, simulation.attackers, strict=True):
        scores = [record.reputation[client] for record in records if record.reputation is not None]
        axes.plot(rounds, scores, **(ATTACKER if attacks else HONEST))
    _dress(axes, simulation, "Reputation of each client", "decayed score [0 to 1]")
    entries: Iterable[tuple[str, dict[str, Any], int]] = (
        ("honest client", HONEST, simulation.settings.clients - simulation.settings.f),
        ("attacker", ATTACKER, simulation.settings.f),
    )
    lines = [axes.plot([], [], label=f"{name} ({count})", **style)[0] for name, style, count in entries if count]
    axes.figure.legend(handles=lines, loc="outside lower right", ncols=2, frameon=False, labelcolor=INK)


def _dress(axes: Any, simulation: Simulation, title: str, unit: str) -> None:
    """Title, units, a quiet grid, and a shade where attackers attack by turns."""
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("round", color=INK)
    axes.set_ylabel(unit, color=INK)
    axes.set_xlim(1, max(simulation.settings.rounds, 2))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(colors=INK, length=3)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if simulation.settings.kind == "schedule":
        attacked = [record.round for record in simulation.runs[0].records if record.attacking]
        for i, number in enumerate(attacked):
            label = None if i else "attack under way"
            axes.axvspan(number - 0.5, number + 0.5, color="#F4DCCB", linewidth=0, zorder=0, label=label)
