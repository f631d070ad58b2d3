"""Fixtures that every test may use: the backends that can be loaded here, each in turn."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator

import cuda_host
import pytest

from robustagg import kernels

CUDA_HOST = ("cuda-host", "cuda-resident") if os.environ.get("ROBUSTAGG_CUDA_HOST") else ()
"""The CUDA backend's bodies on this processor, rows coming from the host or being there: minutes of compiling."""


def pytest_report_header() -> str:
    missing = [name for name in kernels.BACKENDS if name not in kernels.available()]
    return f"robustagg backends: {', '.join(kernels.available())}" + f"; missing: {', '.join(missing)}" * bool(missing)


@pytest.fixture(params=[*kernels.available(), *CUDA_HOST])
def backend(request: pytest.FixtureRequest) -> kernels.Kernels:
    """A backend, as a module."""
    if request.param in CUDA_HOST:
        return cuda_host.primitives(resident=request.param == "cuda-resident")
    return importlib.import_module(kernels.BACKENDS[request.param])


@pytest.fixture
def default_threads() -> Iterator[None]:
    """Whatever a test sets, the next one starts with the default number of threads."""
    yield
    kernels.set_num_threads(None)
