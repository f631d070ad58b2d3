"""How the samples are split over the clients: the indices of each client's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors

Parts: TypeAlias = list[NDArray[np.intp]]

DRAWS = 1000  # of an unbalanced split, until every client holds enough


def dirichlet(labels: NDArray[Any], clients: int, alpha: float, rng: np.random.Generator) -> Parts:
    """Equally many for each client, in class proportions drawn from Dirichlet(alpha).

    The clients draw in turn, one sample at a time, from the classes that still have some. (Hsu, Qi and Brown, 2019.)
    """
    pools = [list(rng.permutation(np.flatnonzero(labels == label))) for label in np.unique(labels)]
    left = np.array([len(pool) for pool in pools])
    shares = rng.dirichlet(np.full(len(pools), alpha), clients)
    parts: list[list[int]] = [[] for _ in range(clients)]
    for _ in range(len(labels) // clients):
        for part, share, draw in zip(parts, shares, rng.random(clients), strict=True):
            odds = share * (left > 0)
            reach = np.cumsum(odds if odds.sum() > 0 else left)
            chosen = int(np.searchsorted(reach, draw * reach[-1], side="right"))
            part.append(pools[chosen].pop())
            left[chosen] -= 1
    return [np.array(part, np.intp) for part in parts]


def unbalanced(labels: NDArray[Any], clients: int, alpha: float, rng: np.random.Generator) -> Parts:
    """Each class is dealt out in shares drawn from Dirichlet(alpha), so that some clients hold more than others.

    Drawn again until everybody holds a sample. (Bagdasaryan et al., 2020; Chu et al., 2023.)
    """
    for _ in range(DRAWS):
        parts: list[list[NDArray[np.intp]]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            members = rng.permutation(np.flatnonzero(labels == label))
            cuts = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1] * len(members)
            for part, dealt in zip(parts, np.split(members, cuts.round().astype(int)), strict=True):
                part.append(dealt)
        whole = [np.concatenate(part) for part in parts]
        if min(map(len, whole)) > 0:
            return whole
    raise errors.clients_without_samples(clients, alpha, DRAWS)


def iid(labels: NDArray[Any], clients: int, alpha: float, rng: np.random.Generator) -> Parts:
    """Equally many for each client, drawn at random."""
    return list(rng.permutation(len(labels))[: len(labels) // clients * clients].reshape(clients, -1))


def by_class(labels: NDArray[Any], clients: int, alpha: float, rng: np.random.Generator) -> Parts:
    """Two shards of the samples sorted by class for each client: few classes each. (McMahan et al., 2017.)"""
    order = np.argsort(labels, kind="stable")
    shards = np.array_split(order, min(2 * clients, len(order)))
    dealt = rng.permutation(len(shards))
    return [np.concatenate([shards[k] for k in dealt[client::clients]]) for client in range(clients)]


SPLITS: dict[str, Callable[[NDArray[Any], int, float, np.random.Generator], Parts]] = {
    "dirichlet": dirichlet,
    "unbalanced": unbalanced,
    "iid": iid,
    "by-class": by_class,
}
"""By name; all but ``iid`` and ``by-class`` heed alpha."""


def split(labels: NDArray[Any], clients: int, alpha: float, rng: np.random.Generator, how: str = "dirichlet") -> Parts:
    """Indices of each client's samples; raises where somebody would hold none."""
    if clients > len(labels):
        raise errors.out_of_range("clients", clients, f"at most {len(labels)}, a sample each")
    return SPLITS[how](labels, clients, alpha, rng)
