"""One figure of a comparison: a panel per attack, a line per method, over the share of malicious workers."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.truth.compare import Comparison

# Okabe and Ito's colours: a method's own; dashes say how it is defended
COLOURS = {
    "crh": "#0072B2", "gtm": "#E69F00", "reputation": "#009E73", "mean": "#444444", "median": "#CC79A7", "catd":
    "#56B4E9",
}  # fmt: skip
DEFENDED = {"": ("-", "o"), "mwa": ("--", "s"), "mie": (":", "^")}
INK = "#333333"
LEAST_WIDTH = 7.6  # inches, which the title of millions takes
ENTRY = 1.4  # of the legend, inches


def picture(comparison: Comparison, path: str | Path) -> None:
    """Draw a comparison into a file: how far each attack moves each method's estimates.

    Parameters
    ----------
    comparison : Comparison
    path : str or Path
        The file; its suffix (png, svg, pdf) says the format.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: no window, and no global state
    except ImportError as cause:
        raise errors.optional_package("matplotlib", "sim") from cause
    attacks, methods = comparison.names("attack"), comparison.names("method")
    width = max(1.0 + 3.4 * len(attacks), LEAST_WIDTH)
    columns = int(width / ENTRY)
    figure = Figure(figsize=(width, 4.4 + 0.2 * ceil(len(methods) / columns)), dpi=150, layout="constrained")
    figure.suptitle(
        f"What malicious workers do to {comparison.items} items, {comparison.workers} honest workers",
        fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left",
    )  # fmt: skip
    panels = figure.subplots(1, len(attacks), squeeze=False, sharey=True)[0]
    for axes, attack in zip(panels, attacks, strict=True):
        for method in methods:
            cells = comparison.of(attack=attack, method=method)
            axes.plot(
                [100 * cell.share for cell in cells], [cell.error for cell in cells], label=method, **_style(method)
            )
        _dress(axes, attack)
    panels[0].set_ylim(bottom=0)  # of all panels, once all lines are there
    panels[0].set_ylabel("estimation error [units of the answers]", color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, labelcolor=INK)
    figure.savefig(path)


def _style(method: str) -> dict[str, Any]:
    base, _, defence = method.partition("+")
    line, marker = DEFENDED[defence]
    width = 2.4 if base == "reputation" else 1.6
    return {"color": COLOURS[base], "linestyle": line, "marker": marker, "markersize": 4, "linewidth": width}


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("malicious workers [% of all]", color=INK)
    axes.tick_params(colors=INK, length=3)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
