"""Executors in place of a cluster: each does what one may do, in an order of its own."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import as_completed
from typing import Any

import numpy as np


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
