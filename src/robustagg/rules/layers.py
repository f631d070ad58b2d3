"""Rules that judge the layers of a model by themselves, a tensor at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Block, Floats, Round, Span, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import number, positive
from robustagg.rules.distance import shares_of, shortened, weighted_sum
from robustagg.rules.evidence.geometry import Relation, shortening, usual
from robustagg.rules.evidence.gram import Related
from robustagg.rules.evidence.magnitudes import SMALL, Search
from robustagg.rules.evidence.tensors import ByTensor, within


@dataclass(frozen=True)
class Sparse:
    """Evidence of one tensor's largest magnitudes."""

    related: Related
    signs: NDArray[np.int64]
    """(n, 2) positive and negative ones."""

    @classmethod
    def of(cls, rows: Rows, keys: NDArray[np.int64]) -> Sparse:
        kept = kernels.active().sparsify(rows, keys)
        return cls(Related.of(kept), kernels.active().sign_counts(kept))

    def __add__(self, other: Sparse) -> Sparse:
        return Sparse(self.related + other.related, self.signs + other.signs)

    def lengths(self, factors: Floats) -> Floats:
        """(n,) lengths of the rows times factors that make none of them too long, in units of the greatest."""
        relation = self.related.relation()
        found = relation.norms * factors / (1 if relation.scale is None else relation.scale)
        found = np.minimum(found, np.finfo(np.float64).max)
        return np.asarray(found / max(found.max(), 1e-300))

    def balance(self) -> Floats:
        """(n,) shares of positive ones; 1/2 where there are none at all."""
        positive, negative = self.signs.T
        return np.asarray((1 + (positive - negative) / np.maximum(positive + negative, 1)) / 2)


@dataclass(frozen=True)
class Seen:
    """Evidence of one reading."""

    related: Related
    """Of the whole updates to zero; complete after the first reading."""
    searches: Mapping[int, Search]
    """By tensor, before this reading."""
    parts: ByTensor[Any]
    """Counts for the searches, where these are done :class:`Sparse`."""

    @property
    def first(self) -> bool:
        return any(not search.readings for search in self.searches.values())

    @property
    def searching(self) -> bool:
        return any(not search.done for search in self.searches.values())

    def __add__(self, other: Seen) -> Seen:
        related = self.related + other.related if self.first else self.related
        return Seen(related, self.searches, self.parts + other.parts)


@dataclass(frozen=True)
class Reading(Verdict):
    """A verdict that the updates are to be read once more."""

    related: Related = field(kw_only=True)
    searches: Mapping[int, Search] = field(kw_only=True)


@dataclass(frozen=True)
class Layered(Verdict):
    """A verdict whose result is made of other coefficients times the rows in each tensor."""

    spans: Sequence[Span] = field(kw_only=True)
    coefficients: Floats = field(kw_only=True)
    """(tensors, m)."""


@dataclass(eq=False)
class LASA(Rule[Verdict]):
    r"""Layer-adaptive sparsified aggregation: of each tensor the mean of the clients whose length and signs are usual.

    Updates are clipped to their median length. Of each tensor, without its smallest magnitudes, a client has a length
    and a share of positive values; it is kept there where both are less than `lambda_` standard deviations off the
    median of all clients; where nobody is, everyone is. The result is the mean of the kept clients' clipped tensors,
    with their small magnitudes.

    Parameters
    ----------
    sparsity : float
        Share of each tensor's coordinates, those of the smallest magnitudes, that are not looked at.
    lambda_norm, lambda_sign : float
        Standard deviations off the median that are allowed.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Updates must be differences from the global model; a flat update is one tensor. O(nd), six passes: four readings
    find the least magnitude of each client in each tensor that counts, 4 KiB of counts each. Magnitudes are told apart
    exactly, those of float64 to a relative 2^-20; all that are as large as the least count. Weighted by
    `sample_counts` where given. The weights are the clients' shares of all coordinates. The authors' code looks for the
    smallest magnitudes in all matrices and kernels together, and leaves vectors dense.

    References
    ----------
    Xu, Zhang and Hu, "Achieving Byzantine-Resilient Federated Learning via Layer-Adaptive Sparsified Model
    Aggregation", WACV 2025.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = [{"a": np.array([1.0, 2.0]), "b": np.array([1.0])} for _ in range(4)]
    >>> updates.append({"a": np.array([1.0, 2.0]), "b": np.array([-1.0])})
    >>> result = ra.LASA().aggregate(updates)
    >>> result.update
    {'a': array([1., 2.]), 'b': array([1.])}
    >>> result.reasons[4]
    'kept in 1 of 2 tensors'
    """

    readings = 5
    differences = True
    weighs_samples = True
    by_tensor = True

    sparsity: float = 0.3
    lambda_norm: float = 1.0
    lambda_sign: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sparsity = number("sparsity", self.sparsity, "at least 0 and below 1", lambda v: 0 <= v < 1)
        self.lambda_norm = positive("lambda_norm", self.lambda_norm)
        self.lambda_sign = positive("lambda_sign", self.lambda_sign)

    @property
    def further_rows(self) -> int:
        return 1

    def tensors_bytes(self, n: int, spans: Sequence[Span]) -> int:
        return len(spans) * Search.nbytes(n, SMALL)

    # --- the verbs ---

    def largest(self, d: int) -> int:
        """How many of d magnitudes are looked at."""
        return max(d - int(self.sparsity * d + 1e-9), 1)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Seen, None]:
        if isinstance(verdict, Reading):
            related, searches = verdict.related, verdict.searches
        else:
            related, searches = Related.of(block.rows), self._begun(round)

        def look(k: int, rows: Rows) -> Any:
            if searches[k].done:
                return Sparse.of(rows, searches[k].prefixes)
            return searches[k].counts(rows, np.zeros(rows[0].size, np.int8))

        return Seen(related, searches, ByTensor.of(block, round.spans, look)), None

    def _begun(self, round: Round) -> dict[int, Search]:
        m = len(round.kept)
        return {k: Search.of(m, self.largest(span.size), SMALL) for k, span in enumerate(round.spans) if span.size}

    def decide(self, evidence: Seen, round: Round) -> Verdict:
        if not evidence.searching:
            return self._judged(evidence.related.relation(), evidence.parts.seen, round)
        m = len(round.kept)
        searches = {k: search.refined(evidence.parts.seen[k]) for k, search in evidence.searches.items()}
        words = ["to be read again"] * m
        return Reading(np.full(m, 1 / m), words, again=True, related=evidence.related, searches=searches)

    def _judged(self, relation: Relation, parts: Mapping[int, Sparse], round: Round) -> Verdict:
        m, norms, counts = len(round.kept), relation.norms, round.counts()
        longest = float(np.median(norms))
        factors = shortening(norms, longest) * (1 if relation.scale is None else relation.scale)
        kept = {k: self._kept(part, factors) for k, part in sorted(parts.items())}
        weights = np.zeros((len(round.spans), m))
        for k, inside in kept.items():
            weights[k] = shares_of(inside.astype(float), counts)
        often = np.sum([*kept.values(), np.zeros(m, np.bool_)], axis=0)
        why = [
            f"kept in {many} of {len(kept)} tensors{shortened(norm, longest)}"
            for many, norm in zip(often.tolist(), norms.tolist(), strict=True)
        ]
        sizes = np.array([span.size for span in round.spans])
        whole = sizes @ weights / round.d if round.d else shares_of(np.ones(m), counts)
        return Layered(whole, why, spans=round.spans, coefficients=weights * factors)

    def _kept(self, part: Sparse, factors: Floats) -> NDArray[np.bool_]:
        """(n,) who is usual in a tensor; everyone, where nobody is."""
        inside = usual(part.lengths(factors), self.lambda_norm) & usual(part.balance(), self.lambda_sign)
        return inside if inside.any() else np.ones_like(inside)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        assert isinstance(verdict, Layered)
        parts = [
            weighted_sum(kernels.active().window(block.rows, begin, end), verdict.coefficients[k])
            for k, begin, end in within(block, verdict.spans)
        ]
        return kernels.active().join(parts) if parts else weighted_sum(block.rows, verdict.weights)
