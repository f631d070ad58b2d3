"""What all commands print with: tables and progress for people, JSON for machines.

Results go to stdout, everything else to stderr. Names come from other people's files: what is not printable in them
(escape sequences, say) is shown as an escape, never sent to the terminal.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EPIPE
from typing import Annotated, Any, TypeAlias

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from robustagg.names import printable

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

_ENDLESS = 10_000  # columns: in a file or a pipe, a line of a table is a line
_LEAST = 10  # columns that a text is given before it is broken into lines
_GAP = 2  # columns after each


def say(*lines: str) -> None:
    """Lines of a result."""
    for line in lines:
        _console().print(printable(line), soft_wrap=True)


def complain(error: Exception) -> None:
    """Why it failed."""
    _console(stderr=True).print(f"robustagg: {printable(str(error))}", soft_wrap=True)


def warn(text: str) -> None:
    """What somebody should know, though it has not failed."""
    _console(stderr=True).print(f"robustagg: warning: {printable(text)}", soft_wrap=True)


@contextmanager
def afterwards() -> Iterator[None]:
    """What is said of work that is done: that nobody can print it does not undo it, and is a warning."""
    try:
        yield
    except OSError as fault:
        with suppress(OSError):
            warn(f"all is done and in its place, but cannot be printed: {fault.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at its end Python tries once more


def say_json(value: Any) -> None:
    """A result for machines; null in place of a number that JSON has no word for."""
    typer.echo(json.dumps(_sayable(value), indent=2, allow_nan=False))


def table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """A table of a result: numbers to the right, floats with four places.

    On a narrow screen the first and the last column are broken into several lines; nothing is cut off. Where that is
    not enough, a line of the table is a line, as in a file.
    """
    cells = [list(line) for line in lines]
    grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    least = _GAP * len(header)
    for k, name in enumerate(header):
        numbers = any(isinstance(line[k], (int, float)) and not isinstance(line[k], bool) for line in cells)
        breaks = k in (0, len(header) - 1)
        grid.add_column(name, justify="right" if numbers else "left", no_wrap=not breaks, overflow="fold")
        width = max(map(cell_len, (name, *(_cell(line[k]) for line in cells))))
        least += min(width, _LEAST) if breaks else width
    for line in cells:
        grid.add_row(*map(_cell, line))
    console = _console()
    if console.width < least:
        console.width = _ENDLESS
    console.print(grid)


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars that are there while something runs, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    console = _console(stderr=True)
    off = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off, speed_estimate_period=3600) as bars:
        yield bars


class _Console(Console):
    """A broken pipe is told like every other trouble with a stream."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(EPIPE, os.strerror(EPIPE))


def _console(stderr: bool = False) -> Console:
    """Made for each use: the streams and the width are those of the moment."""
    console = _Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _ENDLESS
    return console


def _sayable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sayable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))
