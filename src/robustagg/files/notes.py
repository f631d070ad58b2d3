"""Notes of blocks: in memory as far as the budget goes, then on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

NOTE = 512  # bytes of a note besides its arrays' values


class SpilledNotes:
    """A rule's notes: None, an array, or a (named) tuple of arrays."""

    def __init__(self, memory: int, folder: Path) -> None:
        self._left, self._folder = memory, folder
        self._kept: list[Any] = []
        self._spilled: list[tuple[Any, int]] = []  # how to make a note of its fields, and how many it has
        self._file: IO[bytes] | None = None

    def append(self, note: Any) -> None:
        fields = note if isinstance(note, tuple) else () if note is None else (note,)
        size = NOTE + sum(field.nbytes for field in fields)
        if self._file is None and size <= self._left:
            self._left -= size
            self._kept.append(note)
            return
        if self._file is None:  # beside the output: a folder for temporary files may itself be memory
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - see close
        make = getattr(note, "_make", tuple) if isinstance(note, tuple) else _alone
        self._spilled.append((make, len(fields)))
        for field in fields:
            np.save(self._file, field, allow_pickle=False)

    def __iter__(self) -> Iterator[Any]:
        yield from self._kept
        if self._file is not None:
            self._file.seek(0)
            for make, count in self._spilled:
                yield make(np.load(self._file, allow_pickle=False) for _ in range(count))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _alone(fields: Iterator[Any]) -> Any:
    return next(fields, None)
