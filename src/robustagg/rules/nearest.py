"""Means of the clients nearest to something: to a trusted client (MoNNA), to zero (CGE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robustagg import arrays, errors
from robustagg.protocol import Client, Round
from robustagg.rules.distance import SelectionRule, check_minority, check_whole, smallest
from robustagg.rules.geometry import Geometry


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
