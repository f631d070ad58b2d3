"""Updates in memory as blocks, and the result's pieces put together as what the caller sent.

Each leaf of the clients' trees is a row per client. Large leaves are blocks as they are, nothing is stacked or copied;
small ones are gathered into blocks, see :mod:`robustagg.inputs.blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from robustagg import kernels
from robustagg.inputs.blocks import Piece, cuts, runs
from robustagg.inputs.devices import at_home, possible, together
from robustagg.inputs.leaves import CONTIGUOUS_BLOCK, FACTOR, Leaf, matched, widest
from robustagg.inputs.policy import PLAIN, Policy
from robustagg.inputs.rows import are_contiguous
from robustagg.inputs.tensors import Path
from robustagg.kernels.interface import GRAM_TILE, Array, Rows
from robustagg.memory.vectors import InMemory, Memory, Vector
from robustagg.protocol import Client, Span, spans

PACKED = 4 * GRAM_TILE  # coordinates of small leaves that make a block
PACKED_BYTES = 2**26  # of such a block, where that is more than a tile


@dataclass
class Updates:
    """All clients' updates in memory: a source of blocks. Nobody changes it; to be frozen would cost a microsecond."""

    clients: tuple[Client, ...]
    leaves: list[Leaf]
    rebuild: Callable[[dict[Path, Any]], Any]
    excluded: Mapping[int, str] = field(default_factory=dict)
    policy: Policy = PLAIN
    d: int = field(init=False)

    def __post_init__(self) -> None:
        self.d = 0
        for leaf in self.leaves:
            if leaf.votes:
                self.d += leaf.size

    @property
    def resident(self) -> bool:
        """Whether some of what votes is on a device."""
        return possible() and any(leaf.resident for leaf in self.leaves if leaf.votes)

    def near(self) -> AbstractContextManager[None]:
        """Computing where the updates are, until it is left."""
        return kernels.use_backend("cuda") if self.resident else nullcontext()

    def at_home(self) -> Updates:
        """The same updates in the host's memory."""
        if not possible():
            return self
        return replace(self, leaves=[replace(leaf, rows=at_home(leaf.rows)) for leaf in self.leaves])

    def together(self) -> Updates:
        """The same updates, each leaf that votes in one memory."""
        if not possible():
            return self
        return replace(
            self, leaves=[replace(leaf, rows=together(leaf.rows)) if leaf.votes else leaf for leaf in self.leaves]
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        return widest(self.leaves)

    @property
    def spans(self) -> tuple[Span, ...]:
        return spans((self.policy.name(leaf.path), leaf.shape) for leaf in self.leaves if leaf.votes)

    @property
    def cuts(self) -> list[list[Piece]]:
        """The pieces of leaves that blocks are made of, in their order."""
        if len(self.leaves) == 1:  # the common case, which is to take no time
            return [[(0, 0, self.d)]] if self.d else []
        return self._cuts

    @cached_property
    def _cuts(self) -> list[list[Piece]]:
        found: list[list[Piece]] = []
        for run in runs([(leaf.storage, leaf.resident) if leaf.votes else None for leaf in self.leaves]):
            tile = len(self.clients) * self.leaves[run[0]].storage.itemsize * GRAM_TILE
            width = max(min(PACKED, PACKED_BYTES // tile * GRAM_TILE), GRAM_TILE)
            found.extend(cuts([(k, self.leaves[k].size) for k in run], width, alone=PACKED))
        return found

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        cuts = self.cuts
        for cut in cuts:
            if len(cut) > 1:
                yield self._packed(cut, kept)
                continue
            ((k, start, stop),) = cut
            leaf = self.leaves[k]
            rows = leaf.held(kept)
            if stop - start < leaf.size:
                rows = [row[start:stop] for row in rows]
            if leaf.contiguous and not leaf.references:
                yield rows
            else:
                yield from _contiguous(rows)
        if not cuts:  # a model without coordinates is still a block
            references = max((len(leaf.references) for leaf in self.leaves), default=0)
            yield [np.empty(0, np.float32)] * (len(kept) + references)

    def _packed(self, cut: Sequence[Piece], kept: Sequence[int]) -> Rows:
        """The rows of a block of small pieces."""
        parts = []
        for k, start, stop in cut:
            rows = self.leaves[k].held(kept)
            parts.append(rows if stop - start == rows[0].size else [row[start:stop] for row in rows])
        return [np.concatenate(row) for row in zip(*parts, strict=True)]

    def with_references(self, trees: Mapping[str, Any]) -> Updates:
        """The source with further rows in every block, one of each named tree."""
        extra = [matched(self.leaves, name, tree, self.clients[0], self.policy) for name, tree in trees.items()]
        leaves = [replace(leaf, references=list(rows)) for leaf, *rows in zip(self.leaves, *extra, strict=True)]
        return replace(self, leaves=leaves)

    def notes(self) -> list[Any]:
        return []

    def sink(self, kept: Sequence[int]) -> Assembly:
        return Assembly(self, kept)

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return InMemory(old, names)


def _contiguous(rows: Rows) -> Iterator[Rows]:
    if are_contiguous(rows):
        yield rows
        return
    for start in range(0, rows[0].size, CONTIGUOUS_BLOCK):
        yield [np.ascontiguousarray(row[start : start + CONTIGUOUS_BLOCK]) for row in rows]


class Assembly:
    """Puts the pieces of a result together as the clients' updates were."""

    def __init__(self, updates: Updates, kept: Sequence[int]) -> None:
        self.updates, self.kept = updates, kept
        self.pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self.pieces.append(piece)

    def result(self) -> Any:
        leaves, pieces = self.updates.leaves, self.pieces
        if len(pieces) == 1 and len(leaves) == 1 and leaves[0].votes:
            (leaf,), (piece,) = leaves, pieces
            return self.updates.rebuild({leaf.path: leaf.tensor(piece)})
        voted = self._voted()
        whole: dict[Path, Any] = {}
        for k, leaf in enumerate(self.updates.leaves):
            if leaf.twin is not None:
                whole[leaf.path] = whole[self.updates.leaves[leaf.twin].path]
            elif leaf.votes:
                whole |= leaf.placed(joined(voted[k]), self.kept)
            elif leaf.action != FACTOR:
                whole[leaf.path] = leaf.settled(self.kept)
        return self.updates.rebuild(whole)

    def publish(self) -> None:
        """The caller gets the result as it is."""

    def _voted(self) -> list[list[Array]]:
        """The parts of each leaf's result."""
        parts: list[list[Array]] = [[] for _ in self.updates.leaves]
        pieces = iter(self.pieces)
        for cut in self.updates.cuts:
            if len(cut) == 1:
                ((k, start, stop),) = cut
                while start < stop:
                    parts[k].append(next(pieces))
                    start += parts[k][-1].size
                continue
            piece, at = next(pieces), 0
            for k, start, stop in cut:
                parts[k].append(piece[at : at + stop - start].copy())  # not one array that keeps all others alive
                at += stop - start
        return parts


def joined(parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
