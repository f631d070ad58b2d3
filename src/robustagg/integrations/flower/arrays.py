"""Flower's arrays, which are NumPy files in bytes, read where they are."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def in_place(data: bytes, kind: str) -> np.ndarray[Any, Any]:
    """The array of a .npy file, read-only; raises where the bytes are none. Copies nothing, executes nothing."""
    if kind != "numpy.ndarray":
        raise TypeError(f"an array of kind {kind!r}, not 'numpy.ndarray'")
    file = BytesIO(data)
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"an array in version {version} of NumPy's format")
    shape, fortran, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("an array of pickled objects, which are never loaded")
    array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, data, file.tell(), order="F" if fortran else "C")
    return np.require(array, requirements="A")
