"""Some clients' updates, among others who have sent nothing that could be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustagg.kernels.interface import Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Client, Notes, Sink, Source, Span


@dataclass(frozen=True)
class Among:
    """Some clients' updates, among other clients who are left out."""

    _there: Source
    clients: tuple[Client, ...]
    excluded: Mapping[int, str]
    _rows: Mapping[int, int]
    """Index of each client that is there, and of its update."""

    @property
    def d(self) -> int:
        return self._there.d

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._there.dtype

    @property
    def spans(self) -> tuple[Span, ...]:
        return self._there.spans

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        return self._there.blocks([self._rows[i] for i in kept])

    def with_references(self, trees: Mapping[str, Any]) -> Source:
        return Among(self._there.with_references(trees), self.clients, self.excluded, self._rows)

    def notes(self) -> Notes:
        return self._there.notes()

    def sink(self, kept: Sequence[int]) -> Sink:
        return self._there.sink([self._rows[i] for i in kept])

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return self._there.memory(old, names)
