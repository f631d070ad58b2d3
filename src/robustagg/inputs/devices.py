"""Tensors on a device as CuPy arrays in the same memory, and results there as tensors of their kind again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from robustagg import errors, kernels

FLOATS = ("float16", "float32", "float64")
TORCH = {name: np.dtype(name) for name in FLOATS} | {"bfloat16": np.dtype("uint16")}
ON_DEVICE = (2, 13)  # DLPack's kinds of memory: CUDA's own, and what it shares with the host

Adapted: TypeAlias = tuple[Any, Callable[[Any], Any]]
"""The array, and the way from one of any shape to a tensor of the sender's kind and dtype."""


def on_device(row: Any) -> bool:
    """Whether a row is an array on a device."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(row, cupy.ndarray)


def possible() -> bool:
    """Whether a row can be: none is there before CuPy is imported."""
    return "cupy" in sys.modules


def at_home(rows: Sequence[Any]) -> list[Any]:
    """Rows in the host's memory; what is none passes unchanged."""
    return [moved(row, False) for row in rows]


def moved(row: Any, there: bool) -> Any:
    """A row on the device, or in the host's memory."""
    if on_device(row) == there:
        return row
    return sys.modules["cupy"].asarray(np.asarray(row)) if there else row.get()


def together(rows: Sequence[Any]) -> Sequence[Any]:
    """The rows of a leaf, all of them where the first is, of which its result is like; whoever is left out has None."""
    if len(set(map(type, rows))) == 1:
        return rows
    there = on_device(next(row for row in rows if row is not None))
    return [row if row is None else moved(row, there) for row in rows]


def torch_adapted(torch: Any, tensor: Any) -> Adapted | None:
    """A strided torch tensor of CUDA's, bfloat16 as its bits; None where it is to be copied to the host."""
    name = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_cuda or name not in TORCH or type(tensor) not in torch_kinds(torch) or not kernels.stay():
        return None
    device, dtype, bits, here = tensor.device, tensor.dtype, name == "bfloat16", current()

    def wrap(result: Any) -> Any:
        made = torch.from_dlpack(result.view(np.int16) if bits else result)
        return (made.view(dtype) if bits else made).to(device)

    check_memory(tensor)
    values = tensor.contiguous() if device.index == here else tensor.contiguous().to(torch.device("cuda", here))
    _wait_for(torch, here)
    return shared(values, tuple(values.shape), TORCH[name]), wrap


def torch_kinds(torch: Any) -> tuple[Any, ...]:
    """Tensors that have memory; whatever derives from them may not."""
    return torch.Tensor, torch.nn.Parameter


def check_memory(tensor: Any) -> None:
    """Whether a torch tensor's values are somewhere; raises if not."""
    if tensor.numel() and not tensor.data_ptr():
        raise errors.has_no_values("a tensor whose storage is empty", "one with values")


def current() -> int:
    """The device that CuPy computes on: rows of others are copied there."""
    import cupy

    return int(cupy.cuda.runtime.getDevice())


def _wait_for(torch: Any, device: int) -> None:
    """What CuPy is asked from now on happens after what torch has been asked so far, on its current stream."""
    import cupy

    here, there = cupy.cuda.get_current_stream(), torch.cuda.current_stream(device)
    if there.cuda_stream != here.ptr:
        event = there.record_event()  # which is to be there when it is waited for
        cupy.cuda.runtime.streamWaitEvent(here.ptr, event.cuda_event)


def shared(tensor: Any, shape: Any, dtype: np.dtype[Any]) -> Any:
    """A contiguous torch tensor's memory as CuPy's array: what DLPack does, .1 ms a tensor sooner."""
    import cupy

    memory = cupy.cuda.UnownedMemory(tensor.data_ptr(), tensor.nbytes, tensor, tensor.device.index)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0))


def other_adapted(tensor: Any) -> Adapted | None:
    """An array of CuPy's, or of whoever shares memory by DLPack or ``__cuda_array_interface__``; None as above.

    The last, where they know no DLPack, get results of CuPy's.
    """
    if not _of_cuda(tensor) or str(tensor.dtype) not in FLOATS or not kernels.stay():
        return None
    import cupy

    if isinstance(tensor, cupy.ndarray) or not hasattr(tensor, "__dlpack__"):
        values, wrap = cupy.asarray(tensor), lambda result: result
    else:
        values, wrap = cupy.asarray(cupy.from_dlpack(tensor)), tensor.__array_namespace__().from_dlpack
    return cupy.ascontiguousarray(values).reshape(values.shape), wrap  # a number would have become a vector


def _of_cuda(tensor: Any) -> bool:
    if hasattr(tensor, "__dlpack_device__"):
        return tensor.__dlpack_device__()[0] in ON_DEVICE
    return hasattr(tensor, "__cuda_array_interface__")
