"""What the simulation asks of a model: one flat float32 vector of parameters, trained for all clients at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.simulation.tasks import Samples

Parameters: TypeAlias = NDArray[np.float32]
Seed: TypeAlias = Sequence[int]
T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """Stochastic gradient descent on the negative log-likelihood."""

    learning_rate: float
    batch: int
    momentum: float = 0.0


class Model(Protocol):
    """No state but the parameters, which are given: the same call gives the same bits, for any number of threads."""

    def initial(self, seed: int) -> Parameters:
        """(d,) what training begins with."""

    def updates(
        self, parameters: Parameters, clients: Sequence[Samples], epochs: Sequence[int], seeds: Sequence[Seed]
    ) -> Parameters:
        """(n, d) what each client's training from `parameters` changes; NaN where it diverges."""

    def scores(self, parameters: Parameters, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(samples, classes) log-probabilities."""


def batches(size: int, batch: int, width: int, epochs: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(steps, width) the samples of each step, every one once an epoch; -1 where a batch is shorter than the widest."""
    batch = min(batch, size)
    steps = -(-size // batch)
    order = np.full((epochs, steps * batch), -1, np.intp)
    for epoch in order:
        epoch[:size] = rng.permutation(size)
    return np.pad(order.reshape(epochs * steps, batch), ((0, 0), (0, width - batch)), constant_values=-1)


def planned(
    clients: Sequence[Samples], epochs: Sequence[int], seeds: Sequence[Seed], batch: int
) -> tuple[list[int], list[tuple[NDArray[np.intp], np.random.Generator]]]:
    """The clients, those with most steps first; each one's steps, all equally wide, and what goes on to draw for it."""
    width = min(batch, max(len(y) for _, y in clients))
    plans = []
    for (_, y), passes, seed in zip(clients, epochs, seeds, strict=True):
        rng = np.random.default_rng(seed)
        plans.append((batches(len(y), batch, width, passes, rng), rng))
    return sorted(range(len(clients)), key=lambda client: -len(plans[client][0])), plans


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Clients are trained side by side, each product on one thread: faster, and always the same bits."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError as cause:
        raise errors.optional_package("threadpoolctl", "sim") from cause
    return ThreadpoolController()


def dealt(clients: Sequence[int]) -> list[Sequence[int]]:
    """The clients in as many groups as there are threads."""
    threads = min(kernels.num_threads(), len(clients))
    return [clients[k::threads] for k in range(threads)]


def side_by_side(work: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
    """Like `map`, on as many threads as kernels have."""
    if kernels.num_threads() == 1:
        return list(map(work, *arguments))
    with ThreadPoolExecutor(kernels.num_threads()) as pool:
        return list(pool.map(work, *arguments))
