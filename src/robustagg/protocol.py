"""What a round is made of: the question, the decision, the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels.interface import Rows
from robustagg.vectors import InMemory, Memory, Vector

Client: TypeAlias = int | str
Floats: TypeAlias = NDArray[np.float64]
Remember: TypeAlias = Callable[[Mapping[Client, Vector], Sequence[Client]], Memory]
"""Given the vectors that a rule remembers, and names: where new vectors of these names go."""

NON_FINITE = "not admitted: NaN or infinite values"
SHOWN = 40  # clients that print(result) lists


@dataclass(frozen=True)
class Round:
    """One round as a rule sees it."""

    number: int
    clients: tuple[Client, ...]
    """All clients that sent something."""
    d: int
    """Coordinates of the model."""
    sample_counts: Floats | None = None
    """(n,) of all clients, or None."""
    excluded: Mapping[int, str] = field(default_factory=dict)
    """Index of each client that is not admitted, and why not."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the call, for the rules that take some."""
    remember: Remember = InMemory
    """How vectors of the model's size are remembered."""

    @cached_property
    def kept(self) -> list[int]:
        """Indices of the admitted clients, whose rows the rule gets."""
        everyone = range(len(self.clients))
        return [i for i in everyone if i not in self.excluded] if self.excluded else list(everyone)

    @cached_property
    def admitted(self) -> NDArray[np.bool_]:
        """(n,) whether a client is admitted."""
        mask = np.ones(len(self.clients), np.bool_)
        for i in self.excluded:
            mask[i] = False
        return mask

    def counts(self) -> Floats | None:
        """Sample counts of the admitted clients."""
        return None if self.sample_counts is None else self.of_admitted(self.sample_counts)

    def of_admitted(self, values: NDArray[Any]) -> NDArray[Any]:
        """The admitted clients' among the values of all."""
        return values[self.kept] if self.excluded else values

    def spread(self, values: NDArray[Any], other: float) -> NDArray[Any]:
        """(n,) copied from the admitted clients' values, with `other` for those that are not admitted."""
        if not self.excluded:
            return np.array(values)
        whole = np.full(len(self.clients), other, values.dtype)
        whole[self.kept] = values
        return whole

    def told(self, words: Sequence[str]) -> tuple[str, ...]:
        """(n,) the admitted clients' words, and for the others why they are not admitted."""
        if not self.excluded:
            return tuple(words)
        rest = iter(words)
        return tuple(self.excluded.get(i) or next(rest) for i in range(len(self.clients)))

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


@dataclass(frozen=True)
class Standing:
    """What a rule with a memory knows of each of a round's n clients, the excluded ones included."""

    accepted: NDArray[np.int64]
    rejected: NDArray[np.int64]
    observed: Floats
    reputation: Floats


@dataclass(frozen=True)
class Verdict:
    """A rule's decision on the m admitted clients of a round."""

    weights: Floats
    """(m,) how much of the result is each client's; sums to 1."""
    reasons: Sequence[str]
    """(m,) why, in words."""
    standing: Standing | None = None
    again: bool = False
    """Observe every block once more, with this verdict in hand, before combining."""


@dataclass(frozen=True)
class Result:
    """One update, and what became of each client.

    Attributes
    ----------
    update
        The aggregate: kind, dtype, device and structure of what the clients sent.
    clients : tuple of int or str
        The n clients, in the order given.
    weights : (n,) float64
        Each client's share of the update; sums to 1, zero for who is not admitted. For rules that choose per
        coordinate (median, trimmed mean) the admitted clients' equal say.
    admitted : (n,) bool
        Whether the client took part at all.
    reasons : tuple of str
        Why each weight is what it is.
    round : int
        Number of the round.
    reputation, observed : (n,) float64 or None
        Decayed score, and this round's observation; None for rules that keep no reputation.
    accepted, rejected : (n,) int64 or None
        Coordinates of each client that were accepted and rejected; None for rules that do not judge coordinates.
    """

    update: Any
    clients: tuple[Client, ...]
    weights: Floats
    admitted: NDArray[np.bool_]
    reasons: tuple[str, ...]
    round: int
    rule: str
    reputation: Floats | None = None
    observed: Floats | None = None
    accepted: NDArray[np.int64] | None = None
    rejected: NDArray[np.int64] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything but the update, ready for :func:`json.dumps`."""
        columns = {name: None if value is None else value.tolist() for name, value in self._columns().items()}
        return {
            "rule": self.rule,
            "round": self.round,
            "clients": list(self.clients),
            **columns,
            "reasons": list(self.reasons),
        }

    def __str__(self) -> str:
        formats = {"accepted": "d", "rejected": "d", "observed": ".4f", "reputation": ".4f", "weights": ".4f"}
        columns = {name: value for name, value in self._columns().items() if value is not None}
        header = ["client", *columns, "reason"]
        lines = [
            [
                str(client),
                *(
                    "yes" if v[i] is np.True_ else "no" if v[i] is np.False_ else format(v[i], formats[k])
                    for k, v in columns.items()
                ),
                self.reasons[i],
            ]
            for i, client in enumerate(self.clients[:SHOWN])
        ]
        widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
        table = [
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in [header, *lines]
        ]
        if len(self.clients) > SHOWN:
            table.append(f"… and {len(self.clients) - SHOWN} more clients")
        return "\n".join([f"{self.rule}, round {self.round}", *table])

    def _columns(self) -> dict[str, NDArray[Any] | None]:
        names = ("admitted", "accepted", "rejected", "observed", "reputation", "weights")
        return {name: getattr(self, name) for name in names}
