"""Clients nearest to something: to a trusted client (MoNNA), to zero (CGE), to the median (AKSEL), to all (medoid)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, inputs, kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Client, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.distance import (
    ReferenceRule,
    SelectionRule,
    check_minority,
    check_whole,
    combined,
    selection,
    smallest,
)
from robustagg.rules.evidence.geometry import Geometry, Relation
from robustagg.rules.evidence.gram import Related


@dataclass(eq=False)
class MoNNA(ReferenceRule):
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
        If f is out of range; in a round, unless n > 2f and the trusted client is admitted.

    Notes
    -----
    Breakdown point 1/2, given that the trusted client is honest. O(nd). Of equally distant updates the first.
    Weighted by `sample_counts` where given.

    References
    ----------
    Farhadkhani et al., "Robust Collaborative Learning with Linear Gradient Overhead", ICML 2023.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.MoNNA(f=1, reference=0)(np.array([[1.0], [2.0], [3.0], [900.0]]))
    array([2.])
    """

    by_client: ClassVar[bool] = True
    weighs_samples: ClassVar[bool] = True

    f: int
    reference: Client = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("f", self.f)
        inputs.client_ids([self.reference], 1)

    def check(self, round: Round) -> None:
        super().check(round)
        check_minority(self, self.f, round)
        if self.reference not in [round.clients[i] for i in round.kept]:
            raise errors.reference_not_admitted(self.reference)

    def reference_row(self, round: Round) -> int:
        return [round.clients[i] for i in round.kept].index(self.reference)

    def compare(self, relation: Relation, round: Round) -> Verdict:
        squares = relation.squares.copy()
        squares[self.reference_row(round)] = -1  # before those equal to it
        why = [f"{distance:.4g} from client {self.reference!r}" for distance in relation.distances.tolist()]
        return selection(smallest(squares, len(squares) - self.f), why, round)


@dataclass(eq=False)
class CGE(ReferenceRule):
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

    weighs_samples: ClassVar[bool] = True

    f: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("f", self.f)

    def check(self, round: Round) -> None:
        super().check(round)
        check_minority(self, self.f, round)

    def compare(self, relation: Relation, round: Round) -> Verdict:
        norms = relation.norms
        return selection(smallest(norms, len(norms) - self.f), [f"norm {norm:.4g}" for norm in norms.tolist()], round)


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

    weighs_samples: ClassVar[bool] = False

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        sums = np.sqrt(geometry.distances).sum(axis=1)
        return smallest(sums, 1), [f"distances to all others sum up to {total:.4g}" for total in sums.tolist()]


@dataclass(eq=False)
class Aksel(Rule):
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

    observes: ClassVar[bool] = True
    weighs_samples: ClassVar[bool] = True
    linear: ClassVar[bool] = True

    f: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("f", self.f)

    def check(self, round: Round) -> None:
        super().check(round)
        check_minority(self, self.f, round)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Related, None]:
        return Related.of([*block.rows, kernels.active().median(block.rows)], len(block.rows)), None

    def decide(self, evidence: Related, round: Round) -> Verdict:
        relation = evidence.relation()
        why = [f"{distance:.4g} from the median" for distance in relation.distances[:-1].tolist()]
        return selection(smallest(relation.squares[:-1], len(why) - self.f), why, round)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)
