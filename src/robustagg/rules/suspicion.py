"""Suspicion: who is like others, against the rest, or at the ends, round after round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array
from robustagg.memory.means import Means
from robustagg.memory.vectors import Vector
from robustagg.names import labelled
from robustagg.protocol import Block, Client, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import number, yes_or_no
from robustagg.rules.component import Needs, Withstanding
from robustagg.rules.distance import Combination, combined, scaled, shares_of, shortened
from robustagg.rules.evidence.geometry import shortening
from robustagg.rules.evidence.largest import Agreeing, Seen, plan_of
from robustagg.rules.evidence.magnitudes import Search
from robustagg.rules.evidence.suspects import allowed, most_suspicious, shares_left, suspicions

NAMES = ("collusion", "opposition", "extremeness", "harm")
HARM = "harm"
"""An argument of the call."""


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


@dataclass(eq=False)
class Suspicion(Withstanding, Rule[Verdict]):
    r"""The mean of all but the f most suspicious clients, cut to their median length; suspicion adds up over rounds.

    With m the coordinate-wise median and :math:`r_i = u_i - m`, three things are seen of a client in a round:

    - *collusion*, the mean of its largest :math:`\cos(s_i, s_j)`, as many as a fifth of the clients, two at least;
      :math:`s_i` has the signs of the largest magnitudes of :math:`r_i` and zeros elsewhere: of 2 % of the coordinates,
      one at least, and of all that are as large as the least of these in their first four binary digits;
    - *opposition*, :math:`-\cos(u_i, m)`;
    - *extremeness*, the share of the coordinates in which it has the greatest or the least value, times n / 2.

    Each is meant over the rounds, the cosines pair by pair, once over all rounds alike and once with weights that
    fade. Suspicion is the sum over them of how many robust deviations (1.4826 times the median absolute deviation, .03
    at least) a client lies above the median client, by the memory that fades or by the one that does not, whichever
    gives more. Nobody is left out who lies above in nothing.

    With ``validated=True`` a fourth:

    - *harm*, how much better a clean set at the server likes the model without the client, see :func:`harms`, an
      argument of the call: ``rule.aggregate(updates, harm=ra.harms(updates, validate))``; its deviation is .1/n nats at
      least. Who lies below the median client in it is vouched for: opposition and extremeness count by half where that
      is a deviation, not at all from two on, and collusion by half at least, as no clean set shows what it is for.

    Where it is validated and f is not given, the clean set says who comes back:

    - opposition and extremeness count by half at the median client's harm, wholly from a deviation above it on, and
      not at all from one below: to be unlike the others is no proof;
    - collusion counts half as much again, but a client's no more than the mean of its accomplices';
    - in its first five rounds a client is left out as without a clean set; from then on it has its whole weight up to a
      suspicion of 2, none from 4 on, a share of it between. Fewer than half of the clients lose any.

    Parameters
    ----------
    f : int, optional
        How many clients may attack; where not given, three in ten, rounded down, but one of three to six, unless it is
        validated.
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
    ``docs/studies.md``. Updates must be differences from the global model. O(nd), and a step for every two signs in
    a coordinate; three passes; 32 KiB of counts for each client, of float64 256. Weighted by `sample_counts` where
    given.

    What it remembers is by client id: 8 numbers for each client, 12 where it is validated, and 4 for each pair, that
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
        self._clients, self._pairs = self._nothing_seen()

    def _nothing_seen(self) -> tuple[Means, Means]:
        return Means.of(2 + self.validated), Means.of(0)

    @property
    def extras(self) -> frozenset[str]:
        return frozenset({HARM} if self.validated else ())

    def for_worker(self, vectors: Mapping[Client, Vector]) -> Suspicion:
        twin = super().for_worker(vectors)
        twin._clients, twin._pairs = self._nothing_seen()
        return twin

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Search.nbytes(n, plan_of(itemsize))

    def needed(self) -> Needs | None:
        return None if self.f is None else self.needs

    def withstood(self, m: int) -> int:
        if self.f is not None:
            return super().withstood(m)
        return (m - 1) // 2 if self._judging else allowed(m)

    @property
    def _judging(self) -> bool:
        """Whether a clean set says who comes back: only where nobody says how many attack."""
        return self.validated and self.f is None

    # --- the verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        if self.validated:
            harm_of(round)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Seen | Agreeing, None]:
        if isinstance(verdict, Reading):
            return Agreeing.of(block.rows, round.dtype, verdict.seen, verdict.keys), None
        return Seen.of(block.rows, round.dtype), None

    def decide(self, evidence: Seen | Agreeing, round: Round) -> Verdict:
        m = len(round.kept)
        if isinstance(evidence, Seen):
            words = ["to be read again"] * m
            keys = evidence.least_keys(round.d)
            return Reading(np.full(m, 1 / m), words, again=True, seen=evidence.without_counts(), keys=keys)
        return self._judged(evidence.seen, evidence.likeness(), round)

    def _judged(self, evidence: Seen, likeness: Floats, round: Round) -> Verdict:
        m = len(round.kept)
        relation = evidence.related.relation(m)
        clients = [round.clients[i] for i in round.kept]
        norms, opposition = relation.norms[:m], -relation.cosines()[:m]
        extremeness = evidence.outermost / max(round.d, 1) * m / 2
        columns = [opposition, extremeness, *([round.of_admitted(harm_of(round))] if self.validated else [])]
        seen = self._clients.after(clients, np.stack(columns, axis=1), self.retention)
        pairs = self._pairs.after(clients, likeness, self.retention, pairs=True)
        suspicion, parts = suspicions(seen.told(clients), pairs.told(clients, pairs=True), self._judging)
        left = self._left(suspicion, norms, seen.rounds(clients))
        longest = float(np.median(norms[left > 0]))
        weights = shares_of(left, round.counts())
        why = [
            f"{verdict_of(one)}: suspicion {total:.1f} ({told}){shortened(norm, longest) if one else ''}"
            for one, total, told, norm in zip(left, suspicion.tolist(), words_of(parts), norms.tolist(), strict=True)
        ]
        coefficients = weights * shortening(norms, longest)
        verdict = Suspected(weights, why, coefficients=coefficients, clients=seen, pairs=pairs)
        return scaled(verdict, relation.scale)

    def _left(self, suspicion: Floats, norms: Floats, rounds: Floats) -> Floats:
        """(n,) shares of their weight that the clients keep."""
        if self._judging:
            return shares_left(suspicion, norms, rounds)
        left = np.ones(len(norms))
        left[most_suspicious(suspicion, norms, self.withstood(len(norms)))] = 0
        return left

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)

    def commit(self, verdict: Verdict, round: Round, vectors: Mapping[Client, Vector]) -> None:
        assert isinstance(verdict, Suspected)
        super().commit(verdict, round, vectors)
        self._clients, self._pairs = verdict.clients, verdict.pairs

    # --- memory ---

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "seen": self._clients.state(), "signs": self._pairs.state()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        clients, pairs = Means.restored(state["seen"], 2 + self.validated), Means.restored(state["signs"], None)
        super()._restore(state)
        self._clients, self._pairs = clients, pairs


def harm_of(round: Round) -> Floats:
    """(n,) what the call says of all clients' harm."""
    if HARM not in round.extras:
        raise errors.missing_argument("Suspicion", HARM)
    given = round.extras[HARM]
    try:
        told = [given[client] for client in round.clients] if isinstance(given, Mapping) or labelled(given) else given
        harm = np.array(told, np.float64)
    except (KeyError, TypeError, ValueError) as fault:
        raise errors.out_of_range(HARM, given, "a finite number for each client") from fault
    if harm.shape != (len(round.clients),) or not np.isfinite(harm).all():
        raise errors.out_of_range(HARM, given, "a finite number for each client")
    return harm


def verdict_of(left: float) -> str:
    """What becomes of a client who keeps this share of its weight."""
    return "left out" if left == 0 else "kept" if left == 1 else f"kept with {left:.0%} of its weight"


def words_of(parts: Floats) -> Iterator[str]:
    """What each client's suspicion is made of."""
    for own in parts.T.tolist():
        yield ", ".join(f"{name} {value:.1f}" for name, value in zip(NAMES, own, strict=False))
