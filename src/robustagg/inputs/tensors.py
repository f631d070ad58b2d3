"""One tensor of any framework as an array in host memory, and the way back."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from robustagg import errors
from robustagg.inputs.devices import check_memory, on_device, other_adapted, torch_adapted, torch_kinds
from robustagg.kernels.interface import Array
from robustagg.names import labelled
from robustagg.protocol import Client

Path: TypeAlias = tuple[Any, ...]
Wrap: TypeAlias = Callable[[Array], Any]

FLOATING = ("float16", "bfloat16", "float32", "float64")
NATIVE_FLOATS = {np.dtype(name): name for name in ("float16", "float32", "float64")}
NARROW = ("float8_", "float6_", "float4_")  # computed in float32
NIBBLES = {"int2": np.int8, "int4": np.int8, "uint2": np.uint8, "uint4": np.uint8}


class Host(NamedTuple):
    """A tensor in host memory."""

    values: Array
    """In a dtype of rows, or of integers: native byte order, any strides."""
    dtype: str
    """As its sender knows it."""
    wrap: Wrap
    """From an array of the values' dtype, of any shape, to a tensor of the sender's kind and dtype."""

    @property
    def floating(self) -> bool:
        return self.values.dtype.kind == "f" or self.dtype == "bfloat16"


def is_tensor(value: Any) -> bool:
    try:
        return hasattr(value, "shape") and hasattr(value, "dtype")
    except Exception:  # torch's nested and uninitialised tensors, asked for their shape
        return True


def is_numbers(value: Any) -> bool:
    return type(value) in (list, tuple) and all(type(v) in (int, float) for v in value) and bool(value)


def holds_numbers(value: Any) -> bool:
    """Whether a leaf of a tree is a tensor of some kind; all others are constants, on which the clients must agree."""
    if isinstance(value, (np.str_, np.bytes_, str, bytes, bytearray)):
        return False
    if isinstance(value, (float, array, memoryview)) or is_numbers(value):
        return True
    return any(hasattr(value, name) for name in ("__array__", "__dlpack__")) or is_tensor(value)


def host_of(client: Client, path: Path, tensor: Any) -> Host:
    """A tensor in host memory; raises, naming client and place, where it is none that could be aggregated."""
    try:
        host, wrap, name = _adapt(tensor)
    except errors.Unreadable as fault:
        raise errors.unusable_tensor(client, path, fault) from None
    except (MemoryError, RecursionError, errors.BackendUnavailable):
        raise
    except Exception as fault:  # whatever a framework says of a tensor without values
        raise errors.not_a_tensor(client, path, tensor, fault) from None
    if host.ndim == 0 and not path:
        raise errors.not_flat(host.shape, client)
    native = NATIVE_FLOATS.get(host.dtype)
    if native:
        return Host(host, name or native, wrap)
    name = name or host.dtype.name
    if name == "bfloat16":
        return Host(host.view(np.uint16), name, wrap)
    if name in FLOATING or host.dtype.kind in "biu":
        return Host(host.astype(host.dtype.newbyteorder("="), copy=False), name, wrap)
    if name.startswith(NARROW):
        return Host(host.astype(np.float32), name, wrap)
    if name in NIBBLES:
        return Host(host.astype(NIBBLES[name]), name, wrap)
    raise errors.wrong_dtype(client, path, name)


def numbers(values: Array, dtype: str) -> Array:
    """Values of a dtype of rows as numbers that can be compared."""
    return (values.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else values


def stored(values: Array, dtype: str) -> Array:
    """Numbers as they were before :func:`numbers`."""
    return (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values


def _adapt(tensor: Any) -> tuple[Array, Wrap, str]:
    """Host array, the way from an array of its shape to a tensor like this one, and its dtype where NumPy has none."""
    if isinstance(tensor, np.ndarray):
        if isinstance(tensor, np.ma.MaskedArray) and np.ma.is_masked(tensor):
            raise errors.masked(int(np.ma.getmaskarray(tensor).sum()))
        return np.asarray(tensor), numpy_wrap(tensor.dtype), ""
    torch = sys.modules.get("torch")  # a torch tensor cannot exist before torch is imported
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _adapt_torch(torch, tensor)
    there = other_adapted(tensor)
    if there is not None:
        values, back = there
        return *_either(values, back, lambda host: back(sys.modules["cupy"].asarray(host))), ""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(tensor, cupy.ndarray):
        return _adapt_cupy(cupy, tensor)
    if isinstance(tensor, float):
        return np.asarray(tensor, np.float64), _number(tensor), ""
    if is_numbers(tensor):
        return np.asarray(tensor, np.float64), lambda values: values, ""
    if hasattr(tensor, "columns") or labelled(tensor):
        raise errors.is_frame(tensor)
    if "sparse" in type(tensor).__module__:
        raise errors.has_no_values("a sparse array", "its toarray()")
    if hasattr(tensor, "__array__"):
        host = np.asarray(tensor)
    elif hasattr(tensor, "__dlpack__"):
        host = np.from_dlpack(tensor)
    elif hasattr(tensor, "__cuda_array_interface__"):
        return _adapt_interface(tensor)
    else:
        host = np.asarray(memoryview(tensor))
    return host, lambda values: _like(tensor, _sent(values, host.dtype)), ""


def _either(values: Array, back: Wrap, wrap: Wrap) -> tuple[Array, Wrap]:
    """An array on a device, and the way back of results there, or at the host, as those of buffers are."""
    return values, lambda result: back(result) if on_device(result) else wrap(result)


def _number(sent: float) -> Wrap:
    return lambda values: float(values) if type(sent) is float else type(sent)(values)


def numpy_wrap(dtype: np.dtype[Any]) -> Wrap:
    return _itself if dtype in NATIVE_FLOATS else lambda values: _sent(values, dtype)


def _itself(values: Array) -> Array:
    return values


def _sent(values: Array, dtype: np.dtype[Any]) -> Array:
    """Values of a dtype of rows in that which they were sent in, in native byte order."""
    if dtype.name == "bfloat16":
        return values.view(dtype)
    if dtype.name.startswith(NARROW):
        import ml_dtypes  # where the dtype comes from

        limits: Any = ml_dtypes.finfo
        greatest = float(limits(dtype).max)
        values = np.where(np.isinf(values), values, np.clip(values, -greatest, greatest))
    return values.astype(dtype.newbyteorder("="), copy=False)


# --- torch ----------------------------------------------------------------------------------------------------------


class _Lent:
    """A torch tensor's memory as NumPy takes it; ``Tensor.numpy()`` would forbid its owner to resize it."""

    def __init__(self, tensor: Any, dtype: np.dtype[Any]) -> None:
        self._tensor = tensor
        steps = None if tensor.is_contiguous() else tuple(step * dtype.itemsize for step in tensor.stride())
        self.__array_interface__ = {
            "data": (tensor.data_ptr(), True),
            "shape": tuple(tensor.shape),
            "strides": steps,
            "typestr": dtype.str,
            "version": 3,
        }


def lent(tensor: Any, dtype: np.dtype[Any]) -> Array:
    """A torch tensor's memory, the host's, as an array."""
    return np.asarray(_Lent(tensor, dtype)) if tensor.numel() else np.empty(tuple(tensor.shape), dtype)


def _adapt_torch(torch: Any, tensor: Any) -> tuple[Array, Wrap, str]:
    dtype = tensor.dtype
    _check_torch(torch, tensor)
    device, name = tensor.device, str(dtype).removeprefix("torch.")

    def wrap(values: Array) -> Any:
        if name == "bfloat16":
            return torch.from_numpy(values.view(np.int16)).view(dtype).to(device)
        result = torch.from_numpy(values)
        if name.startswith(NARROW):
            greatest = torch.finfo(dtype).max
            result = torch.where(result.isinf(), result, result.clamp(-greatest, greatest))
        return result.to(device, dtype)

    plain = tensor.detach().resolve_conj().resolve_neg()
    there = torch_adapted(torch, plain)
    if there is not None:
        return *_either(*there, wrap), name
    if name.startswith(NARROW):
        plain = plain.to(torch.float32)
    return _torch_values(torch, plain.cpu()), wrap, name


def _torch_values(torch: Any, tensor: Any) -> Array:
    """A tensor of the CPU without a copy, read-only; bfloat16 as its bits."""
    name = str(tensor.dtype).removeprefix("torch.")
    dtype = np.dtype(np.uint16 if name == "bfloat16" else name)
    if type(tensor) not in torch_kinds(torch):  # whatever it does instead of having memory
        tensor = tensor.clone()
        return np.asarray((tensor.view(torch.int16) if name == "bfloat16" else tensor).numpy(force=True)).view(dtype)
    check_memory(tensor)
    return lent(tensor, dtype)


def _check_torch(torch: Any, tensor: Any) -> None:
    if tensor.is_nested:
        raise errors.has_no_values("a nested tensor", "its unbind()")
    if tensor.is_quantized:
        raise errors.has_no_values(f"a quantised tensor ({tensor.dtype})", "its dequantize()")
    if tensor.layout != torch.strided:
        kind = "a sparse tensor" if "sparse" in str(tensor.layout) else "a tensor"
        raise errors.has_no_values(f"{kind} ({tensor.layout})", "its to_dense()")
    if tensor.is_meta:
        raise errors.has_no_values("a meta tensor, which has no values", "one with values")


def _adapt_interface(tensor: Any) -> tuple[Array, Wrap, str]:
    """What says where on a device it is, and no more."""
    import cupy

    return _adapt_cupy(cupy, cupy.asarray(tensor))


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
