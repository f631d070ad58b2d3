"""A defence with a memory: workers' Beta reputations, and outlying answers rectified."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels, ledger
from robustagg.kernels import truth as truth_kernels
from robustagg.kernels.interface_truth import ABSOLUTE, MEDIAN, Reals
from robustagg.truth.claims import Claims
from robustagg.truth.estimators import Estimator
from robustagg.truth.estimators.base import check_iteration
from robustagg.truth.results import Result

LABEL = "truth.Reputation"  # in ledgers
LEAST_SPREAD = 0.05  # of reputations: differences of this size are no sign of malice
TO_SIGMA = 1.4826  # standard deviations in a median absolute deviation
SETTLED = 1e-4  # of all answers: so few judgements that still change are none
PRIOR_ANSWERS = 5.0  # how many average answers a worker's error is taken with


class _Judged(NamedTuple):
    """Where a batch stands: the items' centres and reach, and the workers' records."""

    centre: Reals
    reach: Reals
    rejected: NDArray[np.int64]
    observed: Reals
    reputation: Reals
    weights: Reals


@dataclass(eq=False, kw_only=True)
class Reputation(Estimator):
    r"""Rectified answers, weighted by reputation: a defence of our own, in the manner of :class:`robustagg.Reputation`.

    An answer farther than `reach` times the item's mean deviation from the item's weighted median is rejected, and
    counts as lying at that distance. A worker's accepted and rejected answers P and Q are an observation
    :math:`R = (\kappa P + Wa) / (\kappa P + (1-\kappa) Q + W)` with :math:`\kappa = 1/2` of a Beta reputation,
    remembered over batches with decay. Whose reputation is `cut` robust standard deviations below the median worker's
    weighs nothing, in between the weight falls linearly; it is divided by the worker's root mean squared error.
    Estimates are the weighted means of the rectified answers. Medians and weights are found by turns.

    Parameters
    ----------
    reach : float
        Mean deviations within which an answer is accepted.
    cut : float
        Robust standard deviations below the median reputation at which weight ends.
    shrink : float
        So many answers of the crowd's common deviation are added to each item's own; 0 where items have units of their
        own.
    prior, prior_weight : float
        Prior probability (a) in [0, 1], and the weight of not knowing (W).
    decay : float
        Decay of an observation's weight with each batch of age.
    window : int or None
        Batches after which an observation is forgotten; None: never.
    max_iter : int

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    It remembers: every `fit` is a batch, and the next one starts from the reputations that it left. It needs no
    number of malicious workers. It judges by distance from the middle: malicious workers who are the majority of an
    item's answers are its middle, and quiet ones keep their weight. O(A) per iteration, 70 bytes an answer.

    References
    ----------
    Chu et al., "Securing Federated Sensitive Topic Classification against Poisoning Attacks", NDSS 2023, for the
    reputation.

    Examples
    --------
    >>> from robustagg import truth
    >>> items = ["a", "b", "c"] * 5
    >>> workers = [name for name in ("ada", "bob", "cem", "dan", "eve") for _ in range(3)]
    >>> values = [1.0, 2.0, 3.0, 1.1, 2.1, 2.9, 1.0, 1.9, 3.1, 0.9, 2.0, 3.0, 90.0, 90.0, 90.0]
    >>> result = truth.Reputation().fit((items, workers, values))
    >>> result.estimates.round(1), float(result.weights[4])
    (array([1., 2., 3.]), 0.0)
    """

    reach: float = 2.5
    cut: float = 3.0
    shrink: float = 5.0
    prior: float = 0.9
    prior_weight: float = 1.0
    decay: float = 0.5
    window: int | None = 10
    max_iter: int = 20

    def __post_init__(self) -> None:
        for name, least in (("reach", 0), ("cut", 0), ("prior_weight", 0)):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > least):
                raise errors.out_of_range(name, getattr(self, name), "positive and finite")
        for name in ("shrink", "decay"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise errors.out_of_range(name, getattr(self, name), "at least 0 and finite")
        if not 0 <= self.prior <= 1:
            raise errors.out_of_range("prior", self.prior, "at least 0 and at most 1")
        check_iteration(self.max_iter, 1.0)
        if self.window is not None and not 1 <= self.window <= ledger.WINDOW:
            raise errors.out_of_range("window", self.window, f"from 1 to {ledger.WINDOW}, or None")
        self._ledger = ledger.Ledger(self.decay, self.window)
        self._past = ledger.Past()

    @property
    def last_batch(self) -> int | None:
        """Number of the last batch."""
        return self._ledger.round

    def reputation(self, worker: str | int) -> float | None:
        """What is thought of a worker now; None if all that it did is forgotten.

        Raises
        ------
        LookupError
            If it was never seen.
        """
        return self._ledger.reputation(worker)

    def fit(self, claims: Any, batch: int | None = None, **columns: Any) -> Result:
        """Estimate a batch of items, and remember how its workers did.

        Parameters
        ----------
        claims : Claims, or what :meth:`Claims.of` takes
        batch : int, optional
            Its number, later than the last; the next by default. What lies between ages the reputations.
        **columns
            What :meth:`Claims.of` takes besides.

        Returns
        -------
        Result

        Raises
        ------
        ValueError, TypeError
            As :meth:`Claims.of`, or if the batch is not later. Reputations are then as they were.
        """
        claims = self.accept(claims, columns)
        number = (self._ledger.round or 0) + 1 if batch is None else batch
        judged, iterations, converged = self._judge(claims, number)
        answers, n = claims.answers, claims.item_of
        rectified = np.clip(answers.values, (judged.centre - judged.reach)[n], (judged.centre + judged.reach)[n])
        given = judged.weights[answers.workers]
        total = np.bincount(n, given, claims.items.size)
        off = np.bincount(n, given * (rectified - judged.centre[n]), claims.items.size)
        estimates = judged.centre + np.divide(off, total, out=np.zeros_like(off), where=total > 0)
        reasons = self._reasons(claims, judged)
        ids, accepted = claims.workers.tolist(), claims.per_worker - judged.rejected
        seen = accepted, judged.rejected, judged.observed, judged.reputation
        facts = dict(zip(("accepted", "rejected", "observed", "reputation"), seen, strict=True))
        record = ledger.RoundRecord(number, LABEL, ids, judged.weights > 0, judged.weights.copy(), reasons, facts)
        self._ledger.commit(ids, judged.observed, number)
        self._past.add(record)
        remarks = tuple(claims.remarks())
        return Result(
            str(self), claims.items, claims.workers, estimates, judged.weights, iterations, converged,
            claims.per_worker, tuple(reasons), remarks,
        )  # fmt: skip

    def _judge(self, claims: Claims, number: int) -> tuple[_Judged, int, bool]:
        """Medians and weights by turns, until answers are judged as before."""
        weights = np.ones(claims.workers.size)
        rejected = None
        for iteration in range(1, self.max_iter + 1):
            judged = self._look(claims, weights, number)
            if rejected is not None and np.abs(judged.rejected - rejected).sum() <= SETTLED * claims.size:
                return judged, iteration, True
            weights, rejected = judged.weights, judged.rejected
        return judged, self.max_iter, False

    def _look(self, claims: Claims, weights: Reals, number: int) -> _Judged:
        answers, n, size = claims.answers, claims.item_of, claims.items.size
        who, per_worker = answers.workers, claims.per_worker
        step = truth_kernels.active().truth_step
        centre, _, _ = step(answers, claims.unscaled(0.0), weights, 0.0, MEDIAN, ABSOLUTE)
        off = np.abs(answers.values - centre[n])
        given = weights[who]
        common = (given * off).sum() / given.sum()
        deviation = np.bincount(n, given * off, size) + self.shrink * common
        reach = self.reach * deviation / np.maximum(np.bincount(n, given, size) + self.shrink, np.finfo(float).tiny)
        outside = off > reach[n]
        rejected = np.bincount(who[outside], minlength=per_worker.size)
        observed = kernels.active().beta_reputation(per_worker - rejected, rejected, 0.5, self.prior, self.prior_weight)
        reputation = self._ledger.score(claims.workers.tolist(), observed, number)
        relative = np.divide(off, reach[n], out=outside.astype(np.float64), where=~outside & (off > 0))
        errors_squared = np.bincount(who, relative * relative, per_worker.size) * self.reach**2
        error = np.sqrt((errors_squared + PRIOR_ANSWERS) / (per_worker + PRIOR_ANSWERS))
        return _Judged(centre, reach, rejected, observed, reputation, self._trust(reputation) / error)

    def _trust(self, reputation: Reals) -> Reals:
        """1 from the median worker up, 0 from `cut` robust standard deviations below."""
        middle = float(np.median(reputation))
        spread = TO_SIGMA * float(np.median(np.abs(reputation - middle))) + LEAST_SPREAD
        trust: Reals = np.clip(1.0 - (middle - reputation) / (self.cut * spread), 0.0, 1.0)
        return trust

    def _reasons(self, claims: Claims, judged: _Judged) -> list[str]:
        reasons = [
            f"{rejected} of {count} answers rejected"
            for rejected, count in zip(judged.rejected.tolist(), claims.per_worker.tolist(), strict=True)
        ]
        for k in np.flatnonzero(judged.weights == 0).tolist():
            reasons[k] = f"far below the median worker's reputation; {reasons[k]}"
        return reasons

    def save(self, path: str | Path) -> None:
        """Write the reputations and the last batch's record to a ledger, which ``robustagg ledger`` shows.

        Raises
        ------
        InvalidLedger, OSError
            As :meth:`robustagg.Rule.saving`.
        """
        with self.saving(path):
            pass

    @contextmanager
    def saving(self, path: str | Path) -> Iterator[None]:
        """Save around publishing the estimates, as :meth:`robustagg.Rule.saving`: what fails in the block undoes it."""
        parameters = {f.name: getattr(self, f.name) for f in fields(self)}
        state = ledger.State(LABEL, parameters, self._ledger.round, reputation=self._ledger)
        with ledger.saving(path, state, self._past):
            yield

    @classmethod
    def load(cls, path: str | Path) -> Reputation:
        """A defence that goes on where :meth:`save` left off.

        Raises
        ------
        FileNotFoundError, InvalidLedger, OSError
            As :func:`robustagg.load`; also where the ledger is another rule's.
        """
        state, past = ledger.load(path)
        if state.rule != LABEL or state.reputation is None:
            raise errors.other_rules_ledger(path, cls.__name__)
        defence = cls(**state.parameters)
        defence._ledger, defence._past = state.reputation, past
        return defence
