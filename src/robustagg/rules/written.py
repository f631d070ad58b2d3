"""Rules as one line of text: ``nnm(f=2) + reputation(positive_weight=0.2, normalize=minmax)``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from robustagg import errors

_MEMBER = re.compile(r"\s*(?P<name>[\w.:-]+)\s*(?:\((?P<parameters>[^()]*)\))?\s*")
_BETWEEN = re.compile(r"\+(?![^(]*\))")
_WORDS = {"none": None, "true": True, "false": False}


def read(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and parameters of each member of a line, from the first pre-aggregation to the rule.

    >>> read("nnm + trimmed-mean(f=2)")
    [('nnm', {}), ('trimmed-mean', {'f': 2})]
    """
    members = [_MEMBER.fullmatch(part) for part in _BETWEEN.split(text)]
    found = [(member["name"], assigned(_listed(member["parameters"] or ""))) for member in members if member]
    if len(found) < len(members):
        raise errors.not_a_line_of_rules(text)
    return found


def written(name: Any, parameters: Mapping[str, Any]) -> str:
    """What `read` reads."""
    listed = ", ".join(f"{name}={value}" for name, value in parameters.items())
    return f"{name}({listed})" if listed else str(name)


def assigned(assignments: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE, ... as a dict; dashes in names are underscores."""
    values = {}
    for assignment in assignments:
        name, equals, text = map(str.strip, assignment.partition("="))
        if not (name and equals and text):
            raise errors.not_an_assignment(assignment)
        values[name.replace("-", "_")] = value(text)
    return values


def _listed(text: str) -> list[str]:
    return text.split(",") if text.strip() else []


def value(text: str) -> Any:
    """What a text means: none, true, false, a number, else itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
