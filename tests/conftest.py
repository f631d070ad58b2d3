"""Fixtures that every test may use: the backends that can be loaded here, each in turn."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator

import cuda_host
import pytest

from robustagg import kernels

USUAL_SHARE = 1e5  # nanoseconds, see csrc/base/parallel.cpp
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
    """However small the work, threads do it; and whatever a test sets, the next one starts with their usual number."""
    if "native" in kernels.available():
        importlib.import_module("robustagg.kernels.native")._native.wake_for(0)
    yield
    kernels.set_num_threads(None)
    if "native" in kernels.available():
        importlib.import_module("robustagg.kernels.native")._native.wake_for(USUAL_SHARE)
