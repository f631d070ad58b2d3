"""Clients' updates that lie where an executor's workers are: this process knows them by references alone.

Each is cut once, where it lies, into a piece for every partition, so that a worker takes what it reads and no more: no
machine has to hold all clients' updates, and no update goes to all machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.inputs import elsewhere
from robustagg.inputs.blocks import Piece
from robustagg.inputs.clients import client_ids, listed
from robustagg.inputs.gather import leaves_of
from robustagg.inputs.leaves import matched, narrowed, widest
from robustagg.inputs.policy import Policy
from robustagg.inputs.tensors import is_tensor
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import InMemory, Memory, Vector, in_memory
from robustagg.protocol import Client, Holder, Partition, Sink, Span, offers, spans

TURNS = 4  # partitions for each worker, so that none waits long for the slowest
LEAST = 2**16  # coordinates of a partition: smaller pieces would travel by way of this process
ROOM = 2**29  # bytes of memory that a task may take, besides pieces, which are in the object store


class Dispersed:
    """All clients' updates, for workers who have them."""

    def __init__(
        self, holder: Holder, names: tuple[Client, ...], refs: Sequence[Any], policy: Policy, strict: bool
    ) -> None:
        described = holder.there(elsewhere.outlined, policy, list(zip(names, refs, strict=True)), 1)
        told = holder.fetch([outline for (outline,) in described])
        found = elsewhere.Outlines(names, told, policy, strict).survey()
        self._holder: Holder | None = holder
        self._fetch = holder.fetch
        self.clients, self.excluded = names, found.excluded
        self._refs, self._model, self._strict, self._policy = refs, found.model, strict, policy
        self._leaves = [replace(leaf, rows=[]) for leaf in leaves_of(found, names)]
        self._twins = found.twins
        self._references: list[Sequence[Array]] = []
        self._cuts: elsewhere.Cuts | None = None
        self._aside: dict[int, Any] = {}
        self._partition: Partition | None = None
        self._begun: Assembling | None = None
        self._learnt: Learnt | InMemory | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a worker needs."""
        ours = ("_holder", "_fetch", "_refs", "_cuts", "_aside", "_begun", "_learnt")
        return {**self.__dict__, **dict.fromkeys(ours)}

    def _twin(self, state: Mapping[str, Any]) -> Dispersed:
        twin = object.__new__(Dispersed)
        twin.__dict__.update(state)
        return twin

    @property
    def holder(self) -> Holder:
        assert self._holder is not None
        return self._holder

    @property
    def d(self) -> int:
        return sum(leaf.size for leaf in self._leaves if leaf.votes)

    @property
    def dtype(self) -> np.dtype[Any]:
        return widest(self._leaves)

    @property
    def spans(self) -> tuple[Span, ...]:
        return spans((self._policy.name(leaf.path), leaf.shape) for leaf in self._leaves if leaf.votes)

    def brought(self, name: str, value: Any) -> Any:
        """An argument, which may be a reference, here."""
        try:
            return self.holder.value(value)
        except errors.Unreadable as fault:
            raise errors.lost_argument(name, fault) from None

    def with_references(self, trees: Mapping[str, Any]) -> Dispersed:
        """The source with further rows in every block, one of each named tree."""
        source = self._twin(self.__dict__)
        source._references = [
            [np.ascontiguousarray(row) for row in matched(self._leaves, name, tree, self.clients[0], self._policy)]
            for name, tree in trees.items()
        ]
        return source

    # --- what the engine calls, here ---

    def partitions(self, slots: int) -> list[Partition]:
        """Stretches of whole blocks, into which the updates are cut."""
        present = [i for i in range(len(self.clients)) if i not in self.excluded]
        stretches = elsewhere.stretches(self._leaves, max(self.d // (TURNS * slots), LEAST), len(present))
        self._cuts = elsewhere.Cuts(self._policy, stretches, elsewhere.aside(self._leaves))
        tasks = [(self.clients[i], self._refs[i]) for i in present]
        made = dict(zip(present, self.holder.there(elsewhere.cut, self._cuts, tasks, len(stretches) + 1), strict=True))
        self._aside = {i: pieces[-1] for i, pieces in made.items()}
        found: list[Partition] = []
        at = 0
        for p, blocks in enumerate(stretches):
            size = sum(stop - start for block in blocks for _, start, stop in block)
            nbytes = sum((t - s) * self._leaves[k].storage.itemsize for block in blocks for k, s, t in block)
            found.append(Partition(at, blocks, nbytes, None, {i: pieces[p] for i, pieces in made.items()}))
            at += size
        return found

    def shared(self, vectors: Mapping[Client, Vector]) -> Mapping[Client, Vector]:
        return {name: in_memory(vector) for name, vector in vectors.items()}

    def joined(self, made: Sequence[Any]) -> None:
        assert self._begun is not None
        self._begun.made = made
        if self._learnt is not None:
            for one in self._fetch(made):
                if isinstance(one, Exception):
                    raise errors.result_lost(one)
                for piece in one[0][1]:
                    self._learnt.add(piece)

    def assembled(self, kept: Sequence[int], made: Sequence[Any]) -> Any:
        """A reference to the result: like the model's first update, or, if that is lost, another's of those kept."""
        assert self._cuts is not None
        aside = [self._aside[i] for i in kept] if self._cuts.aside else []
        actions = [leaf.action for leaf in self._leaves]
        shape = elsewhere.Shape(self._cuts, actions, self._twins, len(aside))
        for i in dict.fromkeys((self._model, *kept)):
            task = (self.clients[i], self._refs[i], *aside, *made)
            ((done, whole),) = self.holder.there(elsewhere.assembled, shape, [task], 2)
            (fault,) = self._fetch([done])
            if fault is None:
                return whole
        raise errors.result_lost(fault)

    # --- what it calls where a worker is ---

    def part(self, partition: Partition) -> Dispersed:
        part = self._twin(self.__getstate__())
        part._partition = partition
        return part

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        assert self._partition is not None
        held, at = self._pieces(kept), 0
        for block in self._partition.cuts:
            rows = [_joined(pieces[at : at + len(block)]) for pieces in held]
            at += len(block)
            yield [*rows, *(_joined([row[k][s:t] for k, s, t in block]) for row in self._references)]
        if not self.d:  # a model without coordinates is still a block
            yield [np.empty(0, np.float32)] * (len(kept) + len(self._references))

    def _pieces(self, kept: Sequence[int]) -> list[list[Array]]:
        """What the clients have of the partition; whose is lost is left out."""
        assert self._partition is not None
        found = {i: self._partition.pieces[i] for i in kept}
        lost = {i: errors.lost_update(self.clients[i], v) for i, v in found.items() if isinstance(v, Exception)}
        if lost and self._strict:
            raise next(iter(lost.values()))
        if lost:
            raise errors.Unusable({i: f"not admitted: {fault}" for i, fault in lost.items()})
        return list(found.values())

    def notes(self) -> list[Any]:
        return []

    def sink(self, kept: Sequence[int]) -> Sink:
        if self._partition is not None:
            self._learnt = None
            return Pieces(self, self._partition)
        self._begun, self._learnt = Assembling(self, kept), None
        return self._begun

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        self._learnt = InMemory(old, names) if self._partition is None else Learnt()
        return self._learnt

    def narrowed(self, piece: Array, block: Sequence[Piece]) -> Array:
        """A block's piece of the result as its tensors hold it."""
        return narrowed(piece, self._leaves[block[0][0]].storage)

    @property
    def learnt(self) -> list[Array]:
        """What a partition has learnt."""
        return self._learnt.pieces if isinstance(self._learnt, Learnt) else []


class Learnt:
    """What a rule remembers of a partition, on its way."""

    def __init__(self) -> None:
        self.pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self.pieces.append(piece)

    def vectors(self) -> dict[Client, Vector]:
        return {}


class Pieces:
    """Takes a partition's pieces of the result, which stay where they are made."""

    def __init__(self, source: Dispersed, partition: Partition) -> None:
        self._source, self._blocks = source, iter(partition.cuts)
        self._pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        if piece.size:
            self._pieces.append(self._source.narrowed(piece, next(self._blocks)))

    def result(self) -> tuple[list[Array], list[Array]]:
        return self._pieces, self._source.learnt

    def publish(self) -> None:
        """Nobody sees a part."""


class Assembling:
    """Has the pieces put together where they are."""

    def __init__(self, source: Dispersed, kept: Sequence[int]) -> None:
        self._source, self._kept = source, kept
        self.made: Sequence[Any] = ()

    def add(self, piece: Array) -> None:
        """Workers have all of them."""

    def result(self) -> Any:
        return self._source.assembled(self._kept, self.made)

    def publish(self) -> None:
        """The caller gets a reference."""


def by_reference(
    holder: Any, updates: Any, clients: Iterable[Client] | None, *, strict: bool, policy: Policy
) -> Dispersed:
    """References to updates, or updates, as a source that `holder` can open: in place of :func:`gather`."""
    if not offers(holder, "held", "there", "fetch"):
        raise errors.holds_nothing(holder)
    if policy.lora == "product":
        raise errors.not_in_pieces("lora='product'")
    if not isinstance(updates, Mapping) and is_tensor(updates) and len(updates.shape) != 2:
        raise errors.wrong_dimensions(tuple(updates.shape))
    clients, sent = listed(updates, clients)
    if not sent:
        raise errors.no_clients()
    names = client_ids(clients, len(sent))
    there: Holder = holder.within(ROOM)
    return Dispersed(there, names, [there.held(one) for one in sent], policy, strict)


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
