"""Attacks that need no more than the range of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface_truth import Reals
from robustagg.truth.attacks.plan import Plan, plan
from robustagg.truth.claims import Claims
from robustagg.truth.estimators import Estimator, Mean
from robustagg.truth.estimators.base import tried

EXTREMES = ("far", "max")


def random(
    claims: Any,
    method: Estimator | None = None,
    *,
    workers: int,
    low: float,
    high: float,
    items: Sequence[Any] | None = None,
    answers: int | None = None,
    seed: int = 0,
) -> Claims:
    """Malicious workers who answer at random, uniformly between `low` and `high`.

    Parameters
    ----------
    claims : Claims, or what :meth:`robustagg.truth.Claims.of` takes
        Of the honest workers.
    method : ignored
        So that all attacks are called alike.
    workers : int
        How many malicious workers, named malicious-1, malicious-2, ...
    low, high : float
        The range of answers that are allowed.
    items : sequence of ids, optional
        The attacked items, all by default.
    answers : int, optional
        How many of them each malicious worker answers, drawn at random; by default as many as an honest worker.
    seed : int

    Returns
    -------
    Claims
        All answers together; the honest ones are as they were.

    Raises
    ------
    ValueError
        If the range is empty, an item is unknown, or a name is taken.

    Examples
    --------
    >>> from robustagg import truth
    >>> truth.attacks.random((["a", "b"], ["ada", "bob"], [1.0, 2.0]), workers=3, low=0, high=9)
    Claims(5 answers of 5 workers to 2 items)
    """
    placed = plan(claims, workers=workers, items=items, answers=answers, low=low, high=high, seed=seed)
    return placed.poisoned(random_values(placed, seed))


def maximum(
    claims: Any,
    method: Estimator | None = None,
    *,
    workers: int,
    low: float,
    high: float,
    items: Sequence[Any] | None = None,
    answers: int | None = None,
    extreme: str = "far",
    seed: int = 0,
) -> Claims:
    """Malicious workers who answer with the end of the range that is farther from the item's estimate.

    Parameters
    ----------
    claims, workers, low, high, items, answers, seed
        As for :func:`random`.
    method : Estimator, optional
        Whose estimate; the mean by default.
    extreme : {"far", "max"}
        The farther end, or always `high`.

    Returns
    -------
    Claims

    Raises
    ------
    ValueError
        As for :func:`random`.

    Examples
    --------
    >>> from robustagg import truth
    >>> answers = (["a", "a", "a"], ["ada", "bob", "cem"], [1.0, 2.0, 3.0])
    >>> truth.Mean().fit(truth.attacks.maximum(answers, workers=1, low=0, high=10))["a"]
    4.0
    """
    if extreme not in EXTREMES:
        raise errors.not_one_of("extreme", extreme, EXTREMES)
    placed = plan(claims, workers=workers, items=items, answers=answers, low=low, high=high, seed=seed)
    return placed.poisoned(extreme_values(placed, tried(method or Mean(), placed.claims).estimates, extreme))


def random_values(placed: Plan, seed: int) -> Reals:
    return np.random.default_rng([seed, 1]).uniform(placed.low, placed.high, placed.items.size)


def extreme_values(placed: Plan, estimates: Reals, extreme: str = "far") -> Reals:
    up = 2 * estimates[placed.items] <= placed.low + placed.high
    return np.where(up | (extreme == "max"), placed.high, placed.low)
