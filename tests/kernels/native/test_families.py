"""The kernels' families know only those below them."""

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "csrc"
BELOW = {
    "base": set(),
    "order": {"base"},
    "product": {"base", "order"},
    "count": {"base"},
    "line": {"base", "order"},
    "detect": {"base", "order", "product", "line"},
    "truth": {"base", "order"},
    "cuda": set(),
}


def includes(source: Path) -> set[str]:
    return set(re.findall(r'^#include "(.+)"', source.read_text(), re.MULTILINE))


@pytest.mark.parametrize("family", sorted(path.name for path in SOURCES.iterdir() if path.is_dir()))
def test_a_family_includes_only_those_below_it(family):
    allowed = BELOW[family] | {family}
    for source in (SOURCES / family).iterdir():
        for included in includes(source):
            folder = Path(included).parent.name or "."
            assert included == "kernels.hpp" or folder in allowed, f"{source.name} includes {included}"
            assert (SOURCES / included).exists()


def test_every_kernel_of_the_list_is_a_file_of_its_name():
    listed = re.findall(r"^    X\((\w+),", (SOURCES / "kernels.hpp").read_text(), re.MULTILINE)
    files = {path.stem for path in SOURCES.glob("*/*.cpp")}
    together = dict.fromkeys(["residual_weights", "residual_mean"], "residual")
    together |= dict.fromkeys(["group_answers", "sort_answers", "spread_answers"], "order_answers")
    for name in listed:
        if name != "force_path":  # for tests; in line.cpp
            assert together.get(name, name) in files, name
