"""A primitive has one name, and the same arguments, in every layer."""

from __future__ import annotations

import ast
import re
from inspect import signature
from pathlib import Path

import pytest

from robustagg import kernels
from robustagg.kernels import interface, interface_truth

ROOT = Path(__file__).parents[2]
MOVED = {
    "home",
    "take",
    "put",
    "join",
    "window",
    "split",
    "stack",
    "widen",
}  # rows as they lie in memory
MADE_OF_OTHERS = {"middle_of_line", "flip", "offset", "sparsify", "digits"}
PORTABLE = {"beta_reputation", "decayed_score"}  # a few numbers per client: compiled once, in detect/reputation.cpp
NOT_PRIMITIVES = {
    "has_openmp",
    "isa",
    "usable_isas",
    "set_isa",
    "force_path",
    "wake_for",
}  # what is compiled, and for tests
OPTIONS = ("Rescale", "Confidence", "Residual")


def primitives(protocol: type) -> dict[str, list[str]]:
    """The names, and those of the arguments, that a protocol asks for."""
    methods = {name: method for name, method in vars(protocol).items() if callable(method) and name[0] != "_"}
    return {name: list(signature(method).parameters)[1:] for name, method in methods.items()}


def compiled() -> set[str]:
    """What C++ does."""
    asked = primitives(interface.Kernels) | primitives(interface_truth.TruthKernels)
    return asked.keys() - MOVED - MADE_OF_OTHERS


def header() -> str:
    return (ROOT / "csrc/kernels.hpp").read_text()


def test_every_backend_has_every_primitive_with_its_arguments(backend):
    asked = primitives(kernels.Kernels)
    assert len(asked) > 20
    assert {name: list(signature(getattr(backend, name)).parameters) for name in asked} == asked


def test_the_list_of_kernels_has_each_once():
    listed = re.findall(r"^    X\((\w+),", header(), re.MULTILINE)
    assert sorted(listed) == sorted((compiled() - PORTABLE) | {"force_path"})


def test_a_device_has_a_body_for_each_that_works_on_rows():
    asked = primitives(interface.Kernels).keys() - MOVED - MADE_OF_OTHERS - PORTABLE - {"narrow", "top_eigenpair"}
    assert {path.stem for path in (ROOT / "csrc/cuda").glob("*.cu")} == asked | {"centre", "digits"}


def test_each_is_bound_once_and_in_the_stub_once():
    bound = [
        name for file in (ROOT / "bindings").glob("*.cpp") for name in re.findall(r'm\.def\("(\w+)"', file.read_text())
    ]
    stub = ast.parse((ROOT / "src/robustagg/kernels/_native.pyi").read_text()).body
    declared = [node.name for node in stub if isinstance(node, ast.FunctionDef)]
    assert sorted(bound) == sorted(declared) == sorted(compiled() | NOT_PRIMITIVES)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_have_the_same_fields_in_every_layer(name):
    """In the interface, in kernels.hpp, and where the binding reads them."""
    fields = list(getattr(interface, name)._fields)
    (body,) = re.findall(rf"^struct {name} {{\n(.*?)^}};", header(), re.MULTILINE | re.DOTALL)
    statements = re.sub(r"//.*| = [^;]+", "", body).split(";")
    declared = [found for each in statements for found in re.findall(r"(\w+)\s*(?:,|$)", each.strip())]
    (reader,) = re.findall(
        rf"struct type_caster<ra::{name}> {{(.*?)^}};",
        (ROOT / "bindings/options.hpp").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    read = re.findall(r'\(given, "(\w+)"\)', reader)
    assert sorted(declared) == sorted(read) == sorted(fields)
