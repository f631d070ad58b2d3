"""What goes into the first layer, which costs most: products that use that most of a text's words are absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robustagg import errors

SPARSE = 0.1  # share of values that are not 0, below which products of these alone are faster

Floats = NDArray[np.float32]


class Inputs(Protocol):
    """The samples of g clients; `take` says which are a step's batch."""

    def take(self, chosen: NDArray[np.intp]) -> None:
        """(active, b) the samples of the first clients."""

    def times(self, weights: Floats) -> Floats:
        """(active, b, units) the batch by (g, features, units) weights."""

    def transposed_times(self, delta: Floats) -> Floats:
        """(active, features, units) the transposed batch by (active, b, units) deltas."""


class Dense:
    """An array per client."""

    def __init__(self, samples: Sequence[Floats]) -> None:
        self.samples = samples

    def take(self, chosen: NDArray[np.intp]) -> None:
        self.x = np.stack([x.take(rows, 0) for x, rows in zip(self.samples, chosen, strict=False)])

    def times(self, weights: Floats) -> Floats:
        return np.asarray(self.x @ weights[: len(self.x)])

    def transposed_times(self, delta: Floats) -> Floats:
        return np.asarray(self.x.swapaxes(1, 2) @ delta)


class Sparse:
    """One sparse matrix with the clients' along its diagonal: a single product for all of them."""

    def __init__(self, samples: Sequence[Any]) -> None:
        from scipy.sparse import block_diag

        self.features = samples[0].shape[1]
        self.all = block_diag(samples, format="csr")
        self.starts = np.cumsum([0, *(x.shape[0] for x in samples[:-1])])

    def take(self, chosen: NDArray[np.intp]) -> None:
        self.shape = chosen.shape
        self.x = self.all[(self.starts[: len(chosen), None] + chosen).ravel()]

    def times(self, weights: Floats) -> Floats:
        units = weights.shape[-1]
        return np.asarray(self.x @ weights.reshape(-1, units)).reshape(*self.shape, units)

    def transposed_times(self, delta: Floats) -> Floats:
        units = delta.shape[-1]
        product = np.asarray(self.x.T @ delta.reshape(-1, units))
        return product.reshape(-1, self.features, units)[: self.shape[0]]


class Compressed:
    """Remembers what arrays look like as sparse matrices: samples are the same in every round."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Floats, Any]] = {}

    def inputs(self, samples: Sequence[Floats]) -> Inputs:
        """The cheaper kind."""
        matrices = list(map(self.matrix, samples))
        return Dense(samples) if any(matrix is None for matrix in matrices) else Sparse(matrices)

    def matrix(self, x: Floats) -> Any:
        """The sparse matrix of an array, None where it would not be sparse."""
        if id(x) not in self.known:
            self.known[id(x)] = (x, _csr(x) if np.count_nonzero(x) < SPARSE * x.size else None)
        return self.known[id(x)][1]


def _csr(x: Floats) -> Any:
    try:
        from scipy.sparse import csr_array
    except ImportError as cause:
        raise errors.optional_package("scipy", "sim") from cause
    return csr_array(x)
