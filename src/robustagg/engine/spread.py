"""The passes over a source whose partitions workers read and write by themselves.

What a worker does twice it does the same: evidence is summed exactly, whatever the order; a note is left as it was; a
piece is written at its place. So what is lost with a worker is done again, and nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from robustagg import errors, kernels
from robustagg.config import __version__
from robustagg.engine import serial
from robustagg.engine.shared import Found, Look
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Block, Client, Divisible, Executor, Partition, Round, Sink, Source, Verbs


class Job(NamedTuple):
    """What all workers of a pass have to know."""

    rule: Verbs
    source: Divisible
    round: Round
    verdict: Any
    looks: int | None
    """References beside the clients' rows, where NaN and infinities are to be looked for."""
    backend: str = ""
    version: str = ""


class Brief(NamedTuple):
    """What comes back of a partition, besides what stays with the worker."""

    evidence: Any = None
    found: Found | None = None
    unusable: Mapping[int, str] = {}
    seal: Any = None


class Crew:
    """Whoever does a round's work elsewhere: the executor, the rule as workers know it, and their partitions."""

    def __init__(self, executor: Executor, rule: Verbs, source: Divisible, references: Sequence[str]) -> None:
        self.executor, self.references = executor, references
        self.rule = rule.for_worker(source.shared(rule.vectors))
        self.vectors: Mapping[Client, Vector] = rule.vectors
        self.partitions = source.partitions(executor.slots)

    def over(self, source: Divisible, round: Round, looks: bool) -> Spread:
        """The passes of one attempt at the round."""
        return Spread(self, source, round, looks)


class Spread:
    """The passes over a source, elsewhere. A NaN or an infinity that a worker meets costs no pass of its own."""

    def __init__(self, crew: Crew, source: Divisible, round: Round, looks: bool) -> None:
        self._crew, self._source, self._round, self._looks = crew, source, round, looks
        self._notes: list[Any] | None = None
        self.found: Found | None = None
        """Whose fault NaN and infinities are, once a pass has met some."""

    def observe(self, verdict: Any) -> Any:
        """The evidence of all blocks, given the previous pass's verdict; the notes stay where they are."""
        evidence, notes = None, [None] * len(self._crew.partitions)
        for k, seen, kept in self._pass(observe, verdict, [(part,) for part in self._crew.partitions]):
            if seen is not None:  # as it is where a NaN came first, or nothing could be read
                evidence = seen if evidence is None else evidence + seen
            notes[k] = kept
        self._notes = notes
        return evidence

    def combine(self, verdict: Any) -> tuple[Sink, Memory | None]:
        """What has taken all pieces, and all that is learnt."""
        sink = self._source.sink(self._round.kept)
        memory = self._source.memory(self._crew.vectors, verdict.learns) if verdict.learns else None
        notes = self._notes or [None] * len(self._crew.partitions)
        made = [None] * len(self._crew.partitions)
        for k, _, kept in self._pass(combine, verdict, list(zip(self._crew.partitions, notes, strict=True))):
            made[k] = kept
        self._source.joined(made)
        return sink, memory

    def _pass(
        self, work: Callable[..., tuple[Brief, Any]], verdict: Any, tasks: list[Any]
    ) -> Iterator[tuple[int, Any, Any]]:
        crew, unusable = self._crew, {}
        sent = {name: None if name in crew.references else value for name, value in self._round.extras.items()}
        looks = len(crew.references) if self._looks else None
        round = replace(self._round, extras=sent)
        job = Job(crew.rule, self._source, round, verdict, looks, kernels.active_name(), __version__)
        for k, brief, kept in crew.executor.each(work, job, tasks):
            unusable.update(brief.unusable)
            crew.partitions[k].seal = crew.partitions[k].seal or brief.seal
            if brief.found is not None:
                self.found = brief.found if self.found is None else self.found + brief.found
            yield k, brief.evidence, kept
        if unusable:
            raise errors.Unusable(dict(sorted(unusable.items())))
        if self.found is not None and not self.found.clean:
            raise errors.NonFinite
        self._looks = False


def observe(job: Job, partition: Partition) -> tuple[Brief, list[Any]]:
    """One partition's evidence, and its notes."""
    notes: list[Any] = []

    def observed(source: Source, blocks: Iterable[Block]) -> Any:
        return serial.observe(job.rule, blocks, job.round, job.verdict, notes)

    return _worked(job, partition, observed), notes


def combine(job: Job, partition: Partition, notes: list[Any] | None) -> tuple[Brief, list[Any]]:
    """One partition's pieces, and what is learnt of them, where the source wants them."""
    made: list[Any] = []

    def combined(source: Source, blocks: Iterable[Block]) -> None:
        sink = source.sink(job.round.kept)
        memory = source.memory(job.rule.vectors, job.verdict.learns) if job.verdict.learns else None
        serial.combine(job.rule, blocks, notes, job.verdict, sink, memory)
        made.append(sink.result())

    return _worked(job, partition, combined), made


def _worked(job: Job, partition: Partition, work: Callable[[Source, Iterable[Block]], Any]) -> Brief:
    if job.version != __version__:
        raise errors.other_version(job.version, __version__)
    source, kept = job.source.part(partition), job.round.kept
    blocks: Iterable[Block] = serial.placed(source.blocks(kept), partition.start)
    look = None if job.looks is None else Look(len(kept), job.looks)
    try:
        with kernels.use_backend(job.backend), np.errstate(all="ignore"):
            evidence = work(source, blocks if look is None else look.through(blocks))
    except errors.Unusable as fault:
        return Brief(unusable=fault.reasons)
    except errors.NonFinite:  # in finite rows
        raise errors.non_finite_memory(type(job.rule).__name__) from None
    return Brief(evidence, None if look is None else look.found, {}, partition.seal)
