"""One tensor of any framework as an array in host memory, and the way back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array
from robustagg.protocol import Client

Path: TypeAlias = tuple[Any, ...]
Wrap: TypeAlias = Callable[[Array], Any]

FLOATING = ("float16", "bfloat16", "float32", "float64")
NATIVE_FLOATS = frozenset(map(np.dtype, ("float16", "float32", "float64")))


def is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def is_numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(type(v) in (int, float) for v in value) and bool(value)


def dtype_name(row: Array) -> str:
    """Name of a row's dtype as its sender knows it."""
    return "bfloat16" if row.dtype == np.uint16 else row.dtype.name


def host_of(client: Client, path: Path, tensor: Any) -> tuple[Array, Wrap]:
    """A tensor in host memory and a dtype of rows (integers as int64), and the way back."""
    try:
        host, wrap, name = _adapt(tensor)
    except (TypeError, ValueError, BufferError):
        raise errors.not_a_tensor(client, path, tensor) from None
    if host.ndim == 0 and not path:
        raise errors.not_flat(host.shape, client)
    if host.dtype in NATIVE_FLOATS:
        return host, wrap
    name = name or host.dtype.name
    if name == "bfloat16":
        return host.view(np.uint16), wrap
    if name in FLOATING:
        return host.astype(host.dtype.newbyteorder("=")), wrap
    if host.dtype.kind in "biu":
        return host.astype(np.int64), wrap
    raise errors.wrong_dtype(client, path, name)


def _adapt(tensor: Any) -> tuple[Array, Wrap, str]:
    """Host array, the way from an array of its shape to a tensor like this one, and its dtype where NumPy has none."""
    if isinstance(tensor, np.ndarray):
        return tensor, numpy_wrap(tensor.dtype), ""
    torch = sys.modules.get("torch")  # a torch tensor cannot exist before torch is imported
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _adapt_torch(torch, tensor)
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(tensor, cupy.ndarray):
        return _adapt_cupy(cupy, tensor)
    if is_numbers(tensor):
        return np.asarray(tensor, np.float64), lambda values: values, ""
    if hasattr(tensor, "__array__"):
        host = np.asarray(tensor)
    elif hasattr(tensor, "__dlpack__"):
        host = np.from_dlpack(tensor)
    else:
        host = np.asarray(memoryview(tensor))
    return host, lambda values: _like(tensor, _sent(values, host.dtype)), ""


def numpy_wrap(dtype: np.dtype[Any]) -> Wrap:
    return lambda values: _sent(values, dtype)


def _sent(values: Array, dtype: np.dtype[Any]) -> Array:
    """Values of a dtype of rows in that which they were sent in."""
    return values.view(dtype) if values.dtype == np.uint16 else values.astype(dtype, copy=False)


def _adapt_torch(torch: Any, tensor: Any) -> tuple[Array, Wrap, str]:
    device, dtype = tensor.device, tensor.dtype

    def wrap(values: Array) -> Any:
        if values.dtype == np.uint16:
            return torch.from_numpy(values.view(np.int16)).view(dtype).to(device)
        return torch.from_numpy(values).to(device, dtype)

    if dtype == torch.bfloat16:
        return tensor.detach().view(torch.int16).numpy(force=True), wrap, "bfloat16"
    return tensor.numpy(force=True), wrap, ""


def _adapt_cupy(cupy: Any, tensor: Any) -> tuple[Array, Wrap, str]:
    """CuPy copies nothing from the device unless it is told to, and has no array namespace."""

    def wrap(values: Array) -> Any:
        with tensor.device:
            return cupy.asarray(_sent(values, tensor.dtype))

    return tensor.get(), wrap, ""


def _like(tensor: Any, host: Array) -> Any:
    """A host array as the kind of `tensor` (the array API standard's `asarray`), where it has one."""
    if not hasattr(tensor, "__array_namespace__"):
        return host
    return tensor.__array_namespace__().asarray(host, device=tensor.device)
