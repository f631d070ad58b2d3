"""A rule's state as a file: an .npz archive of arrays and a JSON text, so that reading one executes nothing."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.memory.vectors import PIECE, Disk, Stored, Vector

STATE = "state"  # the archive's member with the JSON text
# marks of what JSON cannot say: an array, a vector that was on disk, a mapping whose keys are not all text
ARRAY, VECTOR, PAIRS = "#array", "#vector", "#pairs"
LOCAL_HEADER = 30  # bytes of a zip member's own header, without name and extra field


def write(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a state; the file is complete, or as it was before."""
    found: list[Vector] = []
    text = json.dumps(_plain(state, found))
    members = {STATE: np.frombuffer(text.encode(), np.uint8), **{f"{k}": member for k, member in enumerate(found)}}
    partial = Path(f"{os.fspath(path)}.partial")
    try:
        with partial.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name, member in members.items():
                    _add(archive, name, member)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | Path) -> dict[str, Any]:
    """The state that :func:`write` has written."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            disk = Disk(file.fileno(), os.fspath(path))
            state = _restored(json.loads(archive[STATE].tobytes()), archive, disk)
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as fault:
        raise errors.file_is_no_state(path, fault) from fault
    if not isinstance(state, dict) or not {"rule", "parameters"} <= state.keys():
        raise errors.file_is_no_state(path, "it names no rule")
    return state


def _add(archive: zipfile.ZipFile, name: str, values: Vector) -> None:
    """One more member: an array in NumPy's format, a piece at a time."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        if not isinstance(values, Stored):
            np.lib.format.write_array(member, values, allow_pickle=False)
            return
        header = {"descr": values.dtype.str, "fortran_order": False, "shape": (values.size,)}
        np.lib.format.write_array_header_1_0(member, header)
        for start in range(0, values.size, PIECE):
            member.write(values[start : start + PIECE].data)


def _plain(value: Any, found: list[Vector]) -> Any:
    """The value as JSON can say it; its arrays and vectors go to `found`."""
    if isinstance(value, (np.ndarray, Stored)):
        found.append(value)
        return {VECTOR if isinstance(value, Stored) else ARRAY: f"{len(found) - 1}"}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item, found) for key, item in value.items()}
        return {PAIRS: [[key, _plain(item, found)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(item, found) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _restored(value: Any, archive: Any, disk: Disk) -> Any:
    if isinstance(value, list):
        return [_restored(item, archive, disk) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return archive[value[ARRAY]]
    if VECTOR in value:
        return _left_there(archive.zip, f"{value[VECTOR]}.npy", disk)
    if PAIRS in value:
        return {key: _restored(item, archive, disk) for key, item in value[PAIRS]}
    return {key: _restored(item, archive, disk) for key, item in value.items()}


def _left_there(archive: zipfile.ZipFile, name: str, disk: Disk) -> Stored:
    """A vector that stays in the file, once its checksum has been found right."""
    info = archive.getinfo(name)
    with archive.open(info) as member:
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        header = member.tell()
        while member.read(PIECE):
            pass
    plain = dtype.kind == "f" and len(shape) == 1 and info.compress_type == zipfile.ZIP_STORED
    if not plain or header + shape[0] * dtype.itemsize != info.file_size:
        raise errors.no_vector(name)
    local = np.empty(LOCAL_HEADER, np.uint8)
    disk.read_into(info.header_offset, local.data)
    before = info.header_offset + LOCAL_HEADER + int(local[26:30].view("<u2").sum())  # lengths of name and extra field
    return Stored(disk, before + header, shape[0], dtype)
