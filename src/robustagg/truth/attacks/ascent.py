"""The attack that looks for the answers that move the estimates farthest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface_truth import Reals
from robustagg.truth.attacks.crude import extreme_values, random_values
from robustagg.truth.attacks.gradients import Local, gradient, has_gradient
from robustagg.truth.attacks.plan import Plan, Scene, plan
from robustagg.truth.claims import Claims, build
from robustagg.truth.estimators import CRH, GTM, Estimator, Method
from robustagg.truth.estimators.base import positions, tried
from robustagg.truth.tables import as_objects

Progress = Callable[[int, float], None]

LEAST_STEP = 1e-3  # of the range: below it, the search is over
SEARCH_TOL = 1e-4  # standard deviations: to this, truth discovery is run while searching
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # of the way to the farther ends of the range, where searches begin


def optimised(
    claims: Any,
    method: Estimator,
    *,
    workers: int,
    low: float,
    high: float,
    items: Sequence[Any] | None = None,
    answers: int | None = None,
    knowledge: float = 1.0,
    steps: int = 60,
    seed: int = 0,
    progress: Progress | None = None,
) -> Claims:
    r"""Malicious workers whose answers move the estimates of the attacked items as far as they can.

    Ascent on :math:`\sum_n |t_n(\text{after}) - t_n(\text{before})|`, alternating with truth discovery. Against CRH
    and GTM along their gradient, projected on the allowed range; against everything else (defences, the median) by
    trying what is best against those two, answers part of the way to the extremes, then random changes of the best.

    Parameters
    ----------
    claims, workers, low, high, items, answers, seed
        As for :func:`random`.
    method : Estimator
        What is attacked, a defence too: then the attack is adaptive. One with a memory judges every try by what it
        remembers now, and remembers none.
    knowledge : float
        The share of the honest workers whose answers the attacker knows, above 0 and at most 1.
    steps : int
        How many steps are tried from the three best starts; truth discovery is run some three times as often.
    progress : callable, optional
        Called with the step and the estimation error so far.

    Returns
    -------
    Claims

    Raises
    ------
    ValueError
        As for :func:`random`, or if `knowledge` or `steps` is out of range.

    Notes
    -----
    A step is taken only if truth discovery then confirms that it helps, and halved if not: it cannot diverge, and
    with full knowledge it is never worse than :func:`maximum` or :func:`random` of the same seed, from which it
    starts.

    References
    ----------
    Fang et al., "Data poisoning attacks and defenses to crowdsourcing systems", WWW 2021.

    Examples
    --------
    >>> from robustagg import truth
    >>> items, workers = ["a", "b"] * 5, [name for name in ("ada", "bob", "cem", "dan", "fay") for _ in range(2)]
    >>> answers = (items, workers, [4.0, 5.0, 4.5, 5.5, 4.2, 5.1, 3.9, 4.8, 4.1, 5.2])
    >>> poisoned = truth.attacks.optimised(answers, truth.GTM(), workers=2, low=0, high=10)
    >>> before, after = truth.GTM().fit(answers), truth.GTM().fit(poisoned)
    >>> truth.estimation_error(before, after) > 0.5
    True
    """
    if not 0 < knowledge <= 1:
        raise errors.out_of_range("knowledge", knowledge, "above 0 and at most 1")
    if steps < 1:
        raise errors.out_of_range("steps", steps, "an integer of at least 1")
    placed = plan(claims, workers=workers, items=items, answers=answers, low=low, high=high, seed=seed)
    if not placed.items.size:
        return placed.claims
    known = _known(placed, knowledge, seed)
    search = _Gradients(known, method) if has_gradient(method) else _Trials(known, method)
    return placed.poisoned(search.best(steps, seed, progress or (lambda step, error: None)))


def _known(placed: Plan, knowledge: float, seed: int) -> Plan:
    """The plan as the attacker sees it: some honest workers are missing, and so may items be."""
    claims = placed.claims
    if knowledge == 1:
        return placed
    known = max(1, round(knowledge * claims.workers.size))
    chosen = np.random.default_rng([seed, 2]).permutation(claims.workers.size)[:known]
    seen = np.isin(claims.answers.workers, chosen)
    missing = np.flatnonzero(np.bincount(claims.item_of[seen], minlength=claims.items.size) == 0).astype(np.int32)
    shown = claims.only(seen)
    if not missing.size:
        return replace(placed, claims=shown)
    # of an item that nobody known has answered, the attacker knows that it exists: one answer in the middle
    nobody = next(name for name in map("nobody-{}".format, count(1)) if name not in claims.workers.tolist())
    place = positions(claims.items, shown.items).astype(np.int32)
    middle = np.full(missing.size, (placed.low + placed.high) / 2)
    merged = build(
        claims.items,
        as_objects([*shown.workers.tolist(), nobody]),
        np.concatenate([place[shown.item_of], missing]),
        np.concatenate([shown.answers.workers, np.full(missing.size, shown.workers.size, np.int32)]),
        np.concatenate([shown.answers.values, middle]),
    )
    return replace(placed, claims=merged)


class _Search:
    """What both searches know: the estimates before, and how far answers move them."""

    def __init__(self, plan: Plan, method: Any) -> None:
        self.plan, self.method = plan, method
        self.before = tried(method, plan.claims).estimates
        self.target = np.zeros(plan.claims.items.size)
        self.target[plan.targets] = 1.0
        self.middle, self.extreme = self.before[plan.items], extreme_values(plan, self.before)

    def part_of_the_way(self, share: float) -> Reals:
        """From the estimates to the farther ends of the range."""
        return self.plan.clip(self.middle + share * (self.extreme - self.middle))

    def error(self, values: Reals) -> float:
        """The estimation error over all attacked items, by truth discovery with all answers."""
        after = tried(self.method, self.plan.poisoned(values)).estimates
        return float((self.target * np.abs(after - self.before)).sum() / self.plan.targets.size)

    def best_of(self, candidates: list[Reals]) -> tuple[float, Reals]:
        return max(((self.error(values), values) for values in candidates), key=lambda pair: pair[0])


class _Gradients(_Search):
    """Projected ascent along the gradient: a short way from several starts, and on from the three best of those."""

    method: Method

    def best(self, steps: int, seed: int, progress: Progress) -> Reals:
        self.scene = Scene(self.plan, self.method)
        self.inner = replace(self.method, tol=max(self.method.tol, SEARCH_TOL))  # type: ignore[type-var]
        crude = [self.extreme, random_values(self.plan, seed)]
        starts = [self.part_of_the_way(share) for share in SHARES] + crude
        found = [self._ascend(start, -(-steps // 5), progress) for start in starts]
        found.sort(key=lambda pair: -pair[0])
        found = [self._ascend(values, steps, progress) for _, values in found[:3]]
        return self.best_of([max(found, key=lambda pair: pair[0])[1], *crude])[1]

    def _ascend(self, values: Reals, steps: int, progress: Progress) -> tuple[float, Reals]:
        reach = self.plan.high - self.plan.low
        error, slope, weights = self._look(values, None)
        step, alike = 0.25 * reach, False
        for number in range(steps):
            slope = self._inward(values, slope)
            if step < LEAST_STEP * reach or not slope.any():
                break
            way = np.sign(slope) if alike else slope / np.abs(slope).max()
            trial = self.plan.clip(values + step * way)
            reached, new_slope, new_weights = self._look(trial, weights)
            if reached > error:
                values, error, slope, weights, step = trial, reached, new_slope, new_weights, 1.5 * step
            else:  # the other way of going, then half as far
                step, alike = (0.5 * step if alike else step), not alike
            progress(number, error)
        return error, values

    def _inward(self, values: Reals, slope: Reals) -> Reals:
        """The slope, without what would leave the range."""
        outward = ((values <= self.plan.low) & (slope < 0)) | ((values >= self.plan.high) & (slope > 0))
        return np.where(outward, 0.0, slope)

    def _look(self, values: Reals, start: Reals | None) -> tuple[float, Reals, Reals]:
        """Estimation error, its slope along the malicious answers, and the weights to start from the next time."""
        scene, method = self.scene, self.inner
        claims = scene.claims(values)
        part, unit = method.part(claims), method.unit(claims)
        found = method.discover([part], scene.counts, start, scene.elsewhere / unit)
        after = method.estimates(claims, part, found.weights, found.truths[0])
        moved = after - self.before[scene.items]
        target = self.target[scene.items]
        local = Local(
            claims.item_of, claims.answers.workers, claims.answers.values, after, claims.spread[1],
            np.where(moved >= 0, target, -target), found.weights, found.losses[0] * unit, scene.counts,
        )  # fmt: skip
        error = float((target * np.abs(moved)).sum() / self.plan.targets.size)
        return error, gradient(method, local, scene.mine(claims)), found.weights


class _Trials(_Search):
    """Trial and error, for what has no gradient."""

    def best(self, steps: int, seed: int, progress: Progress) -> Reals:
        plan, rng = self.plan, np.random.default_rng([seed, 3])
        candidates = [self.part_of_the_way(share) for share in SHARES] + [self.extreme, random_values(plan, seed)]
        candidates += [_Gradients(plan, other).best(steps, seed, progress) for other in (CRH(), GTM())]
        error, values = self.best_of(candidates)
        width = 0.25 * (plan.high - plan.low)
        for number in range(steps):
            changed = rng.random(values.size) < 0.2
            trial = plan.clip(values + changed * rng.normal(0, width, values.size))
            reached = self.error(trial)
            if reached > error:
                error, values = reached, trial
            else:
                width = max(0.9 * width, LEAST_STEP * (plan.high - plan.low))
            progress(number, error)
        return values
