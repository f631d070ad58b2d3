"""What is typed on the command line, turned into what the API takes; what does not fit is a usage error."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from robustagg import Rule, errors
from robustagg.rules.table import RULES, entry_of, rule
from robustagg.rules.written import assigned as assigned
from robustagg.rules.written import read


class Once(TyperCommand):
    """A command that refuses to be given an option twice that is not repeatable: the last would win without a word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        option: Any
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option in given:
            if given.count(option) > 1 and not getattr(option, "multiple", True) and not option.is_flag:
                raise typer.BadParameter("it is given more than once", ctx=ctx, param=option)
        return super().parse_args(ctx, args)


@contextmanager
def usage() -> Iterator[None]:
    """Errors in here are wrong usage."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """That a file is not there, or may not be read, is no wrong usage: it fails."""
    try:
        yield
    except OSError as fault:
        raise errors.unreadable(path, fault) from fault


def in_a_folder(path: Path | None) -> Path | None:
    """A file that is going to be written: better refused now than after the work."""
    if path is None:
        return None
    folder = path.absolute().parent
    with usage():
        if not folder.is_dir():
            raise errors.no_folder(folder)
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise errors.not_writable(path)
    return path


def picture(path: Path) -> Path:
    """A picture that is going to be drawn."""
    in_a_folder(path)
    with usage():
        if path.suffix.lower() not in PICTURES:
            raise errors.unknown_output(path, PICTURES)
    needed("matplotlib", "matplotlib")
    return path


def needed(module: str, package: str) -> None:
    """What the simulation and its pictures need: better missed now than after the work."""
    try:
        import_module(module)
    except ImportError as missing:
        raise errors.optional_package(package, "sim") from missing


READ: dict[str, Any] = {"readable": False}
"""What every argument and option for a file that is read has: whoever reads it says what is wrong with it."""

WRITTEN: dict[str, Any] = {**READ, "dir_okay": False, "callback": in_a_folder}
"""What every option for a file that is going to be written has."""

_ASKING = {entry.name: entry for entry in RULES if entry.asks}

PICTURES = (".png", ".svg", ".pdf")
DRAWN: dict[str, Any] = {**WRITTEN, "callback": picture, "help": "The picture: .png, .svg or .pdf."}
"""What every option for a picture has."""


def made_rule(spec: str, assignments: Sequence[str]) -> tuple[Rule[Any], list[dict[str, Any]]]:
    """The rule of a line, NAME=VALUE, ... being parameters of its last member, and those that each member was given."""
    with usage():
        members = read(spec)
        name, own = members[-1]
        if name in _ASKING:
            raise errors.rule_asks(name, _ASKING[name].kind.__name__, _ASKING[name].asks)
        entry_of(name)
        members[-1] = name, {**own, **assigned(assignments)}
        described = [{"rule": name, **own} for name, own in members]
        made = rule(described if len(described) > 1 else described[0])
    return made, [own for _, own in members]


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for client, count in pairs:
        if client in counts:
            raise ValueError(f"client {client!r} is there twice")
        counts[client] = count
    return counts


def sample_counts(path: Path) -> dict[str, float]:
    """The JSON object, client to number of samples, in a file."""
    with usage(), reading(path):
        try:
            counts = json.loads(path.read_text("utf-8"), object_pairs_hook=_each_once)
        except (RecursionError, ValueError) as fault:
            raise errors.bad_sample_counts(path, str(fault)) from fault
        if not isinstance(counts, dict):
            raise errors.bad_sample_counts(path, "not an object")
        for client, count in counts.items():
            if type(count) not in (int, float):
                raise errors.bad_sample_counts(path, f"{count!r} for client {client!r}")
    return counts
