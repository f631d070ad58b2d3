"""What a client sends: a safetensors file, believed in nothing. What comes out is made of numbers alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

from eitr.model import HEAD, Model, shapes
from eitr.store import Refused

HEADER = 2048  # bytes a header of four tensors may have; an honest one has about 250


def expected(features: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an update: the head's tensors."""
    return {name: shape for name, shape in shapes(features, classes).items() if name in HEAD}


def largest(layout: Mapping[str, tuple[int, ...]]) -> int:
    """Bytes an update may have."""
    return 8 + HEADER + _values(layout) * 4


def parse(data: bytes, layout: Mapping[str, tuple[int, ...]]) -> Model:
    """The tensors of an update, exactly those of `layout`, float32 and finite; Refused otherwise."""
    header, body = _split(data)
    if header.keys() != layout.keys():
        raise Refused(422, f"tensors must be {sorted(layout)}")
    update, covered = {}, []
    for name, shape in layout.items():
        start, end = _place(name, header[name], shape)
        if end > len(body):
            raise Refused(422, f"{name} ends after the file does")
        covered.append((start, end))
        update[name] = np.frombuffer(body[start:end], "<f4").reshape(shape).astype(np.float32)
    covered.sort()
    joints = [0, *(end for _, end in covered)]
    if [start for start, _ in covered] != joints[:-1] or joints[-1] != len(body):
        raise Refused(422, "the tensors do not cover the file exactly once")
    for name, array in update.items():
        if not np.isfinite(array).all():
            raise Refused(422, f"{name} holds a NaN or an infinity")
    return update


def canonical(update: Model) -> tuple[bytes, bytes]:
    """The file that is kept, and its digest: the same numbers are the same update, however they were written."""
    data = save({name: update[name] for name in sorted(update)})
    return data, hashlib.sha256(data).digest()


def _values(layout: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in layout.values())


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) < 8:
        raise Refused(422, "this is no safetensors file")
    length = int.from_bytes(data[:8], "little")
    if length > HEADER or 8 + length > len(data):
        raise Refused(422, "the header's length is a lie")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Refused(422, "the header is no JSON") from None
    if not isinstance(header, dict):
        raise Refused(422, "the header is no object")
    return header, data[8 + length :]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) != len(dict(pairs)):
        raise ValueError("a name twice")
    return dict(pairs)


def _place(name: str, entry: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """First and last byte of a tensor whose description is just as it must be."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Refused(422, f"{name} is not described as a tensor")
    if entry["dtype"] != "F32":
        raise Refused(422, f"{name} must be F32")
    if not _same(entry["shape"], list(shape)):
        raise Refused(422, f"{name} must have the shape {list(shape)}")
    offsets = entry["data_offsets"]
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets)):
        raise Refused(422, f"{name} has no place")
    start, end = offsets
    if start < 0 or end - start != math.prod(shape) * 4:
        raise Refused(422, f"{name} has the wrong length")
    return start, end


def _same(given: Any, wanted: list[int]) -> bool:
    return isinstance(given, list) and given == wanted and all(type(size) is int for size in given)
