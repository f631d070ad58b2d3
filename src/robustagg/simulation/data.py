"""Handwritten digits, and their split over clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors

Samples: TypeAlias = tuple[NDArray[np.float32], NDArray[Any]]

SIDE = 8  # pixels
CLASSES = 10
TESTED = 0.25  # share of the samples


@dataclass(frozen=True)
class Task:
    """What the clients hold, and what the model is tested on."""

    clients: list[Samples]
    test: Samples


def digits(clients: int, alpha: float, seed: int) -> Task:
    """scikit-learn's 1797 digits, 8 x 8 pixels in [0, 1]: a quarter for the test, the rest split over the clients."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as cause:
        raise errors.optional_package("scikit-learn", "sim") from cause
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    tested, trained = np.split(order, [round(TESTED * len(y))])
    if clients > len(trained):
        raise errors.out_of_range("clients", clients, f"at most {len(trained)}, a sample each")
    parts = split(y[trained], clients, alpha, rng)
    return Task([(x[trained[part]], y[trained[part]]) for part in parts], (x[tested], y[tested]))


def split(labels: NDArray[Any], clients: int, alpha: float, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Indices of each client's samples: equally many, in class proportions drawn from Dirichlet(alpha).

    The clients draw in turn, one sample at a time, from the classes that still have some. (Hsu, Qi and Brown, 2019.)
    """
    pools = [list(rng.permutation(np.flatnonzero(labels == label))) for label in np.unique(labels)]
    shares = rng.dirichlet(np.full(len(pools), alpha), clients)
    parts: list[list[int]] = [[] for _ in range(clients)]
    for _ in range(len(labels) // clients):
        for part, share in zip(parts, shares, strict=True):
            left = share * [bool(pool) for pool in pools]
            left = left if left.sum() > 0 else np.array([float(len(pool)) for pool in pools])
            part.append(pools[rng.choice(len(pools), p=left / left.sum())].pop())
    return [np.array(part, np.intp) for part in parts]
