"""A rule's state as plain values, for JSON and for loaders that execute nothing, and the state files of version 0.1."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array
from robustagg.memory.vectors import PIECE, Disk, Stored, Vector
from robustagg.names import Client

FAULTS = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OverflowError, RecursionError),
    *(MemoryError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
)
"""What reading a stranger's state may raise."""

PACKED = frozenset({"dtype", "shape", "base64"})
KINDS = ("<f2", "<f4", "<f8", "<i8")

# --- plain values ---------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The value as numbers, texts, lists and mappings with text keys; arrays and vectors by their bytes."""
    if isinstance(value, (np.ndarray, Stored)):
        array = np.asarray(value[:] if isinstance(value, Stored) else value)
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        text = base64.b64encode(little.tobytes()).decode()
        return {"dtype": little.dtype.str, "shape": list(array.shape), "base64": text}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def restored(value: Any) -> Any:
    """What :func:`plain` was given, lists for tuples; ValueError where an array is damaged."""
    if isinstance(value, Mapping):
        if value.keys() == PACKED:
            return _array(value)
        return {key: restored(item) for key, item in value.items()}
    return [restored(item) for item in value] if isinstance(value, list) else value


def _array(packed: Mapping[str, Any]) -> Array:
    if packed["dtype"] not in KINDS:
        raise errors.no_vector(packed["dtype"])
    data = base64.b64decode(packed["base64"], validate=True)
    array: Array = np.frombuffer(bytearray(data), np.dtype(packed["dtype"])).reshape(packed["shape"])
    return array


def pairs(vectors: Mapping[Client, Vector]) -> list[Any]:
    """Vectors by name as plain values, in an order of their own: a mapping's keys would become texts."""
    named = sorted(vectors, key=lambda name: (isinstance(name, str), name))
    return [[name, plain(vectors[name])] for name in named]


def vectors_of(state: Mapping[str, Any]) -> dict[Client, Vector]:
    """The vectors of a state: pairs, or a mapping as in version 0.1."""
    found = state.get("vectors", {})
    items = found.items() if isinstance(found, Mapping) else [(name, restored(vector)) for name, vector in found]
    return {checked_name(name): _checked_vector(vector) for name, vector in items}


def checked_name(name: Any) -> Client:
    """A client's id, or a vector's name; TypeError if it is none."""
    if isinstance(name, bool) or not isinstance(name, (int, str)):
        raise errors.bad_client_id(name)
    return name


def _checked_vector(vector: Any) -> Vector:
    """What is in a file stays there, what is in memory is copied."""
    if isinstance(vector, Stored):
        return vector
    array = np.array(vector)
    if array.ndim != 1 or array.dtype.kind != "f":
        raise errors.no_vector(f"{array.dtype} {array.shape}")
    return array


# --- the files of version 0.1 ---------------------------------------------------------------------------------------

STATE = "state"  # the archive's member with the JSON text
# marks of what JSON cannot say: an array, a vector that was on disk, a mapping whose keys are not all text
ARRAY, VECTOR, PAIRS = "#array", "#vector", "#pairs"
MAGIC = b"PK"
MEMBERS = 2**20  # in an archive at most
TEXT = 2**26  # bytes of a state's text at most
# What NumPy has written before an array's values. Its own reader takes the text for a Python expression.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(\S{3})', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \} *\n", re.S
)
LONGEST = 200  # bytes of such a header


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file can only be a state of version 0.1."""
    with Path(path).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state that version 0.1 has saved; vectors that were on disk are copied to a file without a name."""
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            _check_sizes(archive, os.fstat(file.fileno()).st_size)
            text = archive.read(f"{STATE}.npy").partition(b"\n")[2]
            state = _unmarked(json.loads(text), _Members(archive, Path(path)))
    except FAULTS as fault:
        raise errors.damaged_ledger(path, fault) from fault
    if not isinstance(state, dict) or not {"rule", "parameters", "round"} <= state.keys():
        raise errors.damaged_ledger(path, "it names no rule")
    return state


def _check_sizes(archive: zipfile.ZipFile, size: int) -> None:
    """Nothing is compressed, so that a small file cannot become a large state, or lies outside."""
    members = archive.infolist()
    if not all(0 <= m.header_offset < size for m in members):
        raise errors.bad_archive("members begin outside the file")
    if len(members) > MEMBERS or any(m.compress_type != zipfile.ZIP_STORED for m in members):
        raise errors.bad_archive("members are compressed, or too many")
    if sum(m.file_size for m in members) > size or any(m.file_size != m.compress_size for m in members):
        raise errors.bad_archive("members are larger than the file")
    if archive.getinfo(f"{STATE}.npy").file_size > TEXT:
        raise errors.bad_archive(f"a text of more than {TEXT} bytes")


class _Members:
    """The arrays of an archive, each read once."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._names, self._path = archive, set(archive.namelist()), path
        self._disk: Disk | None = None
        self._end = 0

    def vector(self, name: str, on_disk: bool) -> Vector:
        """A member's values."""
        self._names.remove(member := f"{name}.npy")
        info = self._archive.getinfo(member)
        with self._archive.open(info) as file:
            header = HEADER.match(file.read(LONGEST))
            if header is None or header[1].decode() not in KINDS:
                raise errors.no_vector(member)
            dtype, shape = np.dtype(header[1].decode()), [int(k) for k in header[2].replace(b",", b" ").split()]
            if header.end() + math.prod(shape) * dtype.itemsize != info.file_size:
                raise errors.no_vector(member)
            file.seek(header.end())
            if on_disk and len(shape) == 1:
                return self._kept(file.read, shape[0], dtype)
            return np.frombuffer(bytearray(file.read()), dtype).reshape(shape)

    def _kept(self, read: Callable[[int], bytes], size: int, dtype: np.dtype[Any]) -> Stored:
        self._disk = self._disk or Disk.nameless(self._path.absolute().parent)
        vector = Stored(self._disk, self._end, size, dtype)
        for start in range(0, size, PIECE):
            vector.write(start, np.frombuffer(read(min(PIECE, size - start) * dtype.itemsize), dtype))
        self._end += size * dtype.itemsize
        read(1)  # at the end the checksum is looked at
        return vector


def _unmarked(value: Any, members: _Members) -> Any:
    if isinstance(value, list):
        return [_unmarked(item, members) for item in value]
    if not isinstance(value, dict):
        return value
    for mark in (ARRAY, VECTOR):
        if mark in value:
            return members.vector(value[mark], mark == VECTOR)
    if PAIRS in value:
        return {key: _unmarked(item, members) for key, item in value[PAIRS]}
    return {key: _unmarked(item, members) for key, item in value.items()}
