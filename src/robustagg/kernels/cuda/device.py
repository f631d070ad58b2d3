"""The device, by way of CuPy: its arrays have NumPy's names, its RawModule loads what was compiled.

CuPy rather than cuda-core: arrays, streams, pinned memory and DLPack are there as well, of which the others have parts.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import cupy
import cupyx
import numpy as np

from robustagg.kernels.cuda import compiler
from robustagg.kernels.cuda.blocks import Sent
from robustagg.kernels.interface import Array, Rows


class Device:
    """CUDA's current device. ImportError where there is none."""

    arrays = cupy

    def __init__(self) -> None:
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as cause:
            raise ImportError(f"CUDA finds no device ({cause})") from cause
        if not count:
            raise ImportError("CUDA finds no device")

    @property
    def name(self) -> str:
        """Of the device, with its memory."""
        found = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
        return f"{found['name'].decode()}, {found['totalGlobalMem'] / 2**30:.0f} GiB"

    def holds(self, array: Any) -> bool:
        return isinstance(array, cupy.ndarray)

    def bring(self, array: Any) -> Any:
        return cupy.ascontiguousarray(cupy.asarray(array))

    def send(self, rows: Rows) -> Sent:
        copies = _copies(cupy.cuda.runtime.getDevice())
        with copies:  # from pinned memory a copy goes on by itself; what is pageable is copied before it returns
            there = []
            for row in map(np.ascontiguousarray, rows):
                there.append(cupy.empty(row.shape, row.dtype))
                there[-1].set(row, stream=copies)
        ready = copies.record()
        return Sent(there, lambda: cupy.cuda.get_current_stream().wait_event(ready))

    def home(self, array: Any) -> Array:
        return np.asarray(cupy.asnumpy(array))

    def blank(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.asarray(cupyx.empty_pinned(shape, dtype))

    def fetch(self, array: Any, to: Array) -> None:
        if array.ndim > 1:
            for piece, whole in zip(array, to, strict=True):
                self.fetch(piece, whole)
        elif array.size:
            array.get(out=to, blocking=False)

    def settle(self) -> None:
        cupy.cuda.get_current_stream().synchronize()

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def launch(self, text: str, kernel: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        _function(text, kernel)((blocks,), (threads,), arguments)


@cache
def _copies(device: int) -> Any:
    """The stream of a device, the current one, on which rows are brought there."""
    return cupy.cuda.Stream(non_blocking=True)


@lru_cache(maxsize=1024)
def _function(text: str, kernel: str) -> Any:
    capability = int(cupy.cuda.Device().compute_capability)
    return cupy.RawModule(path=str(compiler.file_of(text, capability))).get_function(kernel)
