"""Three columns out of whatever holds them, and ids to numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels.interface_truth import Codes

Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

_DENSE = 8  # integers that span at most so many times their count are numbered by a table, not by sorting


def columns(data: Any, names: tuple[str, str, str]) -> Columns:
    """Items, workers and values, as arrays of one length."""
    if isinstance(data, str | os.PathLike):
        data = read(Path(data))
    if isinstance(data, tuple | list) and len(data) == 3:
        found = tuple(data)
    else:
        found = tuple(_column(data, name) for name in names)
    items, workers, values = (_array(column) for column in found)
    if not items.size == workers.size == values.size:
        raise errors.uneven_columns(items.size, workers.size, values.size)
    return items, workers, values


def read(path: Path) -> Any:
    """An Arrow table of a CSV or Parquet file."""
    try:
        from pyarrow import csv, parquet
    except ImportError as cause:
        raise errors.optional_package("pyarrow", "truth") from cause
    readers = {".csv": csv.read_csv, ".parquet": parquet.read_table}
    if path.suffix.lower() not in readers:
        raise errors.unknown_table(path)
    return readers[path.suffix.lower()](path)


def _column(data: Any, name: str) -> Any:
    if isinstance(data, Mapping):
        known = list(data)
    elif hasattr(data, "column_names"):  # Arrow
        known = list(data.column_names)
    elif hasattr(data, "columns"):  # pandas, polars
        known = list(data.columns)
    else:
        raise errors.not_answers(data)
    if name not in known:
        raise errors.no_column(name, known)
    return data[name]


def _array(column: Any) -> NDArray[Any]:
    array = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    if isinstance(column, list | tuple) and array.dtype.kind == "U":  # NumPy has made text of numbers beside text
        return as_objects(list(column))
    return array.reshape(-1)


def numbered(column: NDArray[Any], what: str) -> tuple[NDArray[Any], Codes]:
    """The distinct ids, integers before text and each sorted, and for every row the number of its id."""
    if column.dtype.kind not in "iu":
        return _by_table_of_objects(column, what)
    low, high = (int(column.min()), int(column.max())) if column.size else (0, -1)
    if high - low < _DENSE * column.size:
        present = np.zeros(high - low + 1, np.bool_)
        present[column - low] = True
        numbers = np.cumsum(present, dtype=np.int32) - np.int32(1)
        return np.flatnonzero(present) + low, numbers[column - low]
    ids, codes = np.unique(column, return_inverse=True)
    return ids, codes.astype(np.int32)


def _by_table_of_objects(column: NDArray[Any], what: str) -> tuple[NDArray[Any], Codes]:
    seen: dict[Any, int] = {}
    codes = np.array([seen.setdefault(value, len(seen)) for value in column.tolist()], np.int32)
    for value in seen:
        if isinstance(value, bool) or not isinstance(value, int | np.integer | str):
            raise errors.bad_answer_id(what, int((codes == seen[value]).argmax()), value)
    ids = sorted(seen, key=lambda value: (isinstance(value, str), value))
    rank = np.empty(len(ids), np.int32)
    rank[[seen[value] for value in ids]] = np.arange(len(ids))
    return ids_of([str(value) if isinstance(value, str) else int(value) for value in ids]), rank[codes]


def ids_of(ids: list[Any]) -> NDArray[Any]:
    """Sorted ids as an array that keeps 1 and "1" apart."""
    array = as_objects(ids)
    return array.astype(np.int64) if ids and all(isinstance(v, int) for v in ids) else array


def as_objects(ids: list[Any]) -> NDArray[Any]:
    """An array of the ids as they are."""
    array = np.empty(len(ids), object)
    array[:] = ids
    return array
