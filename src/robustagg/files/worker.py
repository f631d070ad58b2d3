"""The process that reads other libraries' files: ``python worker.py LIBRARY SYS_PATH``, with a socket for its input.

It imports the library once. Every message on the socket comes with two descriptors, of a file and of a pipe; a fork
reads the one, under limits, and writes to the other a "+" and the tensors in the safetensors format, or a "-" and what
is wrong. How it has ended is the answer on the socket: 1 is values that turned out to be damaged. Of this package it
imports nothing.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import resource
import socket
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

SLACK = 2**28  # bytes that a library may need besides the tensors
DEPTH = 16  # containers inside containers, groups inside groups
KERAS = "model.weights.h5"  # a .keras archive's member with the weights
OPTIMIZER = ("optimizer", "optimizer_weights")  # what Keras calls the group of what is no part of the model
CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
SIZES = {code: int("".join(filter(str.isdigit, code.partition("_")[0])) or 8) // 8 for code in CODES.values()}


class Refused(Exception):
    """The file holds something that is no tensor of ours."""


class Entry(NamedTuple):
    """A tensor that is yet to be read."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Any]
    """Its bytes, as something with the buffer protocol."""


def main() -> None:
    library, path = sys.argv[1:]
    sys.path[:] = json.loads(path)
    importlib.import_module(library)
    with socket.socket(fileno=0) as connection:
        connection.sendall(b"ready\n")
        while True:
            message, descriptors, _, _ = socket.recv_fds(connection, 4096, 2)
            if not message:
                return
            source, sink = descriptors
            child = os.fork()
            if not child:
                connection.close()
                _work(json.loads(message), source, sink)
            for descriptor in descriptors:
                os.close(descriptor)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            connection.sendall(f"{status if status >= 0 else f'signal {-status}'}\n".encode())


def _work(task: dict[str, Any], source: int, sink: int) -> None:
    """Read one file, and end."""
    begun = False
    try:
        _confine(task["memory"], task["seconds"])
        entries = _READERS[task["suffix"]](source, task["memory"])
        header = _header(entries, task["memory"])
        begun = True
        _write(sink, b"+" + header)
        for entry in entries.values():
            _write(sink, entry.read())
    except BaseException as fault:
        if begun:
            os._exit(2 if isinstance(fault, MemoryError) else 1)
        with suppress(BaseException):
            text = str(fault) if isinstance(fault, Refused) else f"{type(fault).__name__}: {fault}"
            _write(sink, b"-" + text.splitlines()[0][:300].encode("utf-8", "replace"))
    os._exit(0)


def _confine(memory: int, seconds: int) -> None:
    with suppress(OSError, ValueError):  # no /proc, no such limit
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + 2 * memory + SLACK,) * 2)
    for limit, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


def _header(entries: dict[str, Entry], limit: int) -> bytes:
    described, end = {}, 0
    for name, entry in entries.items():
        if entry.dtype not in CODES:
            raise Refused(f"tensor {name[:80]!r} has dtype {entry.dtype}, which cannot be aggregated")
        size = SIZES[CODES[entry.dtype]]
        for length in entry.shape:
            size *= length
        described[name] = {"dtype": CODES[entry.dtype], "shape": entry.shape, "data_offsets": (end, end + size)}
        end += size
        if end > limit:
            raise Refused(f"its tensors take more than the {limit} bytes that a file of its size may hold")
    text = json.dumps(described).encode()
    return len(text).to_bytes(8, "little") + text


def _write(sink: int, data: Any) -> None:
    view, done = memoryview(data), 0
    if view.nbytes:
        view = view.cast("B")
    while done < view.nbytes:
        done += os.write(sink, view[done : done + 2**20])


# --- PyTorch ----------------------------------------------------------------------------------------------------------


def _torch(source: int, limit: int) -> dict[str, Entry]:
    torch = sys.modules["torch"]
    path, start = f"/dev/fd/{source}", os.pread(source, 4, 0)
    is_archive = start == b"PK\3\4"
    if is_archive:
        _check_archive(source)
    elif start[:1] != b"\x80":
        raise Refused("it begins neither like an archive nor like a pickle of torch.save's")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except pickle.UnpicklingError:  # torch's text advises to load it all the same
        raise Refused("it is damaged or holds more than tensors: save the model's state_dict() alone") from None
    if isinstance(found, (torch.Tensor, list, tuple)):  # the names that NumPy gives to what has none
        found = {f"arr_{k}": value for k, value in enumerate([found] if isinstance(found, torch.Tensor) else found)}
    if not isinstance(found, dict):
        raise Refused(f"it holds one {type(found).__name__}, and no tensors: save the model's state_dict() alone")
    entries: dict[str, Entry] = {}
    for name, entry in _leaves(torch, found, "", DEPTH):
        if name in entries:
            raise Refused(f"two of its tensors would both be called {name[:80]!r}")
        entries[name] = entry
    return entries


def _check_archive(source: int) -> None:
    """Refuse one that is cut short, or holds other bytes than were written: torch does not look."""
    try:
        with zipfile.ZipFile(os.fdopen(os.dup(source), "rb")) as archive:
            for member in archive.infolist():
                if member.CRC:  # torch.save may be told to compute none
                    with archive.open(member) as data:
                        while data.read(2**20):
                            pass
    except (EOFError, zipfile.BadZipFile, zlib.error) as fault:
        raise Refused(f"the archive is cut short or damaged ({fault})") from None


def _leaves(torch: Any, found: Any, prefix: str, depth: int) -> Iterator[tuple[str, Entry]]:
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    for key, value in pairs:
        name = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
                raise Refused(f"tensor {name[:80]!r} is sparse, quantised, nested or without values")
            dtype = str(value.dtype).removeprefix("torch.")
            yield name, Entry(dtype, tuple(value.shape), partial(_bytes_of, torch, value))
        elif isinstance(value, (dict, list, tuple)) and depth:
            yield from _leaves(torch, value, f"{name}.", depth - 1)
        elif value is not None:  # which holds nothing
            raise Refused(f"it holds {name[:80]!r}, which is no tensor: save the model's state_dict() alone")


def _bytes_of(torch: Any, value: Any) -> Any:
    flat = value.detach().resolve_neg().reshape(-1).contiguous()
    return flat.as_strided(flat.shape, (1,)).view(torch.uint8).numpy()  # of one value, or none, the step may be any


# --- HDF5 -------------------------------------------------------------------------------------------------------------


def _hdf5(source: int, limit: int) -> dict[str, Entry]:
    return _datasets(os.fdopen(os.dup(source), "rb"))


def _keras(source: int, limit: int) -> dict[str, Entry]:
    with zipfile.ZipFile(os.fdopen(os.dup(source), "rb")) as archive:
        if KERAS not in archive.namelist() or archive.getinfo(KERAS).file_size > limit:
            raise Refused(f"a .keras archive without {KERAS}, or with one that is too large")
        return _datasets(io.BytesIO(archive.read(KERAS)))


def _datasets(file: Any) -> dict[str, Entry]:
    h5py, found, seen = sys.modules["h5py"], {}, set()

    def visit(group: Any, prefix: str, depth: int) -> None:
        for name in group:
            path = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"it holds {path[:80]!r}, a link to somewhere else")
            value = group[name]
            if not prefix and name in OPTIMIZER and isinstance(value, h5py.Group):
                continue
            place = h5py.h5o.get_info(value.id).addr
            if place in seen or depth == 0:
                raise Refused(f"it holds {path[:80]!r} twice, or too deep")
            seen.add(place)
            if isinstance(value, h5py.Group):
                visit(value, f"{path}/", depth - 1)
            elif not isinstance(value, h5py.Dataset) or value.shape is None:
                raise Refused(f"it holds {path[:80]!r}, which is no tensor")
            elif value.is_virtual or value.external:
                raise Refused(f"tensor {path[:80]!r} lies in another file")
            else:
                found[path] = Entry(value.dtype.name, value.shape, partial(_values_of, value))

    visit(h5py.File(file, "r"), "", DEPTH)
    return found


def _values_of(dataset: Any) -> Any:
    values = dataset[()]
    return values.astype(dataset.dtype.newbyteorder("<")).tobytes()


_READERS = {".pt": _torch, ".pth": _torch, ".bin": _torch, ".h5": _hdf5, ".hdf5": _hdf5, ".keras": _keras}

if __name__ == "__main__":
    main()
