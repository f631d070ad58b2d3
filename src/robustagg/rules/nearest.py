"""Clients nearest to something: to a trusted client (MoNNA), to zero (CGE), to the median (AKSEL), to all (medoid)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, inputs, kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Client, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.component import Withstanding
from robustagg.rules.distance import (
    ReferenceRule,
    SelectionRule,
    combined,
    selection,
    smallest,
)
from robustagg.rules.evidence.geometry import Geometry, Relation
from robustagg.rules.evidence.gram import Related


@dataclass(eq=False)
class MoNNA(Withstanding, ReferenceRule):
    """The mean of the n - f updates nearest to that of a trusted client, its own included.

    Parameters
    ----------
    f : int
        Byzantine clients that are withstood.
    reference : int or str
        Id of the trusted client.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If f is out of range; in a round, unless n > 2f and the trusted client takes part.

    Notes
    -----
    Breakdown point 1/2, given that the trusted client is honest. O(nd). Of equally distant updates the first. Where
    the trusted client is left out (a NaN, a broken file), the coordinate-wise median stands in for it, as in
    :class:`Aksel`. Weighted by `sample_counts` where given.

    References
    ----------
    Farhadkhani et al., "Robust Collaborative Learning with Linear Gradient Overhead", ICML 2023.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.MoNNA(f=1, reference=0)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    isometric = True
    by_client = True
    weighs_samples = True

    reference: Client = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        inputs.client_ids([self.reference], 1)

    def check(self, round: Round) -> None:
        super().check(round)
        if self.reference not in round.clients:
            raise errors.reference_missing(self.reference)

    def _is_admitted(self, round: Round) -> bool:
        return bool(round.admitted[round.clients.index(self.reference)])

    def rows(self, block: Block, round: Round) -> Rows:
        return block.rows if self._is_admitted(round) else [*block.rows, kernels.active().median(block.rows)]

    def reference_row(self, round: Round) -> int:
        return round.kept.index(round.clients.index(self.reference)) if self._is_admitted(round) else len(round.kept)

    def compare(self, relation: Relation, round: Round) -> Verdict:
        m, admitted = len(round.kept), self._is_admitted(round)
        squares = relation.squares.copy()
        squares[self.reference_row(round)] = -1  # before those equal to it
        whom = f"client {self.reference!r}" if admitted else f"the median: client {self.reference!r} is left out"
        why = [f"{distance:.4g} from {whom}" for distance in relation.distances[:m].tolist()]
        return selection(smallest(squares[:m], m - self.withstood(m)), why, round)


@dataclass(eq=False)
class CGE(Withstanding, ReferenceRule):
    """Comparative gradient elimination: the mean of the n - f updates of least norm.

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
    Made for gradients and other differences, whose norm means something; not for whole parameters. Small lies pass. Of
    equal norms the first. O(nd). The authors' code sums; this is the mean. Weighted by `sample_counts` where given.

    References
    ----------
    Gupta, Liu and Vaidya, "Byzantine Fault-Tolerant Distributed Machine Learning with Norm-Based Comparative Gradient
    Elimination", DSN-W 2021.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.CGE(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    isometric = True
    differences = True
    weighs_samples = True

    def compare(self, relation: Relation, round: Round) -> Verdict:
        norms, n = relation.norms, len(relation.norms)
        return selection(
            smallest(norms, n - self.withstood(n)),
            [f"norm {norm:.4g}" for norm in norms.tolist()],
            round,
        )


@dataclass(eq=False)
class Medoid(SelectionRule):
    """The update with the least sum of distances, not squared, to all others.

    Parameters
    ----------
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Notes
    -----
    Like the geometric median, but one of the updates. O(n^2 d). Of equal sums the first. `sample_counts` do not choose.

    References
    ----------
    Xie, Koyejo and Gupta, "Generalized Byzantine-tolerant SGD", arXiv:1802.10116, 2018.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Medoid()(np.array([[1.0, 2.0], [1.1, 2.0], [1.2, 2.1], [900.0, -900.0]]))
    array([1.1, 2. ])
    """

    isometric = True
    weighs_samples = False

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        sums = geometry.sums_of_distances()
        near = int(np.argmin(sums))  # by its rounding, where a row is very far away
        near = int(np.argmin(geometry.sums_of_distances(near)))
        why = [f"distances to all others sum up to {total:.4g}" for total in sums.tolist()]
        return smallest(geometry.sums_of_distances(near), 1), why


@dataclass(eq=False)
class Aksel(Withstanding, Rule[Verdict]):
    """The mean of the n - f updates nearest to the coordinate-wise median.

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
    Breakdown point 1/2. O(n log n) per coordinate. Of equally distant updates the first. Weighted by `sample_counts`
    where given.

    References
    ----------
    Boussetta et al., "AKSEL: Fast Byzantine SGD", OPODIS 2020.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.Aksel(f=1)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    weighs_samples = True
    linear = True

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Related, None]:
        return Related.of([*block.rows, kernels.active().median(block.rows)], len(block.rows)), None

    def decide(self, evidence: Related, round: Round) -> Verdict:
        relation = evidence.relation(len(round.kept))
        why = [f"{distance:.4g} from the median" for distance in relation.distances[:-1].tolist()]
        return selection(smallest(relation.squares[:-1], len(why) - self.withstood(len(why))), why, round)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)
