"""Fixtures that every test may use: the backends that can be loaded here, each in turn."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

from robustagg import kernels


def pytest_report_header() -> str:
    missing = [name for name in kernels.BACKENDS if name not in kernels.available()]
    return f"robustagg backends: {', '.join(kernels.available())}" + f"; missing: {', '.join(missing)}" * bool(missing)


@pytest.fixture(params=kernels.available())
def backend(request: pytest.FixtureRequest) -> kernels.Kernels:
    """A backend, as a module."""
    return importlib.import_module(f"robustagg.kernels.{request.param}")


@pytest.fixture
def default_threads() -> Iterator[None]:
    """Whatever a test sets, the next one starts with the default number of threads."""
    yield
    kernels.set_num_threads(None)
