"""Clients' files on storage that many machines share, as a source whose partitions workers read and write."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robustagg.files.budget import Budget
from robustagg.files.layout import Cut, Destination
from robustagg.files.output import Stretch, Target
from robustagg.files.progress import Progress
from robustagg.files.seals import Seals
from robustagg.files.source import Files
from robustagg.files.survey import Entrants, Survey
from robustagg.kernels.interface import Rows
from robustagg.memory.vectors import Disk, Memory, Named, OnDisk, Vector, all_copied
from robustagg.protocol import Client, Executor, Partition, Sink

TURNS = 4  # partitions for each worker, so that none waits long for the slowest
NOTE = 16  # bytes of a coordinate's note besides two bits of each client: two vectors


class SharedFiles(Files):
    """All clients' updates, for workers elsewhere; what they write together are named files in `folder`."""

    def __init__(
        self, entrants: Entrants, found: Survey, budget: Budget, out: Destination, progress: Progress, folder: Path
    ) -> None:
        super().__init__(entrants, found, budget, out, progress)
        self._folder = folder
        self._secret = secrets.token_bytes(32)
        self._partition: Partition | None = None
        self._begun: Path | None = None
        self._learnt: tuple[OnDisk, Named] | None = None

    def __copy__(self) -> SharedFiles:
        twin = object.__new__(SharedFiles)
        twin.__dict__.update(self.__dict__)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """What a worker needs."""
        ours = ("_buffer", "_notes", "_destination", "_seals")
        return {**self.__dict__, **dict.fromkeys(ours), "_progress": self._progress.unwatched}

    # --- what the engine calls, here ---

    def partitions(self, slots: int) -> list[Partition]:
        """Stretches of whole blocks, whose notes fit into a worker's memory."""
        most = self._budget.notes // (len(self._found.files) // 4 + NOTE)
        width = min(most, self.d // (TURNS * slots))
        found, at, cuts, size, nbytes = [], 0, [], 0, 0
        for cut in self._layout.cuts():
            taken = int((cut[:, 2] - cut[:, 1]).sum())
            cuts.append(cut)
            size, nbytes = size + taken, nbytes + taken * self._tensors[cut[0, 0]].storage.itemsize
            if size >= width:
                found.append(Partition(at, cuts, nbytes))
                at, cuts, size, nbytes = at + size, [], 0, 0
        if cuts or not found:
            found.append(Partition(at, cuts, nbytes))
        return found

    def shared(self, vectors: Mapping[Client, Vector]) -> Mapping[Client, Vector]:
        return all_copied(vectors, Named.made(self._folder)) if vectors else {}

    def sink(self, kept: Sequence[int]) -> Sink:
        if self._partition is not None:
            assert self._begun is not None
            return Stretch(self._begun, self._layout, self._partition.cuts)
        sink = super().sink(kept)
        assert isinstance(sink, Target)
        self._begun = sink.stretches.absolute()
        return sink

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        if self._partition is not None:
            assert self._learnt is not None
            return self._learnt[0].stretch(self._partition.start, self._learnt[1])
        named = Named.made(self._folder)
        memory = OnDisk(old, names, self.d, self._layout.dtype, Disk.of(named))
        self._learnt = memory.stretch(0, named), named
        return memory

    def joined(self, made: Sequence[Any]) -> None:
        """Each worker has written its pieces to their places."""
        if self._learnt is not None:
            self._learnt[1].look_again()

    # --- what it calls where a worker is ---

    def part(self, partition: Partition) -> SharedFiles:
        part = object.__new__(SharedFiles)
        part.__dict__.update(self.__getstate__())
        part._partition, part._buffer = partition, self._made_buffer()
        part._seals = Seals(self._secret, partition.seal) if self._progress.passes > 1 else None
        return part

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        yield from super().blocks(kept)
        if self._partition is not None and self._seals is not None:
            self._partition.seal = self._seals.first

    def _cuts(self) -> Iterator[Cut]:
        return super()._cuts() if self._partition is None else iter(self._partition.cuts)


class Watched:
    """An executor whose progress is told, partition by partition."""

    def __init__(self, executor: Executor, progress: Progress) -> None:
        self._executor, self._progress = executor, progress

    @property
    def slots(self) -> int:
        return self._executor.slots

    def within(self, nbytes: int) -> Executor:
        return Watched(self._executor.within(nbytes), self._progress)

    def each(
        self, work: Callable[..., tuple[Any, Any]], common: Any, tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any, Any]]:
        clients = len(common.round.kept)
        self._progress.begin_pass(clients)
        for k, brief, kept in self._executor.each(work, common, tasks):
            self._progress.add(clients * tasks[k][0].nbytes)
            yield k, brief, kept
