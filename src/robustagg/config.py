"""What is installed and in force here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from typing import Any

from robustagg import errors, kernels

__version__ = importlib.metadata.version("robustagg")

OPTIONAL = ("numba", "safetensors", "torch", "sklearn", "matplotlib", "rich", "typer", "pandas", "pyarrow", "scipy")


def config() -> dict[str, Any]:
    """Version, backends, instruction set, threads and optional packages, ready for :func:`json.dumps`.

    Loads every backend to see whether it can be loaded.
    """
    return {
        "robustagg": __version__,
        "backend": kernels.active_name(),
        "backends": {name: _backend(name) for name in kernels.BACKENDS},
        "threads": kernels.num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _package(name) for name in ("numpy", *OPTIONAL)},
    }


def show_config() -> None:
    """Print what is installed and in force here."""
    for name, value in config().items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, detail in value.items():
                print(f"  {key:<12} {detail or 'not installed'}")
        else:
            print(f"{name + ':':<14} {value}")


def _backend(name: str) -> str:
    try:
        with kernels.use_backend(name):
            pass
    except errors.BackendUnavailable as why:
        return str(why)
    if name == "cuda":
        return f"available ({sys.modules[kernels.BACKENDS[name]].device.name})"
    if name != "native":
        return "available"
    native = sys.modules["robustagg.kernels._native"]
    return f"available ({native.isa()}, {'OpenMP' if native.has_openmp() else 'one thread'}, {native.compiler})"


def _package(name: str) -> str | None:
    if importlib.util.find_spec(name) is None:
        return None
    return importlib.metadata.version({"sklearn": "scikit-learn"}.get(name, name))
