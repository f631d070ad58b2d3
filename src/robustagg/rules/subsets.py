"""The n - f clients that agree best: searches over subsets, exact, without looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustagg.protocol import Floats, Round
from robustagg.rules.component import Withstanding
from robustagg.rules.distance import SelectionRule
from robustagg.rules.evidence.geometry import Geometry

SAME = 1e-10  # spreads that differ by less than this part are equal, lest rounding chooses


@dataclass(eq=False)
class MDA(Withstanding, SelectionRule):
    """Minimum diameter averaging: the mean of the n - f updates whose largest distance is least.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n > 2f.

    Notes
    -----
    Breakdown point 1/2. O(n^2 d), then an exact search: a diameter is possible when at most f clients cover all pairs
    that are further apart, which takes at most 1.47^f steps to decide instead of the C(n, f) of enumeration. Of several
    subsets of least diameter, the first in the clients' order. Weighted by `sample_counts` where given.

    References
    ----------
    El Mhamdi et al., "Genuinely Distributed Byzantine Machine Learning", PODC 2020.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.MDA(f=2)(np.array([[1.0], [2.0], [3.0], [900.0], [-900.0]]))
    array([2.])
    """

    isometric = True

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        chosen = least_diameter(geometry.distances, self.withstood(geometry.n))
        furthest = np.sqrt(geometry.distances[:, chosen].max(axis=1))
        return chosen, [f"at most {distance:.4g} from the selected" for distance in furthest.tolist()]


def least_diameter(distances: Floats, f: int) -> NDArray[np.integer]:
    """The first n - f of n rows whose largest distance is least."""
    n = len(distances)
    levels = np.unique(distances)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if coverable(conflicts(distances > levels[middle]), (1 << n) - 1, f):
            high = middle
        else:
            low = middle + 1
    graph = conflicts(distances > levels[low])
    chosen: list[int] = []
    left, alive = f, (1 << n) - 1
    for i in range(n):  # the earlier client stays whenever the rest can do without those too far from it
        if not alive >> i & 1:
            continue
        rivals = graph[i] & alive
        rest = alive & ~rivals & ~(1 << i)
        if coverable(graph, rest, left - rivals.bit_count()):
            chosen.append(i)
            alive, left = rest, left - rivals.bit_count()
        else:
            alive, left = alive & ~(1 << i), left - 1
    return np.array(chosen[: n - f])


def conflicts(far: NDArray[np.bool_]) -> list[int]:
    """A graph, as the neighbours of each vertex, as the bits of an integer."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(far, axis=1, bitorder="little")]


def coverable(graph: Sequence[int], alive: int, k: int) -> bool:
    """Whether at most k of the living vertices touch every edge between them."""
    while k >= 0:
        degrees = {v: (graph[v] & alive).bit_count() for v in _vertices(alive)}
        alive = sum(1 << v for v, degree in degrees.items() if degree)
        if not alive:
            return True
        busiest = max(degrees, key=lambda v: degrees[v])
        most = degrees[busiest]
        if sum(degrees.values()) > 2 * k * most or _pairs(graph, alive) > k:
            return False
        end = next((v for v, degree in degrees.items() if degree == 1), None)
        if end is not None:  # the other end of the edge covers at least as much
            alive, k = alive & ~graph[end], k - 1
        elif most > k or most == 2:  # it must be taken; or rings are left, in which any vertex may be
            alive, k = alive & ~(1 << busiest), k - 1
        elif coverable(graph, alive & ~(1 << busiest), k - 1):
            return True
        else:
            alive, k = alive & ~graph[busiest], k - most
    return False


def _vertices(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _pairs(graph: Sequence[int], alive: int) -> int:
    """How many edges without a common vertex a greedy search finds: each needs a vertex of its own."""
    found = 0
    for v in _vertices(alive):
        partners = graph[v] & alive if alive >> v & 1 else 0
        if partners:
            alive &= ~(1 << v | partners & -partners)
            found += 1
    return found


@dataclass(eq=False)
class SMEA(Withstanding, SelectionRule):
    """Smallest maximum eigenvalue averaging: the mean of the n - f updates of least top variance.

    The top eigenvalue of their covariance, the variance along the direction of greatest variance, is least.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n > 2f.

    Notes
    -----
    Breakdown point 1/2. O(n^2 d), then an exact search over subsets: a client more never lowers the top eigenvalue, so
    that most subsets need not be looked at; where nobody stands out it is still exponential in f. ByzFL estimates each
    eigenvalue by one step of power iteration from a random vector. Of several such subsets the first in the clients'
    order. Weighted by `sample_counts` where given.

    References
    ----------
    El Mhamdi et al., "On the Strategyproofness of the Geometric Median", AISTATS 2023.
    Allouah et al., "On the Privacy-Robustness-Utility Trilemma in Distributed Learning", ICML 2023.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.SMEA(f=2)(np.array([[1.0], [2.0], [3.0], [900.0], [-900.0]]))
    array([2.])
    """

    isometric = True

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        chosen, value = least_spread(geometry.distances, self.withstood(geometry.n))
        return chosen, [f"top variance {value / len(chosen):.4g} among the selected"] * geometry.n


def least_spread(distances: Floats, f: int) -> tuple[NDArray[np.integer], float]:
    """The n - f rows of least spread, of several the first, and their spread; given the squared distances of n rows."""
    size = len(distances) - f
    better: list[int] | None = peeled(distances, f)
    best, value = better, np.inf
    while better is not None and (spread := float(spreads(distances, [better])[0])) < value:
        best, value = better, spread
        better = first_within(distances, size, value * (1 - SAME))
    first = first_within(distances, size, max(value * (1 + SAME), np.finfo(np.float64).tiny))
    return np.array(first or best), value


def spreads(distances: Floats, subsets: Sequence[Sequence[int]]) -> Floats:
    """Top eigenvalue of the scatter (the covariance times their number) of some rows, of subsets of one size."""
    rows = np.array(subsets)
    centring = np.eye(rows.shape[1]) - 1 / rows.shape[1]
    inner = centring @ distances[rows[:, :, None], rows[:, None, :]] @ centring / -2
    return np.asarray(np.linalg.eigvalsh(inner)[:, -1].clip(0))


def peeled(distances: Floats, f: int) -> list[int]:
    """A good start: f times, the row that leaves the least spread goes."""
    rows = list(range(len(distances)))
    for _ in range(f):
        rests = [[j for j in rows if j != i] for i in rows]
        rows = rests[int(spreads(distances, rests).argmin())]
    return rows


def first_within(distances: Floats, size: int, limit: float) -> list[int] | None:
    """The first subset whose spread is below the limit L, found without an eigenvalue.

    With r its first row, and vectors of sum zero written as (-sum y, y): the spread is below L where L (I + 1 1') - D,
    D_ij = <x_i - x_r, x_j - x_r>, is positive definite, so that eliminating row after row meets positive pivots only.
    A diagonal entry only falls meanwhile: each row that is eliminated rules out for good those that cannot follow.
    """
    for first in range(len(distances) - size + 1):
        later = first + 1 + np.flatnonzero(distances[first, first + 1 :] < 2 * limit)
        away = distances[first, later] / limit
        room = 1 + np.eye(len(later)) - (away[:, None] + away - distances[later[:, None], later] / limit) / 2
        rest = _fitting(room, later, size - 1)
        if rest is not None:
            return [first, *rest]
    return None


def _fitting(room: Floats, rows: NDArray[np.integer], needed: int) -> list[int] | None:
    """The first so many of the rows that can be eliminated one after the other; each can be the next."""
    if not needed:
        return []
    for place in range(len(rows) - needed + 1):
        along = room[place, place + 1 :]
        left = room[place + 1 :, place + 1 :] - along[:, None] * (along / room[place, place])
        fits = (left.diagonal() > 0).nonzero()[0]
        if len(fits) < needed - 1:
            continue
        rest = _fitting(left[fits[:, None], fits], rows[place + 1 :][fits], needed - 1)
        if rest is not None:
            return [int(rows[place]), *rest]
    return None
