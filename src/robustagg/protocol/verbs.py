"""What the engine asks of a rule, of a source of blocks, and of whoever takes the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.names import Client
from robustagg.protocol.result import Result
from robustagg.protocol.round import Block, Round, Span


class Verbs(Protocol):
    """A rule, as the engine sees it."""

    @property
    def nonfinite(self) -> str:
        """ "reject" or "raise": what becomes of a client whose update holds a NaN or an infinity."""

    @property
    def last_round(self) -> int | None:
        """Number of the last completed round."""

    @property
    def observes(self) -> bool:
        """Whether the rule looks at the blocks before it combines them."""

    @property
    def unguarded(self) -> bool:
        """Whether it reads rows itself: they lie at the host then, and NaN and infinity have been looked for before."""

    @property
    def by_tensor(self) -> bool:
        """Whether the rule must know which coordinates are of which tensor."""

    @property
    def vectors(self) -> Mapping[Client, Vector]:
        """What the rule remembers of the model's size."""

    def check(self, round: Round) -> None:
        """Whether the rule can do this round; raises if not."""

    def withstood(self, m: int) -> int | None:
        """How many Byzantine clients among m admitted ones the rule withstands; None where it has no f."""

    def references(self, round: Round) -> Mapping[str, Any]:
        """Trees, by name, whose rows every block shall hold after the clients' rows."""

    def prepare(self, round: Round) -> Any:
        """What is drawn once a round; the round that the other verbs get holds it."""

    def observe(self, block: Block, round: Round, verdict: Any) -> tuple[Any, Any]:
        """(evidence, note) of one block; `verdict` is the previous pass's, if there was one."""

    def decide(self, evidence: Any, round: Round) -> Any:
        """Weigh the admitted clients on the sum of all evidence. Changes no state."""

    def combine(self, block: Block, note: Any, verdict: Any) -> Array:
        """The block's coordinates of the result. The note stays as it was."""

    def learn(self, block: Block, piece: Array, verdict: Any) -> Array:
        """The block's coordinates of the vectors that the verdict names; `piece` is what combine has given."""

    def commit(self, verdict: Any, round: Round, vectors: Mapping[Client, Vector]) -> None:
        """Remember a completed round, and in place of all vectors these."""

    def record(self, result: Result) -> None:
        """Keep what became of a completed round's clients, until it is saved."""

    def for_worker(self, vectors: Mapping[Client, Vector]) -> Verbs:
        """A copy to observe, combine and learn with elsewhere: with these vectors, without all else it remembers."""


class Sink(Protocol):
    """Takes the pieces of the result in block order."""

    def add(self, piece: Array) -> None: ...

    def result(self) -> Any:
        """Finish the whole, aside: what the update will be."""

    def publish(self) -> None:
        """Let everybody see it. The last thing of a round that may fail."""


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
    def dtype(self) -> np.dtype[Any]:
        """What holds a coordinate of any tensor that votes: float64 where one is, else float32."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """The tensors that vote, in the order of their coordinates."""

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

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        """Where new vectors of the model's size go, beside the old ones; the round may outlive the source."""


@dataclass
class Partition:
    """A stretch of the model that a worker reads and writes by itself."""

    start: int
    """Index of its first coordinate."""
    cuts: Sequence[Any]
    """Its blocks, as the source knows them."""
    nbytes: int
    """Bytes that each client has there."""
    seal: Any = None
    """What the first pass has read there; a later one that reads anything else says whose it is."""
    pieces: dict[int, Any] = field(default_factory=dict)
    """References to what clients have there; work gets what they stand for, or :class:`errors.Unreadable`."""


class Divisible(Source, Protocol):
    """A source that goes to other processes, which read and write partitions of it."""

    def partitions(self, slots: int) -> list[Partition]:
        """The model, for so many workers."""

    def part(self, partition: Partition) -> Source:
        """One partition: its blocks alone, and a sink and a memory that take their pieces."""

    def shared(self, vectors: Mapping[Client, Vector]) -> Mapping[Client, Vector]:
        """The vectors, where workers can read them."""

    def joined(self, made: Sequence[Any]) -> None:
        """For each partition a list of what its sink has given, or what stands for that here: the last sink's whole."""


class Executor(Protocol):
    """Runs work on partitions: on the machines of a cluster, in processes, or one after the other."""

    @property
    def slots(self) -> int:
        """How much it runs at a time."""

    def within(self, nbytes: int) -> Executor:
        """The same, for work of which each piece may take so many bytes of memory."""

    def each(
        self, work: Callable[..., tuple[Any, Any]], common: Any, tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any, Any]]:
        """(index, brief, kept) of every task, in whatever order they end; ``work(common, *task)`` gives (brief, kept).

        What is brief comes here. What is kept may stay where it was made: what stands for it here, where it is part of
        a later task, is again what it was. Work that is lost is done again, and gives the same.
        """


class Holder(Executor, Protocol):
    """An executor whose workers hold updates, which are known here by references alone."""

    def held(self, value: Any) -> Any:
        """A reference to the value, which may be one already."""

    def value(self, value: Any) -> Any:
        """What a reference stands for, brought here; anything else as it is. Raises :class:`errors.Unreadable`."""

    def there(
        self, work: Callable[..., Any], common: Any, tasks: Sequence[tuple[Any, ...]], count: int
    ) -> list[Sequence[Any]]:
        """For every task references to the `count` things, or the one, that ``work(common, *task)`` will give.

        References in the task come to the work as what they stand for, if possible where that lies.
        """

    @property
    def fetch(self) -> Callable[[Sequence[Any]], list[Any]]:
        """What brings the things that references stand for to whoever calls it, workers too.

        In place of what is lost, or was never made, an :class:`errors.Unreadable`.
        """


def offers(executor: object, *names: str) -> bool:
    """Whether something can be used as an executor that has methods of these names besides an executor's own."""
    asked = ("within", "each", *names)
    return not isinstance(executor, type) and all(hasattr(executor, name) for name in asked)
