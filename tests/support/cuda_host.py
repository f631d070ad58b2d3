"""The CUDA backend's bodies on this processor: compiled as plain C++, launched by the same Python as on a device."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from robustagg.kernels.cuda.blocks import Sent
from robustagg.kernels.cuda.primitives import Primitives

COMPILER = shutil.which(os.environ.get("CXX", "c++"))
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-x", "c++")
TYPES = {
    np.int32: ctypes.c_int,
    np.int64: ctypes.c_longlong,
    np.float64: ctypes.c_double,
    np.uint64: ctypes.c_void_p,
}


class There(np.ndarray):
    """An array in the machine's memory."""

    __array_priority__ = 1.0  # what is joined of such arrays is one

    def get(self) -> Any:
        """A copy at the host, as CuPy's arrays give one."""
        return np.array(self)


class Host:
    """A machine whose memory is the host's; `resident`: it says that all arrays are its own."""

    arrays = SimpleNamespace(
        empty=lambda shape, dtype: np.empty(shape, dtype).view(There),
        zeros=lambda shape, dtype: np.zeros(shape, dtype).view(There),
    )

    def __init__(self, resident: bool) -> None:
        self._resident = resident

    def holds(self, array: Any) -> bool:
        return self._resident or isinstance(array, There)

    def bring(self, array: Any) -> Any:
        return np.require(array, requirements=["A", "C"]).view(There)

    def send(self, rows: Any) -> Sent:
        return Sent(list(map(self.bring, rows)), lambda: None)

    def home(self, array: Any) -> Any:
        return np.asarray(array)

    def blank(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype)

    def fetch(self, array: Any, to: Any) -> None:
        to[...] = array

    def settle(self) -> None:
        pass

    def address(self, array: Any) -> int:
        assert self.holds(array)
        return array.ctypes.data

    def launch(self, text: str, kernel: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        function = library(text)[kernel]
        function.restype = None
        function(*map(self._given, arguments))

    def _given(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            return TYPES[type(value)](value.item())
        return ctypes.c_void_p(self.address(value))


@cache
def library(text: str) -> ctypes.CDLL:
    """A text compiled, or as it was compiled before."""
    assert COMPILER is not None
    folder = Path(tempfile.gettempdir(), f"robustagg-cuda-host-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / (hashlib.sha256(f"{COMPILER}{FLAGS}{text}".encode()).hexdigest() + ".so")
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=folder) as made:
            subprocess.run([COMPILER, *FLAGS, "-o", made.name, "-"], input=text, text=True, check=True)
            shutil.copy(made.name, path.with_suffix(f".{os.getpid()}"))
        path.with_suffix(f".{os.getpid()}").rename(path)
    return ctypes.CDLL(str(path))


def primitives(resident: bool = False, **options: Any) -> Primitives:
    return Primitives(Host(resident), **options)
