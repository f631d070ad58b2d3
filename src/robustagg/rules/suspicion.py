"""Suspicion: who is like others, against the rest, or at the ends, round after round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array
from robustagg.memory.means import Means
from robustagg.memory.vectors import Vector
from robustagg.protocol import Block, Client, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import number, yes_or_no
from robustagg.rules.component import Needs, Withstanding
from robustagg.rules.distance import Combination, combined, scaled, shares_of, shortened
from robustagg.rules.evidence.geometry import TO_SIGMA, Geometry, blurred, shortening
from robustagg.rules.evidence.gram import Gram
from robustagg.rules.evidence.largest import Agreeing, Seen, cosines_of, least_keys, plan_of
from robustagg.rules.evidence.magnitudes import Search

SHARE = 0.3  # of the clients that may attack, where nobody says how many
LEAST_SPREAD = 0.03  # of cosines, and of extremeness in that of a typical client, lest near-equal ones differ
LEAST_HARM_SPREAD = 0.01  # of what a clean set says, in nats
NAMES = ("collusion", "agreement", "opposition", "extremeness", "harm")
HARM = "harm"
"""An argument of the call."""
ACCOMPLICES = 0.2  # share of the clients whose likeness counts, two at least


@dataclass(frozen=True)
class Reading(Verdict):
    """A verdict that the updates are to be read once more, for where the largest differences agree."""

    seen: Seen = field(kw_only=True)
    keys: np.ndarray[Any, np.dtype[np.int64]] = field(kw_only=True)


@dataclass(frozen=True)
class Suspected(Combination):
    """A verdict, and what will be remembered."""

    clients: Means = field(kw_only=True)
    pairs: Means = field(kw_only=True)
    agreeing: Means = field(kw_only=True)


@dataclass(eq=False)
class Suspicion(Withstanding, Rule[Verdict]):
    r"""The mean of all but the f most suspicious clients, cut to their median length; suspicion adds up over rounds.

    With m the coordinate-wise median and :math:`r_i = u_i - m`, four things are seen of a client in a round:

    - *collusion*, the mean of its largest :math:`\cos(r_i, r_j)`, as many as a fifth of the clients, two at least;
    - *agreement*, the same mean of :math:`\cos(s_i, s_j)`, :math:`s_i` the signs of the largest magnitudes of
      :math:`r_i`, zero elsewhere: of the k-th largest, k being 2 % of the coordinates but one at least, and of all that
      are as large in their first four binary digits;
    - *opposition*, :math:`-\cos(u_i, m)`;
    - *extremeness*, the share of the coordinates in which it has the greatest or the least value, times n / 2.

    With ``validated=True`` a fifth:

    - *harm*, how much better a clean set at the server likes the model without the client, see :func:`harms`, an
      argument of the call: ``rule.aggregate(updates, harm=ra.harms(updates, validate))``.

    Each is meant over the rounds, the cosines pair by pair, once over all rounds alike and once with weights that
    fade. Suspicion is the sum over them of how many robust deviations (1.4826 times the median absolute deviation, .03
    at least, .01 of harm) a client lies above the median client, by the memory that fades or by the one that does not,
    whichever gives more. Nobody is left out who lies above in nothing.

    Parameters
    ----------
    f : int, optional
        How many clients may attack; where not given, three in ten, rounded down, but one of three to six.
    retention : float
        Share of the fading memory that stays from round to round, in [0, 1).
    validated : bool
        Whether every round comes with `harm`: one number per client, in their order or by client.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, if not n > 2f, or `harm` is not a finite number for each client.
    TypeError
        In a round without `harm` where it is `validated`.

    Notes
    -----
    Unless it is validated it has the evidence of the updates alone. What these cannot tell apart it does not: an
    honest minority whose data are alike looks like colluders; label flips among clients of skewed data look like such
    data. What it costs to leave out honest clients where nobody attacks, and where it loses, is measured in
    ``docs/studies.md``. Updates must be differences from the global model. O(n^2 d), three passes, of float64 256 KiB
    of counts for each client, of others 32. Weighted by `sample_counts` where given.

    What it remembers is by client id: 8 numbers for each client, 12 where it is validated, and 8 for each pair, that
    ever took part. Who comes under a fresh id is new: see ``docs/identity.md``.

    References
    ----------
    Of this library. Its parts: likeness of updates over rounds, Fung et al., RAID 2020; signs of the largest
    magnitudes, Xu et al., CVPR 2025; medians and robust deviations, Hampel, JASA 1974.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.random.default_rng(0).normal(1, 1, (8, 100))
    >>> updates[6:] = -updates[0] + 0.1 * updates[6:]
    >>> ra.Suspicion(f=2).aggregate(updates).weights.round(2)
    array([0.17, 0.17, 0.17, 0.17, 0.17, 0.17, 0.  , 0.  ])
    """

    readings = 2
    differences = True
    weighs_samples = True
    by_client = True
    remembers = True

    f: int | None = None  # type: ignore[assignment]
    retention: float = field(default=0.6, kw_only=True)
    validated: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.f is None:
            Rule.__post_init__(self)
        else:
            super().__post_init__()
        self.retention = number("retention", self.retention, "at least 0 and below 1", lambda v: 0 <= v < 1)
        self.validated = yes_or_no("validated", self.validated)
        self._clients, self._pairs, self._agreeing = self._nothing_seen()

    def _nothing_seen(self) -> tuple[Means, Means, Means]:
        return Means.of(2 + self.validated), Means.of(0), Means.of(0)

    @property
    def extras(self) -> frozenset[str]:
        return frozenset({HARM} if self.validated else ())

    def for_worker(self, vectors: Mapping[Client, Vector]) -> Suspicion:
        twin = super().for_worker(vectors)
        twin._clients, twin._pairs, twin._agreeing = self._nothing_seen()
        return twin

    @property
    def further_rows(self) -> int:
        return 2  # differences from the median, twice as wide where 16 bits are sent

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Gram.nbytes(n + 1) + Search.nbytes(n, plan_of(itemsize))

    def needed(self) -> Needs | None:
        return None if self.f is None else self.needs

    def withstood(self, m: int) -> int:
        if self.f is not None:
            return super().withstood(m)
        return max(int(SHARE * m + 1e-9), min(1, (m - 1) // 2))  # 0.3 * 10 is 3, not 2.9999

    # --- the verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        if self.validated:
            harm_of(round)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Seen | Agreeing, None]:
        if isinstance(verdict, Reading):
            return Agreeing.of(block.rows, verdict.seen, verdict.keys), None
        return Seen.of(block.rows), None

    def decide(self, evidence: Seen | Agreeing, round: Round) -> Verdict:
        m = len(round.kept)
        if isinstance(evidence, Seen):
            words = ["to be read again"] * m
            keys = least_keys(evidence, round.d)
            return Reading(np.full(m, 1 / m), words, again=True, seen=evidence, keys=keys)
        return self._judged(evidence.seen, evidence.likeness(), round)

    def _judged(self, evidence: Seen, agreement: Floats, round: Round) -> Verdict:
        geometry, m = evidence.gram.geometry(), len(round.kept)
        clients = [round.clients[i] for i in round.kept]
        norms = geometry.relation().norms[:m]
        opposition, likeness = opposition_of(geometry)[:m], likeness_of(geometry)[:m, :m]
        extremeness = evidence.outermost / max(round.d, 1) * m / 2
        columns = [opposition, extremeness, *([round.of_admitted(harm_of(round))] if self.validated else [])]
        seen = self._clients.after(clients, np.stack(columns, axis=1), self.retention)
        pairs = self._pairs.after(clients, likeness, self.retention, pairs=True)
        agreeing = self._agreeing.after(clients, agreement, self.retention, pairs=True)
        alike = [memory.told(clients, pairs=True) for memory in (pairs, agreeing)]
        suspicion, parts = suspicions(seen.told(clients), alike)
        mask = np.ones(m)
        mask[most_suspicious(suspicion, norms, self.withstood(m))] = 0
        longest = float(np.median(norms[mask > 0]))
        weights = shares_of(mask, round.counts())
        why = [
            f"{'kept' if one else 'left out'}: suspicion {total:.1f} ({told}){shortened(norm, longest) if one else ''}"
            for one, total, told, norm in zip(mask, suspicion.tolist(), words_of(parts), norms.tolist(), strict=True)
        ]
        coefficients = weights * shortening(norms, longest)
        verdict = Suspected(weights, why, coefficients=coefficients, clients=seen, pairs=pairs, agreeing=agreeing)
        return scaled(verdict, geometry.scale)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)

    def commit(self, verdict: Verdict, round: Round, vectors: Mapping[Client, Vector]) -> None:
        assert isinstance(verdict, Suspected)
        super().commit(verdict, round, vectors)
        self._clients, self._pairs, self._agreeing = verdict.clients, verdict.pairs, verdict.agreeing

    # --- memory ---

    def _state(self) -> dict[str, Any]:
        memories = {"seen": self._clients, "pairs": self._pairs, "agreeing": self._agreeing}
        return {**super()._state(), **{name: memory.state() for name, memory in memories.items()}}

    def _restore(self, state: Mapping[str, Any]) -> None:
        clients, pairs = Means.restored(state["seen"], 2 + self.validated), Means.restored(state["pairs"], None)
        agreeing = Means.restored(state["agreeing"], None)
        super()._restore(state)
        self._clients, self._pairs, self._agreeing = clients, pairs, agreeing


def harm_of(round: Round) -> Floats:
    """(n,) what the call says of all clients' harm."""
    if HARM not in round.extras:
        raise errors.missing_argument("Suspicion", HARM)
    given = round.extras[HARM]
    try:
        told = [given[client] for client in round.clients] if isinstance(given, Mapping) else given
        harm = np.array(told, np.float64)
    except (KeyError, TypeError, ValueError) as fault:
        raise errors.out_of_range(HARM, given, "a finite number for each client") from fault
    if harm.shape != (len(round.clients),) or not np.isfinite(harm).all():
        raise errors.out_of_range(HARM, given, "a finite number for each client")
    return harm


def words_of(parts: Floats) -> Iterator[str]:
    """What each client's suspicion is made of."""
    for own in parts.T.tolist():
        yield ", ".join(f"{name} {value:.1f}" for name, value in zip(NAMES, own, strict=False))


def likeness_of(geometry: Geometry) -> Floats:
    """(n, n) cosines of the rows less the centre; 0 for a row that is the centre, and beside itself."""
    return cosines_of(geometry.products[:-1, :-1])


def opposition_of(geometry: Geometry) -> Floats:
    """(n,) minus the cosines of the rows and the centre; 0 of a row, or a centre, of zeros."""
    along = geometry.products[:-1, -1] + geometry.products[-1, -1]
    lengths = np.sqrt(np.maximum(np.diagonal(geometry.inner) * geometry.products[-1, -1], 0))
    return np.asarray(-np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0).clip(-1, 1))


def suspicions(seen: Floats, alike: Sequence[Floats]) -> tuple[Floats, Floats]:
    """(n,) suspicion, and (k, n) what it is made of, in the order of the names, in robust deviations.

    `seen` (2, n, k - 2) and each of the two `alike` (2, n, n) are the means over all rounds, and those that fade.
    """
    shared, n = [nearest(likeness) for likeness in alike], seen.shape[1]
    least = (*[LEAST_SPREAD] * 4, LEAST_HARM_SPREAD)
    columns = (np.stack([*(likeness[k] for likeness in shared), *seen[k].T]) for k in range(2))
    above = np.array([list(map(unusual, own, least)) for own in columns])
    more = above.sum(axis=1).argmax(axis=0)
    parts = above[more, :, np.arange(n)].T
    return parts.sum(axis=0), parts


def nearest(likeness: Floats) -> Floats:
    """(2, n) how like each client is to a fifth of the others, two at least, of (2, n, n) likenesses."""
    n = likeness.shape[1]
    accomplices = min(max(int(ACCOMPLICES * n + 1e-9), 2), n - 1)
    apart = np.where(np.eye(n, dtype=bool), -np.inf, likeness)
    largest = np.sort(apart, axis=2)[:, :, n - accomplices :]
    return largest.mean(axis=2) if accomplices else np.zeros((2, n))


def unusual(values: Floats, least: float) -> Floats:
    """(n,) how many robust deviations, `least` at least, above the median; not below 0."""
    above = values - np.median(values)
    return np.asarray(np.maximum(above / max(TO_SIGMA * float(np.median(np.abs(above))), least), 0.0))


def most_suspicious(suspicion: Floats, norms: Floats, k: int) -> Any:
    """Indices of the k most suspicious of those who are suspicious at all; of equal ones the longest."""
    order = np.lexsort((-blurred(norms), -blurred(suspicion)))[:k]
    return order[suspicion[order] > 0]
