"""The CUDA backend's bodies on this processor: compiled as plain C++, launched by the same Python as on a device."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

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


DISPATCHED = {
    np.clip,
    np.concatenate,
    np.diagonal,
    np.empty_like,
    np.flatnonzero,
    np.stack,
    np.where,
}
"""Functions of NumPy's that CuPy takes over, with these arguments: those that are asked for."""
NAMES = {"all", "any", "astype", "copy", "dtype", "flags", "itemsize", "nbytes", "ndim", "reshape", "shape", "size"}
NAMES |= {"sum", "tolist", "view"}


class There(NDArrayOperatorsMixin):
    """An array in the machine's memory: as CuPy's are, it has NumPy's names and mixes with none of NumPy's."""

    def __init__(self, shape: Any, dtype: Any = float, buffer: Any = None) -> None:
        self._values = np.ndarray(shape, dtype, buffer)

    @classmethod
    def of(cls, values: Any) -> Any:
        """An array there in the same memory; what is none passes unchanged."""
        if isinstance(values, tuple):
            return tuple(map(cls.of, values))
        if not isinstance(values, (np.ndarray, np.generic)):
            return values
        made = cls.__new__(cls)
        made._values = np.asarray(values)
        return made

    @property
    def device(self) -> Any:
        return nullcontext()

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._values.ctypes.data)

    def get(self) -> Any:
        """A copy at the host."""
        return np.array(self._values)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("an array of the machine is not copied to the host in silence")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: tuple[Any, ...] = (), **told: Any) -> Any:
        if out:
            told["out"] = tuple(map(_own, out))
        return There.of(getattr(ufunc, method)(*map(_own, inputs), **told))

    def __array_function__(self, function: Any, types: Any, arguments: Any, told: Any) -> Any:
        if function not in DISPATCHED:
            raise TypeError(f"does CuPy have {function.__name__}? Then it belongs to the list")
        return There.of(function(*map(_own, arguments), **{name: _own(value) for name, value in told.items()}))

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(f"do CuPy's arrays have {name}? Then it belongs to the list")
        found = getattr(self._values, name)
        if not callable(found):
            return There.of(found) if isinstance(found, np.ndarray) else found
        return lambda *given, **told: There.of(found(*map(_own, given), **told))

    def __getitem__(self, key: Any) -> Any:
        return There.of(self._values[_own(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_own(key)] = _own(value)

    def __len__(self) -> int:
        return len(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __dlpack__(self, **told: Any) -> Any:
        return self._values.__dlpack__(**told)

    def __dlpack_device__(self) -> Any:
        return 2, 0


def _own(value: Any) -> Any:
    """What lies behind an array of the machine; one of the host's among them is refused, as CuPy does."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_own, value))
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value._values if isinstance(value, There) else value


class Host:
    """A machine whose memory is the host's; `resident`: it says that all arrays are its own."""

    def __init__(self, resident: bool) -> None:
        self._resident = resident
        self.arrays: Any = np
        if not resident:
            self.arrays = SimpleNamespace(
                empty=lambda *told: There.of(np.empty(*told)), zeros=lambda *told: There.of(np.zeros(*told))
            )

    def holds(self, array: Any) -> bool:
        return self._resident or isinstance(array, There)

    def bring(self, array: Any) -> Any:
        values = np.require(_bare(array), requirements=["A", "C"])
        return values if self._resident else There.of(values)

    def send(self, rows: Any) -> Sent:
        return Sent(list(map(self.bring, rows)), lambda: None)

    def home(self, array: Any) -> Any:
        return np.asarray(_bare(array))

    def blank(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype)

    def fetch(self, array: Any, to: Any) -> None:
        to[...] = _bare(array)

    def settle(self) -> None:
        pass

    def address(self, array: Any) -> int:
        assert self.holds(array)
        return _bare(array).ctypes.data

    def launch(self, text: str, kernel: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        function = library(text)[kernel]
        function.restype = None
        function(*map(self._given, arguments))

    def _given(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            return TYPES[type(value)](value.item())
        return ctypes.c_void_p(self.address(value))


def _bare(array: Any) -> Any:
    return array._values if isinstance(array, There) else array


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
