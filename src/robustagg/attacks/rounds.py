"""Attacks on a memory: when to attack, under which name, and with which claims. Rounds are counted from 1.

Three shapes: a schedule says whether attackers attack in a round, ``schedule(round) -> bool`` (else they behave; an
arrival is a schedule by newcomers); an identity attack says under which ids they come,
``attack(clients, round) -> ids``; a claim says how many samples they say they have, ``attack(counts) -> counts``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustagg.attacks.common import Floats
from robustagg.protocol import Client
from robustagg.rules.checks import positive, whole


def on_off(round: int, *, on: int = 5, off: int = 5) -> bool:
    """Attack for `on` rounds, behave for `off` rounds, and so on: the reputation recovers in between.

    Parameters
    ----------
    round : int
        Counted from 1.
    on, off : int
        Lengths of the spells, in rounds.

    References
    ----------
    Sun, Han and Liu, "Defense of Trust Management Vulnerabilities in Distributed Networks", IEEE Communications
    Magazine 46, 2008.

    Examples
    --------
    >>> from robustagg.attacks import on_off
    >>> [on_off(round, on=1, off=2) for round in range(1, 6)]
    [True, False, False, True, False]
    """
    _check(round=round, on=on, off=off)
    return (round - 1) % (on + off) < on


def sleeper(round: int, *, wake: int = 11) -> bool:
    """Behave until round `wake`, then attack for good: the reputation of the honest years is spent.

    Parameters
    ----------
    round : int
        Counted from 1.
    wake : int
        The first round of the attack.

    References
    ----------
    Sun, Han and Liu, "Defense of Trust Management Vulnerabilities in Distributed Networks", IEEE Communications
    Magazine 46, 2008.

    Examples
    --------
    >>> from robustagg.attacks import sleeper
    >>> [sleeper(round, wake=3) for round in range(1, 5)]
    [False, False, True, True]
    """
    _check(round=round, wake=wake)
    return round >= wake


def looping(round: int, *, every: int = 5) -> bool:
    """Attack in every k-th round only, the first included.

    Parameters
    ----------
    round : int
        Counted from 1.
    every : int
        Rounds from one attack to the next (30 to 80 in the paper).

    References
    ----------
    Chu et al., "Securing Federated Sensitive Topic Classification against Poisoning Attacks", NDSS 2023, figures 5
    and 10.

    Examples
    --------
    >>> from robustagg.attacks import looping
    >>> [looping(round, every=3) for round in range(1, 6)]
    [True, False, False, True, False]
    """
    _check(round=round, every=every)
    return (round - 1) % every == 0


def late(round: int, *, arrive: int = 11) -> bool:
    """Honest clients until round `arrive`, then newcomers in their place that attack at once: nobody knows them.

    Parameters
    ----------
    round : int
        Counted from 1.
    arrive : int
        The first round of the newcomers.

    References
    ----------
    Feldman et al., "Free-Riding and Whitewashing in Peer-to-Peer Systems", IEEE JSAC 24, 2006.

    Examples
    --------
    >>> from robustagg.attacks import late
    >>> [late(round, arrive=3) for round in range(1, 5)]
    [False, False, True, True]
    """
    _check(round=round, arrive=arrive)
    return round >= arrive


def whitewashing(clients: Sequence[Client], round: int, *, every: int = 5) -> tuple[Client, ...]:
    """Come back under new names every few rounds: a bad reputation is left behind.

    Parameters
    ----------
    clients : sequence of int or str
        The attackers' own ids.
    round : int
        Counted from 1.
    every : int
        Rounds that a name is kept.

    Returns
    -------
    tuple of int or str
        The ids to use in this round; their own in the first `every` rounds.

    References
    ----------
    Feldman et al., "Free-Riding and Whitewashing in Peer-to-Peer Systems", IEEE JSAC 24, 2006.

    Examples
    --------
    >>> from robustagg.attacks import whitewashing
    >>> whitewashing(["eve", "mal"], 3, every=2)
    ('eve~1', 'mal~1')
    """
    _check(round=round, every=every)
    generation = (round - 1) // every
    return tuple(f"{client}~{generation}" if generation else client for client in clients)


def sample_count_inflation(counts: Sequence[float], *, factor: float = 100.0) -> Floats:
    """Claim to hold `factor` times as many samples, where the rule weighs by them.

    Parameters
    ----------
    counts : (f,) array
        The attackers' true sample counts.
    factor : float
        How much larger the claim is.

    Returns
    -------
    (f,) float64
        The claims.

    References
    ----------
    Portnoy, Tirosh and Hendler, "Towards Federated Learning With Byzantine-Robust Client Weighting", Applied Sciences
    12, 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> from robustagg.attacks import sample_count_inflation
    >>> counts = [10, 10, *sample_count_inflation([10], factor=2)]
    >>> ra.Mean().aggregate([[0.0], [0.0], [8.0]], sample_counts=counts).update
    array([4.])
    """
    return np.asarray(counts, np.float64) * positive("factor", factor)


def _check(**lengths: int) -> None:
    for name, value in lengths.items():
        whole(name, value, 1)
