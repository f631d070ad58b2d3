"""What distance rules have in common: they see the rows' geometry and weigh the clients by it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Floats, Round, Verdict, Words
from robustagg.rules.base import Rule
from robustagg.rules.evidence.geometry import Geometry, Relation, shortening
from robustagg.rules.evidence.gram import Gram, Related


@dataclass(frozen=True)
class Combination(Verdict):
    """A verdict whose result is not the weights times the rows, but other coefficients times the rows."""

    coefficients: Floats = field(kw_only=True)
    """One per row of a block, of any sum."""


@dataclass(eq=False, kw_only=True)
class DistanceRule(Rule[Verdict]):
    """A rule that decides on the geometry of the rows. Its result is the weights times the rows."""

    linear = True

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Any, None]:
        return Gram.of(self.rows(block, round)), None

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Gram.nbytes(n + 1)

    def rows(self, block: Block, round: Round) -> Rows:
        """The rows whose geometry is judged: the admitted clients', then others."""
        return block.rows

    def decide(self, evidence: Any, round: Round) -> Verdict:
        geometry = evidence.geometry()
        return scaled(self.judge(geometry, round), geometry.scale)

    @abstractmethod
    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        """Weigh the admitted clients on the geometry of their rows."""

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)


@dataclass(eq=False, kw_only=True)
class ReferenceRule(DistanceRule):
    """A rule that decides on how the rows lie to one of them, or to zero: O(nd) where it is not part of a pipeline."""

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Related, None]:
        return Related.of(self.rows(block, round), self.reference_row(round)), None

    def decide(self, evidence: Related, round: Round) -> Verdict:
        relation = evidence.relation(self.reference_row(round))
        return scaled(self.compare(relation, round), relation.scale)

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        return self.compare(geometry.relation(self.reference_row(round)), round)

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return 0

    def reference_row(self, round: Round) -> int | None:
        """Index of the row that the others are compared with; None: they are compared with zero."""
        return None

    @abstractmethod
    def compare(self, relation: Relation, round: Round) -> Verdict:
        """Weigh the admitted clients on how their rows lie to the reference."""


@dataclass(eq=False, kw_only=True)
class SelectionRule(DistanceRule):
    """A rule whose result is the mean of the clients that it selects, weighted by their samples where given."""

    weighs_samples = True

    def judge(self, geometry: Geometry, round: Round) -> Verdict:
        chosen, why = self.select(geometry, round)
        return selection(chosen, why, round)

    @abstractmethod
    def select(self, geometry: Geometry, round: Round) -> tuple[NDArray[np.integer], Sequence[str]]:
        """Indices of the chosen clients, and for each admitted client what spoke for it or against it."""


def scaled(verdict: Verdict, scale: Floats | None) -> Verdict:
    """A verdict on rows that were multiplied by `scale`, in terms of the rows as they are."""
    if scale is None:
        return verdict
    if isinstance(verdict, Combination):
        return replace(verdict, coefficients=verdict.coefficients * scale[: len(verdict.coefficients)])
    return Combination(**vars(verdict), coefficients=verdict.weights * scale[: len(verdict.weights)])


def clipped(verdict: Verdict, norms: Floats, longest: float) -> Combination:
    """The verdict, of rows that are scaled down to a length first."""
    return Combination(**vars(verdict), coefficients=verdict.weights * shortening(norms, longest))


def shortened(norm: float, longest: float) -> str:
    """What is to be said of a row that :func:`clipped` shortens."""
    return f", clipped from {norm:.4g} to {longest:.4g}" if norm > longest else ""


def combined(block: Block, verdict: Verdict) -> Array:
    """The verdict's coefficients, or weights, times the rows of a block."""
    if not isinstance(verdict, Combination):
        chosen = np.flatnonzero(verdict.weights)
        return kernels.active().weighted_mean([block.rows[i] for i in chosen.tolist()], verdict.weights[chosen])
    return weighted_sum(block.rows, verdict.coefficients)


def weighted_sum(rows: Rows, coefficients: Floats) -> Array:
    """The coefficients times the rows, in the compute dtype."""
    return kernels.active().split(kernels.active().mix(rows, coefficients[None]))[0]


def selection(chosen: NDArray[np.integer], why: Sequence[str], round: Round) -> Verdict:
    """The verdict that the chosen clients, and nobody else, make the result."""
    mask = np.zeros(len(round.kept))
    mask[chosen] = 1
    return Verdict(shares_of(mask, round.counts()), Words(_told, mask, why))


def _told(mask: Floats, why: Sequence[str]) -> list[str]:
    return [f"{'selected' if one else 'not selected'}: {what}" for one, what in zip(mask.tolist(), why, strict=True)]


def shares_of(mask: Floats, counts: Floats | None) -> Floats:
    """The shares of those whom a mask of ones chooses, by their sample counts where given."""
    weights = mask if counts is None else mask * (counts / max(counts.max(), 1e-300))
    weights = weights if weights.sum() > 0 else mask  # chosen clients without a sample share equally
    return np.asarray(weights / weights.sum())


def smallest(values: Floats, k: int) -> NDArray[np.integer]:
    """Indices of the k smallest values, in ascending order of index; of equal values the first."""
    return np.sort(np.argsort(values, kind="stable")[:k])
