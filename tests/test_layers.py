"""The house: arrows between rooms point down only, nothing imports in a circle, and a rule is four edits."""

from __future__ import annotations

from cases import ASKING, CASES

import robustagg as ra
from layers import ORDER, circle, imports, modules
from robustagg.rules.component import Withstanding
from robustagg.rules.table import RULES

KNOWN = modules()
IMPORTS = {name: imports(name, KNOWN) for name in KNOWN if name}


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_room_has_its_place():
    named = {name for line in ORDER for name in line}
    assert {room(name) for name in IMPORTS} <= named


def test_arrows_point_down_only():
    height = {name: at for at, line in enumerate(ORDER) for name in line}
    up = [
        (module, imported)
        for module, all_imported in IMPORTS.items()
        for imported in all_imported
        if room(module) != room(imported) and height[room(module)] <= height[room(imported)]
    ]
    assert not up


def test_nothing_imports_in_a_circle():
    assert circle(IMPORTS) is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) is not None


def test_nobody_imports_the_package_itself():
    """Only whoever uses it does: the command line, and what is outside."""
    assert {name for name, found in IMPORTS.items() if "" in found} <= {"cli"}


def test_a_rule_is_four_edits():
    """Its class, its public name, its row in the table, its case in the tests: each is missed here."""
    public = {kind for kind in vars(ra).values() if isinstance(kind, type) and issubclass(kind, ra.Rule)}
    rules = public - {ra.Rule, ra.Pipeline}
    assert {entry.kind for entry in RULES} == rules
    assert {type(case.make(1)) for case in [*CASES, *ASKING]} - {ra.Pipeline} == rules
    assert all(issubclass(kind, Withstanding) == (kind.needs is not None) for kind in rules)
