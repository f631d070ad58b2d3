"""Executors in place of a cluster: each does what one may do, in an order of its own."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import as_completed
from itertools import count
from typing import Any, ClassVar, NamedTuple

import numpy as np

from robustagg import errors


class InTurn:
    """One task after the other, in this process, in a random order; all of it goes and comes as bytes, some twice."""

    slots = 2

    def __init__(self, seed: int = 0, again: float = 0.3) -> None:
        self._random, self._again = random.Random(seed), again

    def within(self, nbytes: int) -> InTurn:
        return self

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        sent = [pickle.dumps((work, common, task)) for task in tasks]
        for k in self._random.sample(range(len(sent)), len(sent)):
            while True:
                made = pickle.dumps(done(sent[k]))
                if self._random.random() > self._again:
                    break
            yield k, *pickle.loads(made)


class Frozen(InTurn):
    """One task after the other, each twice: what is kept of it is one object, whose arrays cannot be written to."""

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        for k, task in enumerate(tasks):
            work(common, *task)
            brief, kept = work(common, *task)
            for note in kept or ():
                for part in note if isinstance(note, tuple) else (note,):
                    if isinstance(part, np.ndarray):
                        part.flags.writeable = False
            yield k, brief, kept


class Pooled:
    """Processes or threads of a pool of :mod:`concurrent.futures`."""

    slots = 2

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def within(self, nbytes: int) -> Pooled:
        return self

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        futures = {self._pool.submit(work, common, *task): k for k, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], *future.result()


def done(sent: bytes) -> Any:
    work, common, task = pickle.loads(sent)
    return work(common, *task)


class Ref(NamedTuple):
    """Stands for something in a store."""

    key: int


class Store(InTurn):
    """One that holds updates: each reference is to bytes, out of which arrays come that cannot be written to."""

    objects: ClassVar[dict[Ref, bytes]] = {}
    _keys = count()

    def held(self, value: Any) -> Any:
        return value if isinstance(value, Ref) else self.kept(value)

    def value(self, value: Any) -> Any:
        (there,) = fetched([value]) if isinstance(value, Ref) else [value]
        if isinstance(there, errors.Unreadable):
            raise there
        return there

    def there(self, work: Callable[..., Any], common: Any, tasks: Any, count: int) -> list[list[Any]]:
        made = []
        for task in tasks:
            given = [fetched([part])[0] if isinstance(part, Ref) else part for part in task]
            lost = next((part for part in given if isinstance(part, errors.Unreadable)), None)
            things = lost or pickle.loads(pickle.dumps(work))(common, *given)
            things = [things] * count if lost or count == 1 else things
            assert len(things) == count
            made.append([self.kept(thing) for thing in things])
        return made

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        for k, brief, kept in super().each(Given(work), common, tasks):
            yield k, brief, self.kept(kept)

    def kept(self, value: Any) -> Ref:
        ref = Ref(next(self._keys))
        self.objects[ref] = pickle.dumps(value, protocol=5)
        return ref

    @property
    def fetch(self) -> Callable[[Sequence[Any]], list[Any]]:
        return fetched


class Given:
    """Work whose tasks name things by references."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work, self.__name__ = work, work.__name__

    def __call__(self, common: Any, partition: Any, *more: Any) -> Any:
        partition.pieces = dict(zip(partition.pieces, fetched(list(partition.pieces.values())), strict=True))
        return self._work(common, partition, *map(found, more))


def fetched(refs: Sequence[Any]) -> list[Any]:
    gone = errors.Unreadable("it is gone")
    return [found(ref) if ref in Store.objects else gone for ref in refs]


def found(value: Any) -> Any:
    """What a reference stands for."""
    if not isinstance(value, Ref):
        return value
    buffers: list[Any] = []
    thing = pickle.dumps(pickle.loads(Store.objects[value]), protocol=5, buffer_callback=buffers.append)
    return pickle.loads(thing, buffers=[bytes(buffer.raw()) for buffer in buffers])
