"""Study files: which simulations to run, as TOML says it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.rules.table import Spec, line
from robustagg.simulation import Settings

SECTIONS = {"title": "a text", "defaults": "a table", "grid": "a table or several", "cells": "a list of tables"}
SEEDS = (0, 1, 2)
NAMES = tuple(field.name for field in fields(Settings) if field.name != "seed")
KEYS = (*NAMES, "seeds")
"""What a study may say: every setting of a simulation, and the seeds."""


@dataclass(frozen=True)
class Cell:
    """One situation, in which every rule is run with every seed."""

    settings: Settings
    seeds: tuple[int, ...]
    label: str
    """What sets it apart from the other cells."""

    @property
    def key(self) -> str:
        """The same for the same situation, whatever study it stands in."""
        return key_of(self.settings)


@dataclass(frozen=True)
class Study:
    """Cells to run."""

    cells: tuple[Cell, ...]
    title: str = ""
    text: str = ""
    """The file, word by word."""

    @property
    def runs(self) -> int:
        """How many trainings of a rule it has."""
        return sum(len(cell.settings.rules) * len(cell.seeds) for cell in self.cells)


def key_of(settings: Settings) -> str:
    """A short name for all that matters of a cell: its settings but the rules, the seed and the device."""
    told = {name: _plain(value) for name, value in asdict(settings).items() if name not in ("rules", "seed", "device")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """1 and 1.0 are the same number."""
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    return float(value) if isinstance(value, int) else value


def load_study(path: str | Path, changes: Mapping[str, Any] | None = None) -> Study:
    """Read a study file.

    Parameters
    ----------
    path : str or Path
        TOML: ``[defaults]``, the settings of a simulation and ``seeds``; ``[grid]``, lists of values, of which every
        combination is a cell, or several as ``[[grid]]``; ``[[cells]]``, further cells one by one.
        ``options.size = [5, 10]`` is the option of an attack. In the rule ``{rule = "reputation", prior = [0.1, 0.5]}``
        a list means a rule for each of its values.
    changes : mapping, optional
        Settings in place of those of ``[defaults]``; an option of an attack as ``options.size``, too.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If it is no TOML or says something that no simulation knows; the error names the key and the line, or the cell.
    """
    path = Path(path)
    text, told = read_toml(path, SECTIONS)
    return study(
        _flat(told.get("defaults", {}), str(path)) | _flat(changes or {}, str(path)),
        told.get("grid", {}),
        told.get("cells", []),
        title=told.get("title", path.stem),
        text=text,
        source=str(path),
    )


def read_toml(path: Path, sections: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """A file, word by word, and what it says; raises where it is no TOML, or a section is not known or not as told."""
    try:
        text = path.read_text("utf-8")
        told: dict[str, Any] = _toml().loads(text)
    except OSError as fault:
        raise errors.unreadable(path, fault) from fault
    except ValueError as fault:
        raise errors.bad_study(path, str(fault)) from fault
    for section in told.keys() - set(sections):
        raise errors.bad_study(path, _unknown(text, section, list(sections)))
    for section, value in told.items():
        if not _KINDS[sections[section]](value):
            raise errors.bad_study(path, f"{section} must be {sections[section]}{_at(text, section)}")
    return text, told


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_table, value))


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "a text": lambda value: isinstance(value, str),
    "a table": _is_table,
    "a list of tables": _are_tables,
    "a table or several": lambda value: _is_table(value) or _are_tables(value),
}


def study(
    defaults: Mapping[str, Any],
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    cells: Sequence[Mapping[str, Any]] = (),
    *,
    title: str = "",
    text: str = "",
    source: str = "the study",
) -> Study:
    """A study from Python: what a file says, as mappings.

    Examples
    --------
    >>> from robustagg.studies import study
    >>> made = study({"rules": ["median", "mean"], "rounds": 5}, {"attack": ["none", "ipm"], "alpha": [0.5, 100]})
    >>> len(made.cells), made.runs, made.cells[0].label
    (4, 24, 'attack=none, alpha=0.5')
    """
    grids = [grid] if isinstance(grid, Mapping) else grid
    usual = _flat(defaults, source)
    overlays = [overlay for one in grids if one for overlay in _combinations(_flat(one, source), text, source)]
    overlays += [_flat(cell, source) for cell in cells]
    overlays = overlays or [{}]
    for overlay in (usual, *overlays):
        for name in overlay:
            if name.partition(".")[0] not in KEYS or ("." in name and not name.startswith("options.")):
                raise errors.bad_study(source, _unknown(text, name, KEYS))
    made = [_cell(source, number, usual, overlay) for number, overlay in enumerate(overlays, 1)]
    for number, (cell, overlay) in enumerate(zip(made, overlays, strict=True), 1):
        if cell.key in {other.key for other in made[: number - 1]}:
            raise errors.bad_study(source, f"cell {number} ({_label(overlay)}) is the same as one before it")
    return Study(tuple(made), title, text)


def _combinations(axes: Mapping[str, Any], text: str, source: str) -> list[dict[str, Any]]:
    """Every combination of the values of a grid."""
    for name, values in axes.items():
        if not (isinstance(values, list) and values):
            raise errors.bad_study(source, f"[grid]: {name} must be a list of values{_at(text, name)}")
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _cell(source: str, number: int, defaults: Mapping[str, Any], overlay: Mapping[str, Any]) -> Cell:
    told = {**defaults, **overlay}
    options = {name.partition(".")[2]: told.pop(name) for name in list(told) if name.startswith("options.")}
    try:
        seeds = _seeds(told.pop("seeds", SEEDS))
        if "rules" in told:
            told["rules"] = _rules(told["rules"])
        if options:
            told["options"] = options
        settings = Settings(**told)
    except (TypeError, ValueError) as fault:
        raise errors.bad_study(source, f"cell {number} ({_label(overlay) or 'the defaults'}): {fault}") from fault
    return Cell(settings, seeds, _label(overlay))


def _seeds(told: Any) -> tuple[int, ...]:
    seeds = tuple(range(told)) if type(told) is int else tuple(told) if isinstance(told, list | tuple | range) else ()
    for seed in seeds:
        Settings(seed=seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise errors.out_of_range("seeds", told, "different seeds, one at least, or how many")
    return seeds


def _rules(told: Any) -> tuple[Spec, ...]:
    if not isinstance(told, list | tuple) or not all(isinstance(spec, str | Mapping | list | tuple) for spec in told):
        raise errors.out_of_range("rules", told, "a list of rules, each a name, a table or a pipeline of these")
    return tuple(rule for spec in told for rule in _expanded(spec))


def _expanded(spec: Spec) -> Iterator[Spec]:
    """A rule for each combination of the values in lists."""
    if not isinstance(spec, Mapping):
        yield spec
        return
    values = [value if isinstance(value, list) else [value] for value in spec.values()]
    for combination in product(*values):
        yield dict(zip(spec, combination, strict=True))


def _flat(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The options of an attack as keys of their own, ``options.size``."""
    if not _is_table(table.get("options", {})):
        raise errors.bad_study(source, f"options must be a table, got {table['options']!r}")
    flat = {name: value for name, value in table.items() if name != "options"}
    return flat | {f"options.{name}": value for name, value in table.get("options", {}).items()}


def _label(overlay: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.removeprefix('options.')}={_shown(name, value)}" for name, value in overlay.items())


def _shown(name: str, value: Any) -> str:
    return "/".join(map(line, value)) if name == "rules" else str(value)


def _unknown(text: str, name: str, known: Sequence[str]) -> str:
    return f"there is no {name!r}{_at(text, name)}; there are {', '.join(known)}"


def _at(text: str, name: str) -> str:
    """The line where a key stands, in words; nothing where it cannot be found."""
    last = re.escape(name.rpartition(".")[2])
    for number, written in enumerate(text.splitlines(), 1):
        if re.search(rf"""(^|[\s.{{,\[])["']?{last}["']?\s*(=|\])""", written):
            return f" (line {number})"
    return ""


def _toml() -> Any:
    for name in ("tomllib", "tomli"):  # the first since Python 3.11
        try:
            return import_module(name)
        except ImportError:
            continue
    raise errors.optional_package("tomli", "sim")
