"""The safetensors format: eight bytes of length, a JSON header, the tensors' bytes.

Read and written here rather than by the safetensors package, which maps files into memory.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, BinaryIO

from robustagg import errors
from robustagg.files import float8
from robustagg.files.storage import Readable
from robustagg.files.tensors import PLAIN, Contents, Model, Tensor, checked, in_order
from robustagg.kernels.interface import Array

NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
METADATA = "__metadata__"
DEPTH = 16  # brackets inside brackets: two would do
QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
CODES = {name: code for code, name in NAMES.items()}


def contents(file: Readable, limit: int) -> Contents:
    """What the header says, once it is known to agree with the file's length; beyond `limit` bytes it is refused."""
    with file.open() as handle:
        length = int.from_bytes(handle.read(0, 8), "little")
        if length > file.size - 8:
            raise errors.header_beyond_end(length, file.size)
        if length > limit:
            raise errors.header_too_long(length, limit)
        text = handle.read(8, length)
    header = parsed(text)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise errors.damaged_header(f"{METADATA} is not an object of text")
    found = [_entry(name, entry) for name, entry in header.items()]
    _check_cover(found, file.size - 8 - length)
    swapped = sys.byteorder == "big"
    return in_order([(tensor, (PLAIN, swapped, 8 + length + begin, 0, 0, 0)) for tensor, begin in found], metadata)


def parsed(text: bytes) -> dict[str, Any]:
    """A JSON object of a stranger's; raises where it is none, or nested deeper than any honest one."""
    brackets = QUOTED.sub(b"", text).translate(None, NO_BRACKETS)
    for _ in range(DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise errors.damaged_header("brackets that do not match, or are nested too deep")
    try:
        found = json.loads(str(text, "utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as fault:
        raise errors.damaged_header(fault) from None
    if not isinstance(found, dict):
        raise errors.damaged_header("not an object")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for name, value in pairs:
        if name in unique:
            raise errors.duplicate_tensor(name)
        unique[name] = value
    return unique


def _entry(name: str, entry: Any) -> tuple[Tensor, int]:
    """A tensor and the first of its bytes, counted from the header's end."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise errors.damaged_header(f"no dtype, shape and data_offsets for {errors.shown(name)}")
    tensor = checked(name, NAMES.get(str(entry["dtype"]), str(entry["dtype"])), entry["shape"])
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(k) is int for k in offsets):
        raise errors.damaged_header(f"bad data_offsets of {errors.shown(name)}")
    if offsets[1] - offsets[0] != tensor.packed:
        raise errors.lying_size(name, tensor.packed, offsets[1] - offsets[0])
    return tensor, offsets[0]


def _check_cover(found: list[tuple[Tensor, int]], size: int) -> None:
    """The tensors must fill the data: no overlap, no gap, nothing beyond the end."""
    end = 0
    for tensor, begin in sorted(found, key=lambda pair: (pair[1], pair[0].packed)):
        if begin != end:
            raise errors.misplaced_tensor(tensor.name, begin, end)
        end += tensor.packed
    if end != size:
        raise errors.lying_total(end, size)


class Writer:
    """Writes tensors, piece by piece in any order."""

    keeps_order = False
    has_places = True

    def __init__(self, file: BinaryIO, model: Model) -> None:
        self._file, tensors = file, model.tensors
        self._tensors = tensors
        self._offsets, end = [0] * len(tensors), 0
        # widest dtype first, as the format's own library does, so that every tensor is aligned
        for k in sorted(model.listed, key=lambda k: -tensors[k].width):
            self._offsets[k] = end
            end += tensors[k].packed
        header: dict[str, Any] = {METADATA: dict(model.metadata)} if model.metadata else {}
        for k in model.listed:
            header[tensors[k].name] = {
                "dtype": CODES[tensors[k].dtype],
                "shape": tensors[k].shape,
                "data_offsets": (self._offsets[k], self._offsets[k] + tensors[k].packed),
            }
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        self._header = len(text).to_bytes(8, "little") + text

    def begin(self) -> None:
        self._file.write(self._header)

    def write(self, k: int, start: int, values: Array) -> None:
        tensor = self._tensors[k]
        values = float8.encoded(values, tensor.dtype) if tensor.dtype in float8.TABLES else values
        self._file.seek(len(self._header) + self._offsets[k] + start * tensor.width)
        self._file.write(values.astype(values.dtype.newbyteorder("<"), copy=False).data)

    def close(self) -> None:
        pass
