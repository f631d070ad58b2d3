"""How suspicious clients are by what was seen of them, and what weight that leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg.protocol import Floats
from robustagg.rules.evidence.geometry import TO_SIGMA, blurred

SHARE = 0.3  # of the clients that may attack, where nobody says how many
LEAST_SPREAD = 0.03  # of cosines, and of extremeness in that of a typical client, lest near-equal ones differ
LEAST_HARM_SPREAD = 0.1  # of what a clean set says of all clients together, in nats
ACCOMPLICES = 0.2  # share of the clients whose likeness counts, two at least
HIDDEN = 1.5  # how much more collusion counts than what a clean set can judge
VOUCHED = 2.0  # how many deviations better the model is with a client whom the clean set speaks for wholly
UNSEEN = 0.5  # of collusion that counts whatever a clean set says, which does not show what it is for
STRICT = 5  # rounds in which nobody is heard who is suspected
BELIEVED, EXPELLED = 2.0, 4.0  # suspicion up to which a client has its whole weight, and from which it has none


def allowed(m: int) -> int:
    """How many of m clients are taken for attackers where nobody says how many: three in ten, one of three to six."""
    return max(int(SHARE * m + 1e-9), min(1, (m - 1) // 2))  # 0.3 * 10 is 3, not 2.9999


def suspicions(seen: Floats, likeness: Floats, judged: bool = False) -> tuple[Floats, Floats]:
    """(n,) suspicion, and (k, n) what it is made of, in robust deviations: collusion, and what was seen, in order.

    `seen` (2, n, k - 1) and `likeness` (2, n, n) are the means over all rounds, and those that fade; harm, where a
    clean set is asked, is seen last. It speaks beside the others and for a client; where `judged`, it weighs others.
    """
    above = np.array([_parts(own, like, judged) for own, like in zip(seen, likeness, strict=True)])
    more = above.sum(axis=1).argmax(axis=0)
    parts = above[more, :, np.arange(likeness.shape[1])].T
    return parts.sum(axis=0), parts


def _parts(seen: Floats, likeness: Floats, judged: bool) -> Floats:
    """(k, n) by one memory."""
    n = len(likeness)
    apart = np.where(np.eye(n, dtype=bool), -np.inf, likeness)
    nearest = np.sort(apart, axis=1)[:, max(n - max(int(ACCOMPLICES * n + 1e-9), 2), 1) :]
    alike = nearest.mean(axis=1) if n > 1 else np.zeros(n)
    least = (LEAST_SPREAD, LEAST_SPREAD, LEAST_SPREAD, LEAST_HARM_SPREAD / n)
    parts = np.array([deviations(values, one) for values, one in zip((alike, *seen.T), least, strict=False)])
    suspected: Floats = np.maximum(parts[:3], 0.0)
    if len(parts) == 3:
        return suspected
    harm = parts[3]
    vouched = np.clip(1 + harm / VOUCHED, 0.0, 1.0)
    suspected[0] *= np.maximum(vouched, UNSEEN)
    if judged and n > 1:
        suspected = _judged(suspected, apart >= nearest[:, :1], harm)
    else:
        suspected[1:] *= vouched
    return np.vstack([suspected, np.maximum(harm, 0.0)])


def _judged(suspected: Floats, accomplices: NDArray[np.bool_], harm: Floats) -> Floats:
    """What counts where the clean set judges.

    Who is unlike the others is suspected of it by half, wholly only where the model is better without it. What a clean
    set does not show counts the more, but no more than it does of the accomplices.
    """
    collusion, opposition, extremeness = suspected
    mutual = np.minimum(collusion, accomplices @ collusion / accomplices.sum(axis=1))
    proven = np.clip((1 + harm) / 2, 0.0, 1.0)
    return np.stack([HIDDEN * mutual, proven * opposition, proven * extremeness])


def deviations(values: Floats, least: float) -> Floats:
    """(n,) how many robust deviations, `least` at least, above the median."""
    above = values - np.median(values)
    return np.asarray(above / max(TO_SIGMA * float(np.median(np.abs(above))), least))


def most_suspicious(suspicion: Floats, norms: Floats, k: int) -> Any:
    """Indices of the k most suspicious of those who are suspicious at all; of equal ones the longest."""
    order = np.lexsort((-blurred(norms), -blurred(suspicion)))[:k]
    return order[suspicion[order] > 0]


def shares_left(suspicion: Floats, norms: Floats, rounds: Floats) -> Floats:
    """(n,) shares of their weight, from 0 to 1, that a clean set leaves clients who were seen in so many rounds.

    Three newcomers in ten lose it, and of the others fewer than half of all lose any.
    """
    m = len(suspicion)
    left = np.ones(m)
    newcomers = most_suspicious(suspicion, norms, allowed(m))
    left[newcomers[rounds[newcomers] <= STRICT]] = 0
    known = most_suspicious(suspicion, norms, (m - 1) // 2)
    known = known[rounds[known] > STRICT]
    left[known] = np.clip((EXPELLED - suspicion[known]) / (EXPELLED - BELIEVED), 0, 1)
    return left
