"""Which module imports which, read from the source, also what is imported for types alone or inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "robustagg"

ORDER = (
    ("names",),
    ("errors",),
    ("kernels",),
    ("config",),
    ("memory",),
    ("protocol",),
    ("engine",),
    ("inputs",),
    ("ledger",),
    ("rules",),
    ("files", "attacks", "theory", "truth"),
    ("simulation", "testing", "intake"),
    ("studies",),
    ("cli",),
    ("__main__",),
    ("integrations",),
)
"""Rooms from the bottom up: what stands in one line knows only what stands in lines before it, and itself."""


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name without "robustagg."; the package itself is ""."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports, however."""
    return set(_imported(ast.parse(known[name].read_text("utf-8")), known)) - {name}


def _imported(tree: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("robustagg.") for alias in node.names if "robustagg." in alias.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"line {node.lineno}: imports are absolute here, so that they can be read")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "robustagg":
            base = (node.module or "").removeprefix("robustagg").removeprefix(".")
            for alias in node.names:
                below = f"{base}.{alias.name}".removeprefix(".")
                if below in known:
                    yield below
                elif base:
                    yield base


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """Modules that import each other in a ring, if there are any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(found.args[1])
    return None
