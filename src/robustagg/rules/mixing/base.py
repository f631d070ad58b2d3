"""What pre-aggregations are: matrices that mix the rows; one after the other, and on their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from robustagg import engine, inputs, kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Block, Client, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.component import Component
from robustagg.rules.evidence.extremes import Extremes
from robustagg.rules.evidence.geometry import Geometry, Relation
from robustagg.rules.evidence.gram import Gram, Related

Measured: TypeAlias = Gram | Related | Extremes


@dataclass(eq=False)
class PreAggregation(Component):
    """Base of all pre-aggregations: a dataclass of parameters that decides how rows are mixed.

    A member of :class:`Pipeline`, or called on its own: ``NNM(f=2)(updates)`` are the mixed updates.
    """

    keeps_clients: ClassVar[bool] = True
    """Whether row i still speaks for client i."""
    measures: ClassVar[type[Measured] | None] = Gram
    """What the matrix depends on: the inner products of all rows, their lengths, where the extremes are, or nothing."""

    def __call__(
        self,
        updates: Any,
        clients: Iterable[Client] | None = None,
        round: int | None = None,
        strict: bool = False,
        buffers: Mapping[str, str] | None = None,
    ) -> Any:
        """The mixed updates.

        Parameters
        ----------
        updates, clients, round, strict, buffers
            As :meth:`Rule.aggregate` takes them.

        Returns
        -------
        (m, d) array, or list of m updates
            Of the kind and dtype of what came in: an array for an array, else a list. Clients whose update holds a NaN
            or an infinity are left out.
        """
        found = inputs.gather(updates, clients, strict=strict, policy=inputs.Policy.of(buffers))
        with found.near():
            return engine.run(Mixer(self), Apart(found, hasattr(updates, "shape")), number=round).update

    def after(self, round: Round) -> Round:
        """The round as whoever gets the mixed rows sees it."""
        return round

    def rows_of(self, m: int) -> int:
        """How many rows it makes of m."""
        return m

    @abstractmethod
    def mixing(self, seen: Any, round: Round) -> Floats:
        """The (m, n) matrix that makes m rows of n.

        `seen` is the rows' geometry, or only their relation to zero where lengths are enough, or their distances to the
        nearer extreme, or None.
        """


# --- members one after the other ------------------------------------------------------------------------------------


def composed(
    members: Sequence[PreAggregation], evidence: Measured | None, round: Round
) -> tuple[Floats, Geometry | None]:
    """The matrix of all members, and the geometry of the rows it makes; rows besides the clients' pass unchanged.

    Lengths alone, :class:`Related`, are enough where only the first member asks for something.
    """
    seen = seen_in(evidence)
    matrix = np.eye(len(round.kept)) * scales(seen, len(round.kept))
    geometry = seen if isinstance(seen, Geometry) else None
    for member in members:
        if geometry is not None:
            part = geometry.part(list(range(len(round.kept))))
            seen = part.relation() if member.measures is Related else part
        step = member.mixing(seen, round)
        if geometry is not None:
            geometry = geometry.mixed(extended(step, geometry.n))
        matrix, round = step @ matrix, member.after(round)
    return matrix, geometry


def seen_in(evidence: Measured | None) -> Geometry | Relation | Floats | None:
    """Evidence as numbers."""
    if isinstance(evidence, Gram):
        return evidence.geometry()
    if isinstance(evidence, Extremes):
        return evidence.nearness()
    return None if evidence is None else evidence.relation()


def scales(seen: Geometry | Relation | Floats | None, m: int) -> Floats:
    """(m,) what the clients' rows were multiplied by to be seen so."""
    scale = seen.scale if isinstance(seen, (Geometry, Relation)) else None
    return np.ones(m) if scale is None else scale[:m]


def extended(matrix: Floats, n: int) -> Floats:
    """The matrix for n rows, of which those that it says nothing of pass unchanged."""
    m, k = matrix.shape
    whole = np.zeros((m + n - k, n))
    whole[:m, :k] = matrix
    whole[m:, k:] = np.eye(n - k)
    return whole


def say(matrix: Floats) -> Floats:
    """How much of each row that the matrix makes is each client's; every row sums to 1, nobody's row is everybody's."""
    total = matrix.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(matrix, total, out=np.full_like(matrix, 1 / matrix.shape[1]), where=total > 0))


# --- a pre-aggregation on its own -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixed(Verdict):
    """A verdict on how to mix."""

    matrix: Floats = field(kw_only=True)


@dataclass(eq=False)
class Mixer(Rule[Mixed]):
    """Lets the engine run a pre-aggregation: the pieces of its result have m rows."""

    member: PreAggregation

    @property
    def observes(self) -> bool:
        return self.member.measures is not None

    @property
    def further_rows(self) -> int:
        return 1

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Gram.nbytes(n) if self.member.measures is Gram else 0

    def check(self, round: Round) -> None:
        super().check(round)
        self.member.check(round)

    def withstood(self, m: int) -> int | None:
        return self.member.withstood(m)

    def observe(self, block: Block, round: Round, verdict: Mixed | None) -> tuple[Measured, None]:
        assert self.member.measures is not None
        return self.member.measures.of(block.rows), None

    def decide(self, evidence: Any, round: Round) -> Mixed:
        seen = seen_in(evidence)
        matrix = self.member.mixing(seen, round) * scales(seen, len(round.kept))
        weights = say(matrix).mean(axis=0)
        return Mixed(weights, ["mixed"] * len(weights), matrix=matrix)

    def combine(self, block: Block, note: Any, verdict: Mixed) -> Array:
        return kernels.active().mix(block.rows, verdict.matrix)


class Apart:
    """A source whose sink keeps the rows of each piece apart, as updates of their own or as one array of them."""

    def __init__(self, updates: inputs.Updates, whole: bool) -> None:
        self.updates, self.whole = updates, whole
        self.clients, self.d, self.excluded = updates.clients, updates.d, updates.excluded
        self.dtype, self.spans = updates.dtype, updates.spans

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        return self.updates.blocks(kept)

    def with_references(self, trees: Mapping[str, Any]) -> Apart:
        return Apart(self.updates.with_references(trees), self.whole)

    def notes(self) -> list[Any]:
        return self.updates.notes()

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return self.updates.memory(old, names)

    def sink(self, kept: Sequence[int]) -> ApartSink:
        return ApartSink(self.updates, kept, self.whole)


class ApartSink:
    """Takes pieces of m rows and makes m updates, or the (m, d) array of them."""

    def __init__(self, updates: inputs.Updates, kept: Sequence[int], whole: bool) -> None:
        self.updates, self.kept, self.whole = updates, kept, whole
        self.pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self.pieces.append(piece)

    def result(self) -> Any:
        if self.whole:
            return self.updates.leaves[0].like(kernels.active().join(self.pieces))
        apart = map(kernels.active().split, self.pieces)
        return [self._update(pieces) for pieces in zip(*apart, strict=True)]

    def publish(self) -> None:
        """The caller gets the result as it is."""

    def _update(self, pieces: Iterable[Array]) -> Any:
        sink = self.updates.sink(self.kept)
        for piece in pieces:
            sink.add(piece)
        return sink.result()
