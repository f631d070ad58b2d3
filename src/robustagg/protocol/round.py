"""The question: one round as a rule sees it, and a block of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels.interface import SINGLE, Rows
from robustagg.names import Client, Floats

NON_FINITE = "not admitted: NaN or infinite values"
ROUNDS = 2**62  # numbers are below it, so that their differences fit in an int64


class Span(NamedTuple):
    """A tensor that votes, as coordinates of the model."""

    name: str
    """Its dotted path; of a model that is one tensor, nothing."""
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size


def spans(tensors: Iterable[tuple[str, tuple[int, ...]]], start: int = 0) -> tuple[Span, ...]:
    """Tensors of these names and shapes, one after the other."""
    found = []
    for name, shape in tensors:
        found.append(Span(name, start, shape))
        start = found[-1].stop
    return tuple(found)


class Roll:
    """Who takes part in a round, and who is left out of it. Nobody changes it."""

    clients: tuple[Client, ...]
    """All n clients that sent something."""
    excluded: Mapping[int, str]
    """Index of each client that is not admitted, and why not."""
    remarks: Mapping[int, str]
    """Index of clients, and what is to be said of them besides the rule's reason."""
    kept: list[int]
    """Indices of the admitted clients, whose rows the rule gets."""

    @property
    def admitted(self) -> NDArray[np.bool_]:
        """(n,) whether a client is admitted."""
        left_out = np.zeros(len(self.clients), np.bool_)
        for i in self.excluded:
            left_out[i] = True
        return ~left_out

    def of_admitted(self, values: NDArray[Any]) -> NDArray[Any]:
        """The admitted clients' among the values of all."""
        return values[self.kept] if self.excluded else values

    def spread(self, values: NDArray[Any], other: float) -> NDArray[Any]:
        """(n,) the admitted clients' values, themselves where that is all, `other` for those that are not admitted."""
        if not self.excluded:
            return values
        whole = np.full(len(self.clients), other, values.dtype)
        whole[self.kept] = values
        return whole

    def told(self, words: Sequence[str]) -> tuple[str, ...]:
        """(n,) the admitted clients' words, and for the others why they are not admitted."""
        if not self.excluded and not self.remarks:
            return tuple(words)
        said = {i: f"; {remark}" for i, remark in self.remarks.items()}
        reasons = {i: word + said.get(i, "") for i, word in zip(self.kept, words, strict=True)} | dict(self.excluded)
        return tuple(reasons[i] for i in range(len(self.clients)))


@dataclass
class Round(Roll):
    """One round as a rule sees it. Nobody changes it; to be frozen would cost a microsecond."""

    number: int
    clients: tuple[Client, ...]
    d: int
    """Coordinates of the model."""
    sample_counts: Floats | None = None
    """(n,) of all clients, or None."""
    excluded: Mapping[int, str] = field(default_factory=dict)
    remarks: Mapping[int, str] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the call, for the rules that take some."""
    prepared: Any = None
    """What the rule has drawn for this round, see :meth:`Rule.prepare`."""
    spans: tuple[Span, ...] = ()
    """The tensors that vote, for the rules that are :attr:`Rule.by_tensor`."""
    dtype: np.dtype[Any] = SINGLE
    """What holds a coordinate of any tensor that votes: float32 or float64."""
    spent: int = 0
    """Clients that were left out before rows were mixed to other rows."""

    kept: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        everyone = range(len(self.clients))
        self.kept = [i for i in everyone if i not in self.excluded] if self.excluded else list(everyone)

    @property
    def lost(self) -> int:
        """How many clients are left out: each is one of those that a rule withstands."""
        return len(self.excluded) + self.spent

    def counts(self) -> Floats | None:
        """Sample counts of the admitted clients."""
        return None if self.sample_counts is None else self.of_admitted(self.sample_counts)

    def without(self, reasons: Mapping[int, str]) -> Round:
        """The round with further clients excluded."""
        if not reasons:
            return self
        round = replace(self, excluded={**self.excluded, **reasons})
        if len(round.excluded) == len(self.clients):
            raise errors.nobody_admitted((self.clients[i], why) for i, why in round.excluded.items())
        return round


class Block(NamedTuple):
    """The same coordinates of all admitted clients, and of the reference vectors that a rule has asked for."""

    rows: Rows
    start: int
    """Index of its first coordinate in the model."""
