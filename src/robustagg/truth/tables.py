"""Three columns out of whatever holds them, and ids to numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels.interface_truth import Codes

Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

_DENSE = 8  # integers that span at most so many times their count are numbered by a table, not by sorting
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}")
"""How a file writes an integer of 64 bits; 01, 1.0 and what is longer are text."""
_LISTS = ("to_pylist", "tolist", "to_list")  # what Arrow, pandas and polars call it
_EXACT = 2.0**53  # floats beyond it do not tell integers apart


def columns(data: Any, names: tuple[str, str, str], *, categorical: bool = False) -> Columns:
    """Items, workers and values, as arrays of one length."""
    if isinstance(data, str | os.PathLike):
        data = read(Path(data), names if categorical else names[:2])
    if isinstance(data, tuple | list) and len(data) == 3:
        found = tuple(data)
    else:
        found = tuple(_column(data, name) for name in names)
    items, workers, values = (_array(column) for column in found)
    if not items.size == workers.size == values.size:
        raise errors.uneven_columns(items.size, workers.size, values.size)
    return items, workers, values


def read(path: Path, ids: Collection[str]) -> dict[str, Any]:
    """The columns of a CSV or Parquet file; those named in `ids` cell by cell, whatever the other cells are.

    There an integer is an integer, also as text, everything else is text, and an empty cell is missing.
    """
    try:
        from pyarrow import ArrowException, csv, parquet, string
    except ImportError as cause:
        raise errors.optional_package("pyarrow", "truth") from cause
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise errors.unknown_table(path)
    text_ids = csv.ConvertOptions(column_types=dict.fromkeys(ids, string()))
    try:
        os.close(os.open(path, os.O_RDONLY))  # Arrow does not always say what is wrong
        table = csv.read_csv(path, convert_options=text_ids) if suffix == ".csv" else parquet.read_table(path)
        known = table.column_names
    except OSError as fault:
        raise errors.unreadable(path, fault) from fault
    except (ArrowException, ValueError) as fault:
        raise errors.bad_table(path, fault) from fault
    if len(set(known)) < len(known):
        raise errors.column_twice(path, known)
    return {name: _cells(table[name]) if name in ids else table[name] for name in known}


def _cells(column: Any) -> Any:
    """The ids in a file's column; of a column of another kind than text it itself."""
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if not (types.is_string(kind) or types.is_large_string(kind)):
        return column
    coded = column.dictionary_encode().combine_chunks()
    ids = [int(word) if _INTEGER.fullmatch(word) else word or None for word in coded.dictionary.to_pylist()]
    return ids_of(ids + [None] * bool(coded.null_count))[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


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
    if known.count(name) > 1:
        raise errors.column_twice("the table", known)
    return data[name]


def _array(column: Any) -> NDArray[Any]:
    """A column as an array; None where something is missing that floats could not stand for."""
    if isinstance(column, np.ma.MaskedArray):
        return as_objects(column.reshape(-1).tolist())  # None under the mask
    array = np.asarray(column)
    if isinstance(column, list | tuple) and array.dtype.kind in "Uf":  # NumPy has made one kind of several
        return as_objects(list(column))
    kind = str(getattr(column, "type", None) or getattr(column, "dtype", "")).lower()
    if array.dtype.kind == "f" and "int" in kind:  # integers, and floats for those that are missing
        return as_objects(getattr(column, next(name for name in _LISTS if hasattr(column, name)))())
    return array.reshape(-1)


def missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, NaT and what pandas and polars write for it."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA does not say
        return True


def numbered(column: NDArray[Any], what: str, rows: NDArray[np.int64] | None = None) -> tuple[NDArray[Any], Codes]:
    """The distinct ids, integers before text and each sorted, and for every row the number of its id.

    `rows` says which rows of the table these are, for errors.
    """
    if column.dtype.kind not in "iu":
        return _by_table_of_objects(column, what, rows)
    wide = column.astype(np.uint64 if column.dtype == np.uint64 else np.int64, copy=False)
    low, high = (wide.min(), wide.max()) if wide.size else (0, -1)
    if int(high) - int(low) < _DENSE * wide.size:
        places = wide - low
        present = np.zeros(int(high) - int(low) + 1, np.bool_)
        present[places] = True
        numbers = np.cumsum(present, dtype=np.int32) - np.int32(1)
        return _narrowed(np.flatnonzero(present).astype(wide.dtype) + low), numbers[places]
    ids, codes = np.unique(wide, return_inverse=True)
    return _narrowed(ids), codes.astype(np.int32)


def _narrowed(ids: NDArray[Any]) -> NDArray[Any]:
    """Sorted ids of 64 bits, with a sign if they fit."""
    return ids.astype(np.int64) if ids.size and ids[-1] <= np.iinfo(np.int64).max else ids


def _by_table_of_objects(column: NDArray[Any], what: str, rows: NDArray[np.int64] | None) -> tuple[NDArray[Any], Codes]:
    seen: dict[Any, int] = {}
    codes = np.array([seen.setdefault(value, len(seen)) for value in column.tolist()], np.int32)
    own = {value: _id(value) for value in seen}
    for value, meant in own.items():
        if meant is None:
            place = int((codes == seen[value]).argmax())
            row = place if rows is None else int(rows[place])
            raise errors.missing_id(what, row) if missing(value) else errors.bad_answer_id(what, row, value)
    ids = sorted(own, key=lambda value: (isinstance(value, str), value))
    rank = np.empty(len(ids), np.int32)
    rank[[seen[value] for value in ids]] = np.arange(len(ids))
    return ids_of([own[value] for value in ids]), rank[codes]


def _id(value: Any) -> int | str | None:
    """An id as Python's own, None if it is none; 3.0 is 3, which tables write so beside an empty cell."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float | np.floating) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else None


def ids_of(ids: list[Any]) -> NDArray[Any]:
    """Ids as an array that keeps 1 and "1" apart."""
    if ids and all(isinstance(v, int) for v in ids):
        for kind in (np.int64, np.uint64):
            if np.iinfo(kind).min <= min(ids) and max(ids) <= np.iinfo(kind).max:
                return np.array(ids, kind)
    return as_objects(ids)


def as_objects(ids: list[Any]) -> NDArray[Any]:
    """An array of the ids as they are."""
    array = np.empty(len(ids), object)
    array[:] = ids
    return array
