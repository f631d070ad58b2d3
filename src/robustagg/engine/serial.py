"""A rule's verbs on one block after the other: all of them here, or a partition's where a worker is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from robustagg import errors, kernels
from robustagg.kernels.interface import Rows
from robustagg.memory.vectors import Memory
from robustagg.protocol import Block, Notes, Round, Sink, Source, Verbs


def placed(blocks: Iterable[Rows], start: int = 0) -> Iterator[Block]:
    """Blocks that follow each other, the first at this coordinate."""
    for rows in blocks:
        yield Block(rows, start)
        start += rows[0].size


def observe(rule: Verbs, blocks: Iterable[Block], round: Round, verdict: Any, notes: Notes) -> Any:
    """The sum of the blocks' evidence; their notes are added to the others."""
    evidence = None
    for block in blocks:
        seen, note = rule.observe(block, round, verdict)
        if isinstance(seen, (tuple, list, str)):
            raise errors.evidence_does_not_add(type(rule).__name__, seen)
        evidence = seen if evidence is None else evidence + seen
        notes.append(note)
    return evidence


def combine(
    rule: Verbs, blocks: Iterable[Block], notes: Notes | None, verdict: Any, sink: Sink, memory: Memory | None
) -> None:
    """Give the sink the blocks' pieces, and the memory what is learnt of them."""
    remembered = iter(notes) if notes is not None else None
    for block in blocks:
        piece = rule.combine(block, None if remembered is None else next(remembered), verdict)
        if memory is not None:
            memory.add(*kernels.active().home([rule.learn(block, piece, verdict)]))
        sink.add(piece)


class Serial:
    """The passes over a source, here."""

    def __init__(self, rule: Verbs, source: Source, round: Round) -> None:
        self._rule, self._source, self._round = rule, source, round
        self._notes: Notes | None = None

    def observe(self, verdict: Any) -> Any:
        """The evidence of all blocks, given the previous pass's verdict."""
        self._notes = self._source.notes()
        blocks = placed(self._source.blocks(self._round.kept))
        return observe(self._rule, blocks, self._round, verdict, self._notes)

    def combine(self, verdict: Any) -> tuple[Sink, Memory | None]:
        """What has taken all pieces, and all that is learnt."""
        source, kept = self._source, self._round.kept
        sink = source.sink(kept)
        memory = source.memory(self._rule.vectors, verdict.learns) if verdict.learns else None
        combine(self._rule, placed(source.blocks(kept)), self._notes, verdict, sink, memory)
        return sink, memory
