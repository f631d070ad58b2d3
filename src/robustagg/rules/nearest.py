"""Clients nearest to something: to a trusted client (MoNNA), to zero (CGE), to the median (AKSEL), to all (medoid)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustagg import arrays, errors, kernels
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Client, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.distance import SelectionRule, check_minority, check_whole, combined, selection, smallest
from robustagg.rules.geometric import encoded
from robustagg.rules.geometry import Geometry
from robustagg.rules.gram import Gram


@dataclass(eq=False)
class MoNNA(SelectionRule):
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
    Breakdown point 1/2, given that the trusted client is honest. O(n^2 d). Of equally distant updates the first.
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

    f: int
    reference: Client = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("f", self.f)
        arrays.client_ids([self.reference], 1)

    def check(self, round: Round) -> None:
        super().check(round)
        check_minority(self, self.f, round)
        if self.reference not in [round.clients[i] for i in round.kept]:
            raise errors.reference_not_admitted(self.reference)

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        trusted = [round.clients[i] for i in round.kept].index(self.reference)
        distances = geometry.distances[trusted].copy()
        distances[trusted] = -1  # before those equal to it
        why = [f"{np.sqrt(max(square, 0)):.4g} from client {self.reference!r}" for square in distances]
        return smallest(distances, geometry.n - self.f), why


@dataclass(eq=False)
class CGE(SelectionRule):
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
    equal norms the first. O(n^2 d). The authors' code sums; this is the mean. Weighted by `sample_counts` where given.

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

    f: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("f", self.f)

    def check(self, round: Round) -> None:
        super().check(round)
        check_minority(self, self.f, round)

    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        return smallest(geometry.norms, geometry.n - self.f), [f"norm {norm:.4g}" for norm in geometry.norms]


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
        return smallest(sums, 1), [f"distances to all others sum up to {total:.4g}" for total in sums]


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
    Breakdown point 1/2. O(n^2 d). Of equally distant updates the first. Weighted by `sample_counts` where given.

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

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Gram, None]:
        middle = encoded(kernels.active().median(block.rows), block.rows[0].dtype)
        return Gram.of([*block.rows, middle]), None

    def decide(self, evidence: Gram, round: Round) -> Verdict:
        distances = evidence.geometry().distances[:-1, -1]
        why = [f"{distance:.4g} from the median" for distance in np.sqrt(distances)]
        return selection(smallest(distances, len(distances) - self.f), why, round)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)
