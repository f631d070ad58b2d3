"""The backend in force, of the primitives of truth discovery. See :mod:`robustagg.kernels.interface_truth`."""

from __future__ import annotations

import importlib
from typing import cast

from robustagg import errors
from robustagg.kernels import active_name
from robustagg.kernels.interface_truth import TruthKernels

MODULES = {
    "native": "robustagg.kernels.native_truth",
    "numba": "robustagg.kernels.numba.truth",
    "numpy": "robustagg.kernels.numpy_truth",
}


def active() -> TruthKernels:
    """The module of the backend that :func:`robustagg.kernels.active_name` names; BackendUnavailable if it has none."""
    name = active_name()
    if name not in MODULES:
        raise errors.backend_without(name, "truth discovery", tuple(MODULES))
    return cast(TruthKernels, importlib.import_module(MODULES[name]))
