"""Results and answers as files, which appear whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.memory.publish import Draft
from robustagg.truth.claims import Claims


def write_columns(path: str | Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """A CSV or Parquet file of these columns.

    Raises
    ------
    ValueError
        If its suffix is neither.
    """
    with drafted(Path(path), columns) as draft:
        draft.publish()


@contextmanager
def drafted(path: Path, columns: Mapping[str, NDArray[Any]]) -> Iterator[Draft]:
    """The same, written aside, to be published."""
    check_suffix(path)
    with Draft(path) as draft:
        write = _write_parquet if path.suffix.lower() == ".parquet" else _write_csv
        write(draft.path, columns)
        yield draft


def check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise errors.unknown_table(path)


def answers(claims: Claims) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Items, workers and values, an answer a row."""
    values = claims.answers.values
    if claims.categories is not None:
        return (
            claims.items[claims.item_of],
            claims.workers[claims.answers.workers],
            claims.categories[values.astype(np.int64)],
        )
    return claims.items[claims.item_of], claims.workers[claims.answers.workers], values


def _write_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def _write_parquet(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as cause:
        raise errors.optional_package("pyarrow", "truth") from cause
    names = {
        name: column.astype(str) if column.dtype == object else column for name, column in columns.items()
    }  # ids of both kinds in one column are text
    parquet.write_table(pyarrow.table(names), path)
