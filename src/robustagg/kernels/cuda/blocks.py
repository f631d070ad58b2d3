"""Rows where the kernels run: launching on them, and cutting the host's rows into blocks that go there one by one."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from robustagg.errors import NonFinite
from robustagg.kernels.cuda import sources
from robustagg.kernels.cuda.sources import COLUMN_THREADS
from robustagg.kernels.interface import GRAM_TILE, Array, Rows
from robustagg.kernels.numpy import compute_dtype

MOST_BLOCKS = 2**16  # of a grid: threads take more than one column rather than be more


class Sent(NamedTuple):
    """Rows on their way to the machine."""

    rows: list[Array]
    arrive: Callable[[], None]
    """Lets what is launched from now on find them there."""


class Machine(Protocol):
    """Where kernels run: a device, or, for tests, this processor."""

    arrays: Any
    """The module of its arrays, with NumPy's names."""

    def holds(self, array: Any) -> bool:
        """Whether an array is in its memory."""

    def bring(self, array: Any) -> Any:
        """An array in its memory, contiguous."""

    def send(self, rows: Rows) -> Sent:
        """Begin to bring the host's rows."""

    def home(self, array: Any) -> Array:
        """Its array in the host's memory."""

    def blank(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Memory of the host that its arrays come to fast."""

    def fetch(self, array: Any, to: Array) -> None:
        """Begin to bring its array home, to where another is."""

    def settle(self) -> None:
        """Return when all that was fetched is there."""

    def address(self, array: Any) -> int:
        """Where its array begins."""

    def launch(self, text: str, kernel: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        """Run a kernel of a text on arrays of the machine, or where such begin, and NumPy's numbers."""


class Block:
    """Some neighbouring columns of all rows, on the machine, and whole numbers that kernels add to zeros.

    What they have found is brought home once, when all are launched.
    """

    def __init__(self, machine: Machine, rows: Rows, part: slice, *counted: int) -> None:
        """`counted` is the shape of the whole numbers."""
        self.machine, self.rows, self.part = machine, rows, part
        self.n, self.d, self.dtype = len(rows), part.stop - part.start, rows[0].dtype
        self.compute = compute_dtype(rows)
        self.tiles = -(-self.d // GRAM_TILE)
        self._counted = counted
        self._sent: list[Any] = []
        self._addresses: np.uint64 | None = None

    def empty(self, *shape: int, dtype: Any = None) -> Any:
        """An array on the machine, of the compute dtype unless another is named."""
        return self.machine.arrays.empty(shape, self.compute if dtype is None else dtype)

    def zeros(self, *shape: int, dtype: Any) -> Any:
        return self.machine.arrays.zeros(shape, dtype)

    def own(self, values: Any) -> Any:
        """The block's columns of an array that has all."""
        return self.machine.bring(values[..., self.part])

    def own_bits(self, bits: Any) -> Any:
        """The block's columns of an array of a bit per column."""
        return self.machine.bring(bits[..., self.part.start // 8 : -(-self.part.stop // 8)])

    @cached_property
    def _told(self) -> Any:
        """Whether there is a NaN, then the whole numbers."""
        return self.zeros(1 + math.prod(self._counted), dtype=np.int64)

    @property
    def counts(self) -> np.uint64:
        """Where the whole numbers are, for a kernel."""
        place: np.uint64 = np.uint64(self.machine.address(self._told) + 8)
        return place

    @cached_property
    def found(self) -> NDArray[np.int64]:
        """The whole numbers, at the host, when all kernels are launched; NonFinite where one has met such a value."""
        if "_told" not in vars(self):  # nothing was launched
            return np.zeros(self._counted, np.int64)
        told = self.machine.home(self._told)
        if told[0]:
            raise NonFinite
        return told[1:].reshape(self._counted)

    def made(self, job: Callable[[Block], Any]) -> Any:
        """What a job makes of the block; NonFinite as above."""
        made = job(self)
        _ = self.found
        return made

    def columns(self, body: str, *arguments: Any) -> None:
        """Run a kernel that gives each column to a thread."""
        self._run(body, body, min(-(-self.d // COLUMN_THREADS), MOST_BLOCKS), COLUMN_THREADS, arguments)

    def tasks(self, body: str, count: int, threads: int, *arguments: Any, kernel: str | None = None) -> None:
        """Run a kernel that gives each of `count` tasks to a block of threads."""
        self._run(body, kernel or body, min(count, MOST_BLOCKS), threads, arguments)

    def _run(self, body: str, kernel: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        if not self.d:
            return
        given = self._given(arguments)
        shape = (self._addresses, np.int32(self.n), np.int64(self.d), self._told)
        self.machine.launch(sources.text(body, self.dtype, self.n), kernel, blocks, threads, (*shape, *given))

    def _given(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Arguments as a kernel takes them; the host's go to the machine together, at first with where rows begin."""
        host = [isinstance(each, np.ndarray) and not self.machine.holds(each) for each in arguments]
        arrays = [each.tobytes() for each, ours in zip(arguments, host, strict=True) if ours]
        if not self._sent:
            arrays.insert(0, array("Q", map(self.machine.address, self.rows)).tobytes())
            self._addresses, *places = self._places(arrays)
        else:
            places = self._places(arrays) if arrays else []
        place = iter(places)
        return [next(place) if ours else _number(each) for each, ours in zip(arguments, host, strict=True)]

    def _places(self, arrays: Sequence[bytes]) -> list[np.uint64]:
        """Where arrays begin on the machine that go there one after the other, each from a multiple of eight on."""
        parts = [part + bytes(-len(part) % 8) for part in arrays]
        self._sent.append(self.machine.bring(np.frombuffer(b"".join(parts), np.uint8)))
        begin = self.machine.address(self._sent[-1])  # kept as long as the block, lest it be overwritten
        return list(map(np.uint64, accumulate(map(len, parts[:-1]), initial=begin)))


def _number(argument: Any) -> Any:
    """An argument as a kernel takes it: whole numbers have 32 bits unless NumPy says otherwise."""
    if isinstance(argument, int):
        return np.int32(argument)
    return np.float64(argument) if type(argument) is float else argument


class Gathered:
    """What is made of blocks, on its way to the host: its last axis is that of the columns, or of 8 of them each."""

    def __init__(self, machine: Machine, first: Any, width: int, d: int) -> None:
        """As blocks of `width` columns of `d`, but for the last, yield `first`."""
        self._machine, self._end = machine, 0
        self.whole = machine.blank((*first.shape[:-1], -(-d * first.shape[-1] // max(width, 1))), first.dtype)

    def add(self, piece: Any) -> None:
        begin, self._end = self._end, self._end + piece.shape[-1]
        self._machine.fetch(piece, self.whole[..., begin : self._end])


def parts(n: int, d: int, itemsize: int, most: int) -> Iterator[slice]:
    """Neighbouring ranges of columns whose n values take about `most` bytes: whole tiles, at least one range."""
    width = max(most // (n * itemsize * GRAM_TILE), 1) * GRAM_TILE
    for start in range(0, max(d, 1), width):
        yield slice(start, min(start + width, d))


def blocks_of(machine: Machine, rows: Rows, most: int, *counted: int) -> Iterator[Block]:
    """The host's rows, a block being sent while the one before it is computed on."""
    ranges = list(parts(len(rows), rows[0].size, rows[0].dtype.itemsize, most))
    ahead = machine.send([row[ranges[0]] for row in rows])
    for part, following in zip(ranges, [*ranges[1:], None], strict=True):
        sent = ahead
        if following is not None:
            ahead = machine.send([row[following] for row in rows])
        sent.arrive()
        yield Block(machine, sent.rows, part, *counted)
