"""Results and answers as files, which appear whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.truth.claims import Claims


def write_columns(path: str | Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """A CSV or Parquet file of these columns.

    Raises
    ------
    ValueError
        If its suffix is neither.
    """
    path = Path(path)
    check_suffix(path)
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.suffix.lower() == ".parquet":
            _write_parquet(partial, columns)
        else:
            _write_csv(partial, columns)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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
