"""Pre-aggregations and a rule, one after the other, over blocks: the mixed rows are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.kernels.interface import GRAM_TILE, Array
from robustagg.ledger import Ledger
from robustagg.memory.vectors import Vector
from robustagg.protocol import Block, Client, Floats, Round, Span, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.component import Component, kind_of
from robustagg.rules.distance import Combination, DistanceRule, weighted_sum
from robustagg.rules.evidence.extremes import Extremes
from robustagg.rules.evidence.gram import Gram
from robustagg.rules.mixing.base import Measured, PreAggregation, composed, extended, say

CHUNK = 2**23  # values of mixed rows at a time


@dataclass(frozen=True)
class Chained(Verdict):
    """The mixing matrix that the pre-aggregations have decided on, and the rule's verdict on the mixed rows."""

    matrix: Floats = field(kw_only=True)
    own: Verdict | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Later:
    """Evidence of the rule on the mixed rows, and the verdict that mixed them."""

    evidence: Any
    verdict: Chained

    def __add__(self, other: Later) -> Later:
        return Later(self.evidence + other.evidence, self.verdict)


class ChunkNotes(tuple[Any, ...]):
    """The notes of a block's chunks, field after field, as one note; `_make` makes it again of its fields."""

    _make: Callable[[Iterable[Any]], ChunkNotes]
    _one: Callable[[Iterable[Any]], Any]
    _size: int

    def chunks(self) -> Iterator[Any]:
        """The notes of the chunks, one after the other."""
        return (self._one(self[k : k + self._size]) for k in range(0, len(self), self._size))

    @classmethod
    def of(cls, chunks: list[Any]) -> ChunkNotes | None:
        """One note of many; None where the rule leaves none."""
        first = chunks[0]
        if first is None:
            return None
        if not isinstance(first, tuple):
            return cls._again(_alone, 1, chunks)
        return cls._again(getattr(first, "_make", tuple), len(first), chain.from_iterable(chunks))

    @classmethod
    def _again(cls, make: Callable[[Iterable[Any]], Any], size: int, fields: Iterable[Any]) -> ChunkNotes:
        notes = cls(fields)
        notes._make, notes._one, notes._size = partial(cls._again, make, size), make, size
        return notes


class Pipeline(Rule[Chained]):
    """Pre-aggregations, and a rule on the rows that they make.

    Parameters
    ----------
    *members : PreAggregation, ..., Rule
        At least the rule, which comes last. The pipeline has a copy of it, ``last``, which remembers its rounds.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error. The members' own is not
        asked.

    Raises
    ------
    TypeError
        If the members are not pre-aggregations and then a rule.
    ValueError
        If the rule must know whose row is whose (Reputation, say) and a pre-aggregation mixes that up (Bucketing).

    Notes
    -----
    The pre-aggregations' matrices are decided on the Gram matrix of the updates (on their lengths, O(nd), where that is
    enough), from which that of the mixed rows follows: a distance rule needs no further pass. The coefficients of a
    rule that is linear in the end are multiplied by the matrix; others get the mixed rows in chunks. A client's weight
    is its share of the rows times their weights.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Pipeline(ra.NNM(f=1), ra.Median())(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    def __init__(self, *members: Any, nonfinite: str = "reject") -> None:
        self.nonfinite = nonfinite
        super().__post_init__()
        if not members or not isinstance(members[-1], Rule):
            raise errors.bad_pipeline(f"the last member is {members[-1]!r}" if members else "it has no members")
        for member in members[:-1]:
            if not isinstance(member, PreAggregation):
                raise errors.bad_pipeline(f"{member!r} is no pre-aggregation")
            if members[-1].by_client and not member.keeps_clients:
                raise errors.rows_without_clients(type(members[-1]).__name__, type(member).__name__)
        self.mixers: tuple[PreAggregation, ...] = members[:-1]
        self.last: Rule[Any] = deepcopy(members[-1])
        self._measures = self._what_to_measure()

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, [*self.mixers, self.last]))})"

    def _what_to_measure(self) -> type[Measured] | None:
        """The least evidence that decides all matrices."""
        asked = [member.measures for member in self.mixers]
        if Extremes in asked:
            if asked[0] is not Extremes or any(asked[1:]):
                raise errors.measured_rows_must_be_sent([type(member).__name__ for member in self.mixers])
            return Extremes
        if isinstance(self.last, DistanceRule) or any(asked[1:]):
            return Gram
        return asked[0] if asked else None

    @property
    def _keeps_clients(self) -> bool:
        return all(member.keeps_clients for member in self.mixers)

    @property
    def observes(self) -> bool:
        return self._measures is not None or self.last.observes

    @property
    def unguarded(self) -> bool:
        return self.last.unguarded

    @property
    def weighs_samples(self) -> bool:
        return self.last.weighs_samples and self._keeps_clients

    @property
    def differences(self) -> bool:
        return any(member.differences for member in (*self.mixers, self.last))

    @property
    def isometric(self) -> bool:
        return all(member.isometric for member in (*self.mixers, self.last))

    @property
    def extras(self) -> frozenset[str]:
        return self.last.extras

    @property
    def remembers(self) -> bool:
        return self.last.remembers

    @property
    def by_tensor(self) -> bool:
        return self.last.by_tensor

    @property
    def further_rows(self) -> int:
        return bool(self.mixers) + self.last.further_rows

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        gram = Gram.nbytes(n) if self._measures is Gram and not isinstance(self.last, DistanceRule) else 0
        return gram + self.last.evidence_bytes(self._most(n), d, itemsize)

    def tensors_bytes(self, n: int, spans: Sequence[Span]) -> int:
        return self.last.tensors_bytes(self._most(n), spans)

    def _most(self, n: int) -> int:
        """How many rows of n clients the last member gets, or n if that is more."""
        rows = n
        for member in self.mixers:
            rows = member.rows_of(rows)
        return max(n, rows)

    # --- the three verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        for member in self.mixers:
            member.check(round)
            round = member.after(round)
        self.last.check(round)

    def withstood(self, m: int) -> int | None:
        """The least of what its members withstand, as far as they see the clients' own number."""
        told = []
        for member in (*self.mixers, self.last):
            told.append(member.withstood(m))
            if isinstance(member, PreAggregation):
                m = member.rows_of(m)
        return min((f for f in told if f is not None), default=None)

    def references(self, round: Round) -> Mapping[str, Any]:
        return self.last.references(round)

    def prepare(self, round: Round) -> Any:
        return self.last.prepare(self._after(round))

    @property
    def vectors(self) -> Mapping[Client, Vector]:
        return self.last.vectors

    def observe(self, block: Block, round: Round, verdict: Chained | None) -> tuple[Any, Any]:
        if verdict is None and self._measures:
            rows = block.rows[: len(round.kept)]
            if self._measures is Gram and isinstance(self.last, DistanceRule):
                rows = self.last.rows(block, round)
            return self._measures.of(rows), None
        if verdict is None:
            verdict = self._mixed(None, round)
        evidence, notes = None, []
        for chunk in chunks(block, verdict.matrix):
            seen, note = self.last.observe(chunk, self._after(round), verdict.own)
            evidence = seen if evidence is None else evidence + seen
            notes.append(note)
        return Later(evidence, verdict), ChunkNotes.of(notes)

    def decide(self, evidence: Any, round: Round) -> Chained:
        if isinstance(evidence, Later):
            own = self.last.decide(evidence.evidence, self._after(round))
            return self._verdict(evidence.verdict.matrix, own, round)
        return self._mixed(evidence, round)

    def combine(self, block: Block, note: Any, verdict: Chained) -> Array:
        assert verdict.own is not None
        if self.last.linear:
            own = verdict.own.coefficients if isinstance(verdict.own, Combination) else verdict.own.weights
            rows = block.rows[: verdict.matrix.shape[1] + len(own) - len(verdict.matrix)]
            return weighted_sum(rows, own @ extended(verdict.matrix, len(rows)))
        notes = repeat(None) if note is None else note.chunks()
        mixed = zip(chunks(block, verdict.matrix), notes, strict=False)
        return kernels.active().join([self.last.combine(chunk, own, verdict.own) for chunk, own in mixed])

    def learn(self, block: Block, piece: Array, verdict: Chained) -> Array:
        assert verdict.own is not None
        learnt, at = [], 0
        for chunk in chunks(block, verdict.matrix):
            width = chunk.rows[0].size
            (part,) = kernels.active().window([piece], at, at + width)
            learnt.append(self.last.learn(chunk, part, verdict.own))
            at += width
        return kernels.active().join(learnt)

    def commit(self, verdict: Chained, round: Round, vectors: Mapping[Client, Vector]) -> None:
        assert verdict.own is not None
        self.last.commit(verdict.own, self._after(round), vectors)

    def _after(self, round: Round) -> Round:
        """The round as the rule sees it."""
        for member in self.mixers:
            round = member.after(round)
        return round

    def _mixed(self, evidence: Measured | None, round: Round) -> Chained:
        """The verdict on how to mix, and the rule's own where it needs no look at the mixed rows."""
        matrix, geometry = composed(self.mixers, evidence, round)
        if geometry is not None and isinstance(self.last, DistanceRule):
            return self._verdict(matrix, self.last.judge(geometry, self._after(round)), round)
        if self.last.observes:
            m = matrix.shape[1]
            return Chained(np.full(m, 1 / m), [""] * m, again=True, matrix=matrix)
        return self._verdict(matrix, self.last.decide(None, self._after(round)), round)

    def _verdict(self, matrix: Floats, own: Verdict, round: Round) -> Chained:
        share = say(matrix)
        weights = own.weights @ share
        if self._keeps_clients:
            reasons, standing = own.reasons, own.standing
        else:  # a client hears of the row that holds most of it
            rows = share.argmax(axis=0)
            reasons, standing = [f"in row {row}: {own.reasons[row]}" for row in rows], None
        return Chained(
            weights / (weights.sum() or 1.0),  # a rule may trust nobody
            reasons,
            standing,
            own.again,
            certificate=own.certificate,
            learns=own.learns,
            matrix=matrix,
            own=own,
        )

    # --- memory ---

    def for_worker(self, vectors: Mapping[Client, Vector]) -> Pipeline:
        twin = super().for_worker(vectors)
        twin.last = self.last.for_worker(vectors)
        return twin

    @property
    def last_round(self) -> int | None:
        """Number of the last completed round: the rule's, which may have a history."""
        return self.last.last_round

    @property
    def parameters(self) -> dict[str, Any]:
        """The members' parameters, in their order."""
        members: list[Component] = [*self.mixers, self.last]
        named = [{"rule": member.label(), **member.parameters} for member in members]
        return {"members": named, "nonfinite": self.nonfinite}

    @classmethod
    def _of(cls, parameters: Mapping[str, Any]) -> Pipeline:
        described = [dict(member) for member in parameters["members"]]
        members = [kind_of(member.pop("rule"))._of(member) for member in described]
        return cls(*members, nonfinite=parameters["nonfinite"])

    @property
    def _reputations(self) -> Ledger | None:
        return self.last._reputations

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "last": self.last._state()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        memory = {name: state[name] for name in ("vectors", "ledger") if state.get(name)}
        own = {**state["last"], **memory}
        self.last._check_state(own)
        self.last._restore(own)


def _alone(fields: Iterable[Any]) -> Any:
    return next(iter(fields))


def chunks(block: Block, matrix: Floats) -> Iterator[Block]:
    """The mixed rows of a block, and the rows besides the clients', so many coordinates at a time."""
    whole = extended(matrix, len(block.rows))
    d = block.rows[0].size
    width = max(CHUNK // len(whole) // GRAM_TILE, 1) * GRAM_TILE
    for start in range(0, max(d, 1), width):
        rows = kernels.active().window(block.rows, start, start + width)
        yield Block(kernels.active().split(kernels.active().mix(rows, whole)), block.start + start)
