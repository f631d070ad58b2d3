"""Rules that group the updates by the angles between them, and mean the largest group, clipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.kernels.interface import GRAM_TILE, Array
from robustagg.memory import states
from robustagg.memory.vectors import Vector
from robustagg.protocol import Block, Client, Floats, Round, Verdict
from robustagg.rules.checks import not_negative, one_of, whole
from robustagg.rules.distance import Combination, DistanceRule, clipped, combined, selection, shortened
from robustagg.rules.evidence.clusters import densest, larger_half
from robustagg.rules.evidence.geometry import Geometry, cosines

LINKAGES = ("average", "complete", "single")


def angular(geometry: Geometry) -> Floats:
    """(n, n) cosine distances, 1 - cos: 0 between equal directions, 1 to a row of zeros."""
    distances = np.maximum(1 - cosines(geometry), 0)
    np.fill_diagonal(distances, 0)
    return np.asarray(distances)


def grouped(inside: NDArray[np.bool_], norms: Floats, longest: float, round: Round) -> Combination:
    """The verdict that those inside make the result, cut to a length."""
    size = f"the cluster of {np.count_nonzero(inside)} of {len(inside)}"
    cut = [f"in {size}{shortened(norm, longest)}" for norm in norms.tolist()]
    why = [how if one else f"outside {size}" for one, how in zip(inside.tolist(), cut, strict=True)]
    return clipped(selection(np.flatnonzero(inside), why, round), norms, longest)


@dataclass(frozen=True)
class Noisy(Combination):
    """A verdict whose result gets Gaussian noise."""

    deviation: float = field(kw_only=True)
    seed: tuple[int, int] = field(kw_only=True)


@dataclass(eq=False)
class FLAME(DistanceRule):
    r"""The mean of the updates in the one cluster of like directions, clipped to the median length, and noise.

    HDBSCAN on the cosine distances of the updates finds a cluster of more than half of the clients. With S the median
    of all lengths, the result is

    .. math:: \frac1{|K|} \sum_{i \in K} u_i \min(1, S / \lVert u_i\rVert) + N(0, (\mathrm{noise}\cdot S)^2).

    Parameters
    ----------
    noise : float
        Standard deviation of the noise of each coordinate, in units of S; 0: none.
    on : {"updates", "rows"}
        What is clustered: the updates by their cosine distances, or the rows of the matrix of these distances by their
        Euclidean ones, as some public codes do.
    seed : int
        Of the noise, together with the number of the round.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    ImportError
        In a round, without scikit-learn (``robustagg[cluster]``).

    Notes
    -----
    Updates must be differences from the global model. O(n^2 d), one pass. Where HDBSCAN finds no cluster, everyone is
    kept; weighted by `sample_counts` where given. Public codes cluster whole models (FLPoison), the last layer's
    weights (BackFed) or the rows of the cosine matrix (LFighter's, ``on="rows"``), and let buffers take part; here
    buffers do not. HDBSCAN is scikit-learn's, in which a point is its own first neighbour.

    References
    ----------
    Nguyen et al., "FLAME: Taming Backdoors in Federated Learning", USENIX Security 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [-90.0, 9.0]])
    >>> ra.FLAME(noise=0)(updates).round(3)
    array([2., 1.])
    """

    differences = True
    weighs_samples = True

    noise: float = 0.001
    seed: int = 0
    on: str = field(default="updates", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.noise = not_negative("noise", self.noise)
        self.seed = whole("seed", self.seed)
        one_of("on", self.on, ("updates", "rows"))

    @property
    def linear(self) -> bool:  # type: ignore[override]
        return not self.noise

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        norms, distances = geometry.relation().norms, angular(geometry)
        if self.on == "rows":
            distances = np.sqrt(((distances[:, None] - distances) ** 2).sum(axis=2))
        longest = float(np.median(norms))
        verdict = grouped(densest(distances), norms, longest, round)
        return Noisy(**vars(verdict), deviation=self.noise * longest, seed=(self.seed, round.number))

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        piece = combined(block, verdict)
        if not self.noise:
            return piece
        assert isinstance(verdict, Noisy)
        noise = verdict.deviation * normal(verdict.seed, block.start, block.start + piece.size)
        return kernels.active().offset(piece, noise)


def normal(seed: tuple[int, int], start: int, stop: int) -> Floats:
    """Normal numbers for some coordinates, however the model is cut: each tile's come from a seed of its own."""
    tiles = range(start // GRAM_TILE, -(-stop // GRAM_TILE))
    drawn = [np.random.default_rng([*seed, tile]).normal(size=GRAM_TILE) for tile in tiles]
    first = start - start // GRAM_TILE * GRAM_TILE
    return np.concatenate([np.empty(0), *drawn])[first : first + stop - start]


@dataclass(frozen=True)
class Lengths(Combination):
    """A verdict, and the lengths that it was made of."""

    norms: Floats = field(kw_only=True)


@dataclass(eq=False)
class ClippedClustering(DistanceRule):
    """The mean of the larger of two clusters of like directions, its updates clipped to the usual length.

    The usual length is the median of all lengths so far, this round's included. Agglomerative clustering on cosine
    distances divides the clients in two.

    Parameters
    ----------
    linkage : {"average", "complete", "single"}
        How far two clusters are from each other: the mean, greatest or least distance of their members.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If there is no such linkage.
    ImportError
        In a round, without SciPy (``robustagg[cluster]``).

    Notes
    -----
    Updates must be differences from the global model. O(n^2 d), one pass; remembers a number per client and round. Of
    two clusters of one size the one of lesser distances within is taken, scikit-learn's first in the authors' code,
    which also never clips to more than 1e5. Where all distances are equal there is one cluster. Weighted by
    `sample_counts` where given.

    References
    ----------
    Li, Ngai and Voigt, "An Experimental Study of Byzantine-Robust Aggregation Schemes in Federated Learning", IEEE
    Trans. Big Data 2023.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [-90.0, 9.0]])
    >>> ra.ClippedClustering()(updates).round(3)
    array([2., 1.])
    """

    differences = True
    weighs_samples = True

    linkage: str = "average"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("linkage", self.linkage, LINKAGES)
        self._norms: Floats = np.empty(0)

    @property
    def remembers(self) -> bool:
        return True

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        norms = geometry.relation().norms
        usual = float(np.median(np.append(self._norms, norms)))
        inside = larger_half(angular(geometry), self.linkage)
        return Lengths(**vars(grouped(inside, norms, usual, round)), norms=norms)

    def commit(self, verdict: Verdict, round: Round, vectors: Mapping[Client, Vector]) -> None:
        assert isinstance(verdict, Lengths)
        super().commit(verdict, round, vectors)
        self._norms = np.append(self._norms, verdict.norms)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "norms": self._norms}

    def _restore(self, state: Mapping[str, Any]) -> None:
        norms = np.array(states.restored(state["norms"]), np.float64)
        if norms.ndim != 1 or not (np.isfinite(norms) & (norms >= 0)).all():
            raise errors.bad_record("norms", "lengths, which are finite and not negative")
        super()._restore(state)
        self._norms = norms
