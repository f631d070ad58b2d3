"""What the engine asks of a source of blocks and of whoever takes the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from robustagg.kernels.interface import Array, Rows
from robustagg.names import Client
from robustagg.protocol.round import Remember


class Sink(Protocol):
    """Takes the pieces of the result in block order."""

    def add(self, piece: Array) -> None: ...

    def result(self) -> Any:
        """The finished whole."""


class Notes(Protocol):
    """Keeps what a rule notes of each block until it combines it."""

    def append(self, note: Any) -> None: ...

    def __iter__(self) -> Iterator[Any]: ...


class Source(Protocol):
    """Where the clients' updates are."""

    @property
    def clients(self) -> tuple[Client, ...]: ...

    @property
    def d(self) -> int:
        """Coordinates of the model."""

    @property
    def excluded(self) -> Mapping[int, str]:
        """Indices of the clients whose update cannot be read, and why not."""

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        """The same coordinates of the kept clients, block after block, in the same cut at every call.

        Raises :class:`errors.Unusable` where a client's update turns out not to be readable.
        """

    def with_references(self, trees: Mapping[str, Any]) -> Source:
        """The source with further rows in every block, one of each named tree."""

    def notes(self) -> Notes: ...

    def sink(self, kept: Sequence[int]) -> Sink: ...

    @property
    def remember(self) -> Remember:
        """How vectors of the model's size are remembered; not bound to the source, which the round may outlive."""
