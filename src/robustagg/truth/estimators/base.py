"""What all methods share: the turns of truths and weights, and how answers of one kind are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels import truth as kernels
from robustagg.kernels.interface_truth import ABSOLUTE, MEDIAN, SQUARED, Answers, Reals, Scale
from robustagg.truth.claims import Claims
from robustagg.truth.results import Result

Counts = NDArray[np.int64]

LEAST_SHARE = 2.0**-52
"""A worker's share of all loss counts as at least this: who is always right gets a large weight, no infinite one."""


class Part(NamedTuple):
    """Answers of one kind, and how their truths and losses are taken."""

    answers: Answers
    scale: Scale
    location: int
    loss: int


class Fit(NamedTuple):
    """Where the iteration ended: truths in the scale's z and the workers' losses, part by part, and their weights."""

    truths: list[Reals]
    losses: list[Reals]
    weights: Reals
    iterations: int
    converged: bool


class Estimator:
    """What every method and every defence can do; ``fit`` is theirs."""

    numbers: ClassVar[bool] = True
    categories: ClassVar[bool] = False

    def fit(self, claims: Any, **columns: Any) -> Result:
        """Estimate every item and weigh every worker.

        Parameters
        ----------
        claims : Claims, or what :meth:`Claims.of` takes
        **columns
            What :meth:`Claims.of` takes besides.

        Returns
        -------
        Result

        Raises
        ------
        ValueError, TypeError
            As :meth:`Claims.of`; and if the answers are not of the kind that the method takes.
        """
        raise NotImplementedError

    def fit_predict(self, data: Any, **columns: Any) -> Any:
        """The estimates as a pandas Series by task, as crowd-kit has it: columns task, worker and label."""
        return self.fit(data, **columns).to_frame()

    def __str__(self) -> str:
        told = (f"{f.name}={value}" for f in fields(self) if (value := getattr(self, f.name)) != f.default)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(told)})"

    def accept(self, claims: Any, columns: dict[str, Any]) -> Claims:
        """Claims of a kind that this method takes."""
        found = Claims.of(claims, **columns)
        if not (self.numbers if found.categories is None else self.categories):
            raise errors.other_kind_of_answers(type(self).__name__, "numeric" if self.numbers else "categorical")
        return found


class Method(Estimator):
    """A truth discovery that turns by turn takes truths and weights."""

    prior: ClassVar[float] = 0.0
    iterates: ClassVar[bool] = True
    max_iter: int
    tol: float

    def part(self, claims: Claims) -> Part:
        """How the answers are looked at."""
        raise NotImplementedError

    def unit(self, claims: Claims) -> float:
        """What the part's losses are counted in."""
        return 1.0

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        """Weights (K,), given every worker's loss, part by part."""
        raise NotImplementedError

    def fit(self, claims: Any, **columns: Any) -> Result:
        claims = self.accept(claims, columns)
        part = self.part(claims)
        found = self.discover([part], claims.per_worker)
        return self.result(claims, self.estimates(claims, part, found.weights, found.truths[0]), found)

    def discover(
        self, parts: list[Part], counts: Counts, start: Reals | None = None, elsewhere: Reals | float = 0.0
    ) -> Fit:
        """Turn by turn, from weights of 1 or from those given; `elsewhere` are the workers' losses on other items."""
        weights = np.ones(counts.size) if start is None else start
        truths, losses, _ = self._step(parts, weights, elsewhere, [None] * len(parts))
        if not self.iterates:
            return Fit(truths, losses, weights, 0, True)
        for iteration in range(1, self.max_iter + 1):
            weights = self.weigh(losses, counts)
            truths, losses, moved = self._step(parts, weights, elsewhere, truths)
            if moved < self.tol:
                return Fit(truths, losses, weights, iteration, True)
        return Fit(truths, losses, weights, self.max_iter, False)

    def _step(
        self, parts: list[Part], weights: Reals, elsewhere: Reals | float, before: Sequence[Reals | None]
    ) -> tuple[list[Reals], list[Reals], float]:
        """Truths and losses, part by part, and the largest change of a truth."""
        step = kernels.active().truth_step
        found = [
            step(p.answers, p.scale, weights, self.prior, p.location, p.loss, old)
            for p, old in zip(parts, before, strict=True)
        ]
        truths, losses, moved = zip(*found, strict=True)
        return list(truths), [loss + elsewhere for loss in losses], max(moved)

    def estimates(self, claims: Claims, part: Part, weights: Reals, truth: Reals) -> NDArray[Any]:
        """Truths as they were asked for: in the item's own unit, or as categories."""
        if claims.categories is not None:
            return claims.categories[truth.astype(np.int64)]
        if part.location == MEDIAN:  # an answer, or the mean of two, to the last digit
            unscaled = claims.unscaled(0.0)
            return kernels.active().truth_step(part.answers, unscaled, weights, 0.0, MEDIAN, ABSOLUTE)[0]
        estimates: Reals = claims.median + truth * claims.spread[1]
        return estimates

    def result(self, claims: Claims, estimates: NDArray[Any], found: Fit) -> Result:
        remarks = claims.remarks()
        if not found.converged:
            remarks.append(f"not converged after {found.iterations} iterations")
        return Result(
            str(self), claims.items, claims.workers, estimates, found.weights, found.iterations, found.converged,
            claims.per_worker, remarks=tuple(remarks),
        )  # fmt: skip


def tried(method: Estimator, claims: Claims) -> Result:
    """A fit that a method with a memory does not remember."""
    return deepcopy(method).fit(claims)


def check_iteration(max_iter: int, tol: float) -> None:
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise errors.out_of_range("max_iter", max_iter, "an integer of at least 1")
    if not (math.isfinite(tol) and tol > 0):
        raise errors.out_of_range("tol", tol, "positive and finite")


def sum_of(values: Reals) -> float:
    """The sum of the sorted values: it does not depend on their order."""
    return float(np.sort(values).sum())


def positions(ids: NDArray[Any], some: NDArray[Any]) -> NDArray[np.int64]:
    """Where some of the ids are."""
    place = {v: k for k, v in enumerate(ids.tolist())}
    return np.array([place[v] for v in some.tolist()], np.int64)


def of_categories(claims: Claims, location: int) -> Part:
    return Part(claims.answers, claims.unscaled(1.0), location, SQUARED)
