"""The examples in the docstrings run, and everything public has a docstring that says what it must."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import robustagg as ra
from robustagg import kernels

MISSING = {
    module + of for name, module in kernels.BACKENDS.items() if name not in kernels.available() for of in ("", "_truth")
}
if any("cuda" in module for module in MISSING):
    MISSING |= {"robustagg.kernels.cuda.device", "robustagg.kernels.cuda.compiler"}
MODULES = [m.name for m in pkgutil.walk_packages(ra.__path__, "robustagg.") if "_native" not in m.name]
MODULES = [name for name in MODULES if name not in MISSING and ".integrations." not in name]  # theirs need hosts
PUBLIC = [name for name in ra.__all__ if callable(getattr(ra, name))]
RULES = [name for name in PUBLIC if inspect.isclass(getattr(ra, name)) and issubclass(getattr(ra, name), ra.Rule)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    text = inspect.getdoc(getattr(ra, name))
    assert text
    if inspect.isfunction(getattr(ra, name)) and inspect.signature(getattr(ra, name)).parameters:
        assert "Parameters\n---" in text


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("Rule", "Pipeline")])
def test_rules_say_where_they_come_from_and_show_an_attacker_ignored(name):
    text = inspect.getdoc(getattr(ra, name))
    for section in ("Notes\n---", "References\n---", "Examples\n---", ">>> "):
        assert section in text
