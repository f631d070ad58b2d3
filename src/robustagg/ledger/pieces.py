"""Vectors of a model's size in a ledger: rows of a megabyte, one vector after the other."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.ledger.database import AnyPath, Table, client_of, stored
from robustagg.memory.vectors import Disk, Stored, Vector
from robustagg.names import Client

PIECE = 2**20  # bytes
KINDS = ("<f2", "<f4", "<f8")
SMALL = 2**20  # bytes of all vectors together that are loaded into memory


def write_vectors(connection: sqlite3.Connection, vectors: Mapping[Client, Vector]) -> None:
    """These vectors, and no others."""
    connection.execute("DELETE FROM vectors")
    connection.execute("DELETE FROM pieces")
    listed = ((k, stored(name), _little(v).str, v.size) for k, (name, v) in enumerate(vectors.items()))
    connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", listed)
    pieces = (piece for vector in vectors.values() for piece in _pieces(vector))
    connection.executemany("INSERT INTO pieces (data) VALUES (?)", ((piece,) for piece in pieces))


def _little(vector: Vector) -> np.dtype[Any]:
    little: np.dtype[Any] = vector.dtype.newbyteorder("<")
    return little


def _pieces(vector: Vector) -> Iterator[memoryview]:
    step = PIECE // vector.dtype.itemsize
    for start in range(0, vector.size, step):
        yield np.ascontiguousarray(vector[start : start + step], _little(vector)).view(np.uint8).data


def read_vectors(table: Table) -> dict[Client, Vector]:
    """Copies of the vectors: in memory where they are small, else in a file without a name beside the ledger."""
    listed = list(table.rows("SELECT vector, name, dtype, size FROM vectors ORDER BY vector"))
    for vector, _, dtype, size in listed:
        if dtype not in KINDS or not isinstance(size, int) or not 0 <= size < 2**48:
            raise errors.no_vector(vector)
    total = sum(size * np.dtype(dtype).itemsize for _, _, dtype, size in listed)
    table.require(total)
    disk = _beside(table.path) if total > SMALL else None
    pieces = table.rows("SELECT data FROM pieces ORDER BY piece")
    found: dict[Client, Vector] = {}
    end = 0
    for _, name, dtype, size in listed:
        kind = np.dtype(dtype)
        vector = np.empty(size, kind) if disk is None else Stored(disk, end, size, kind)
        _fill(vector, pieces)
        end += size * kind.itemsize
        found[client_of(name)] = vector
    if next(pieces, None) is not None:
        raise errors.no_vector("after the last one")
    return found


def _fill(vector: Vector, pieces: Iterator[tuple[Any, ...]]) -> None:
    step = PIECE // vector.dtype.itemsize
    for start in range(0, vector.size, step):
        (data,) = next(pieces, (b"",))
        values = np.frombuffer(data, vector.dtype)
        if len(values) != min(step, vector.size - start):
            raise errors.no_vector(f"of {len(values)} values")
        if isinstance(vector, Stored):
            vector.write(start, values)
        else:
            vector[start : start + step] = values


def _beside(path: AnyPath) -> Disk:
    """A file without a name in the ledger's folder, or where temporary files are if nothing can be written there."""
    try:
        return Disk.nameless(Path(path).absolute().parent)
    except OSError:
        return Disk.nameless(Path(tempfile.gettempdir()))
