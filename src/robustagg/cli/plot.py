"""The picture of a ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustagg import errors
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
_LONGEST = 28  # characters of a name


def reputations(history: Iterable[dict[str, Any]], out: Path) -> None:
    """Draw reputation over rounds, a line per client."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise errors.optional_package("matplotlib", "sim") from missing
    lines: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for entry in history:
        lines[entry["client"]].append(entry)
    ranked = sorted(lines, key=lambda client: lines[client][-1]["reputation"])
    named, crowd = ranked[: len(_COLOURS)], ranked[len(_COLOURS) :]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for client in crowd:
        _draw(axes, lines[client], color=_CROWD, linewidth=0.6, zorder=1)
    handles = [
        _draw(axes, lines[client], color=colour, linewidth=1.6, marker=".", zorder=2)
        for client, colour in zip(named, _COLOURS, strict=False)
    ]
    _label(
        axes, f"Reputation of {len(ranked)} clients" + (f"; named: the {len(named)} least reputable" if crowd else "")
    )
    _name(axes, handles[::-1], named[::-1])  # from top to bottom, as the lines end
    figure.savefig(out, dpi=150)


def _draw(axes: Any, entries: Sequence[dict[str, Any]], **style: Any) -> Any:
    rounds = [entry["round"] for entry in entries]
    return axes.plot(rounds, [entry["reputation"] for entry in entries], **style)[0]


def _label(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel("round")
    axes.set_ylabel("reputation")
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
