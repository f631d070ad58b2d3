"""The picture of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.ledger import Course
from robustagg.names import printable

# A colour and a name for the least reputable clients; the rest is a crowd in grey.
_COLOURS = (
    "tab:red",
    "tab:orange",
    "tab:olive",
    "tab:green",
    "tab:cyan",
    "tab:blue",
    "tab:purple",
    "tab:pink",
    "tab:brown",
    "black",
)
_CROWD = "0.75"
_BANDS = ("0.93", "0.86", "0.76")  # the outermost first
_LONGEST = 28  # characters of a name


def standing(course: Course, out: Path) -> None:
    """Draw a value over rounds: a line per client, or bands of a crowd and the lines of the last ones."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise errors.optional_package("matplotlib", "sim") from missing
    clients = list(course.lines)
    named, others = clients[: len(_COLOURS)], clients[len(_COLOURS) :]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    if course.clients > len(clients):
        _draw_bands(axes, course)
    for client in others:
        _draw(axes, course.lines[client], color=_CROWD, linewidth=0.6, zorder=1)
    handles = [
        _draw(axes, course.lines[client], color=colour, linewidth=1.6, marker=".", zorder=3)
        for client, colour in zip(named, _COLOURS, strict=False)
    ]
    _label(axes, course, len(named))
    _name(axes, handles[::-1], named[::-1])  # from top to bottom, as the lines end
    figure.savefig(out, dpi=150)


def _draw_bands(axes: Any, course: Course) -> None:
    """From light to dark: all clients, 9 of 10, every second one; the median as a line."""
    for k, colour in enumerate(_BANDS):
        axes.fill_between(course.rounds, course.bands[:, k], course.bands[:, -1 - k], color=colour, linewidth=0)
    axes.plot(course.rounds, course.bands[:, len(_BANDS)], color="0.45", linewidth=1.2, zorder=2)


def _draw(axes: Any, points: Sequence[tuple[int, float]], **style: Any) -> Any:
    return axes.plot([round for round, _ in points], [value for _, value in points], **style)[0]


def _label(axes: Any, course: Course, named: int) -> None:
    title = f"{course.measure.capitalize()} of {course.clients} clients"
    if course.clients > named:
        title += f"; named: the {named} {'least reputable' if course.measure == 'reputation' else 'of least weight'}"
    axes.set_title(title, loc="left")
    if course.clients > len(course.lines):
        axes.set_title("median, half, 9 of 10 and all of the clients", loc="right", fontsize=8, color="0.4")
    axes.set_xlabel("round")
    axes.set_ylabel(course.measure)
    if course.measure == "reputation":
        axes.set_ylim(-0.02, 1.02)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")


def _name(axes: Any, handles: Sequence[Any], clients: Sequence[Any]) -> None:
    """A legend beside the lines, with the names as they are: matplotlib would read $ and _ in them."""
    places = [str(k) for k in range(len(handles))]
    legend = axes.legend(handles, places, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    for text, client in zip(legend.get_texts(), clients, strict=True):
        name = printable(str(client))
        text.set_parse_math(False)
        text.set_text(name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…")
