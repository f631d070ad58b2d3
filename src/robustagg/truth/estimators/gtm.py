"""The Gaussian truth model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface_truth import MEAN, SQUARED, Reals
from robustagg.truth.claims import Claims
from robustagg.truth.estimators.base import Counts, Fit, Method, Part, check_iteration, positions
from robustagg.truth.results import Result


@dataclass(eq=False, kw_only=True)
class GTM(Method):
    r"""Gaussian truth model: every worker has a variance, every item a truth, each with a prior; found by EM.

    With :math:`z = (x - \mathrm{median}) / \mathrm{std}` of the item's answers,

    .. math:: \mu_n = \frac{\mu_0/s_0^2 + \sum_k z_{kn}/\sigma_k^2}{1/s_0^2 + \sum_k 1/\sigma_k^2}, \qquad
              \sigma_k^2 = \frac{2\beta + \sum_n (z_{kn} - \mu_n)^2}{2(\alpha + 1) + N_k}

    with :math:`\mu_0 = 0, s_0^2 = 1`.

    Parameters
    ----------
    alpha, beta : float
        Of the prior on a worker's variance, above 0.
    outliers : float or None
        Answers of \|z\| above this are left out first; None: none are.
    max_iter : int
    tol : float
        Largest change of an estimate, in standard deviations of its item's answers, at which it stops.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The weight of a worker is 1 / variance. Items with equal answers count as answered without error. O(A) per
    iteration; the same bits for any order of rows, workers and items, any threads, any backend.

    References
    ----------
    Zhao and Han, "A probabilistic model for estimating real-valued truth from conflicting sources", QDB 2012.

    Examples
    --------
    >>> from robustagg import truth
    >>> items, workers = ["a", "b", "c"] * 3, ["ada"] * 3 + ["bob"] * 3 + ["eve"] * 3
    >>> truth.GTM().fit((items, workers, [1.0, 2.0, 3.0, 1.1, 2.1, 2.9, 50.0, 9.0, -40.0])).estimates.round(0)
    array([11.,  3., -6.])
    """

    prior = 1.0

    alpha: float = 10.0
    beta: float = 10.0
    outliers: float | None = None
    max_iter: int = 200
    tol: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise errors.out_of_range(name, getattr(self, name), "positive and finite")
        if self.outliers is not None and not self.outliers > 0:
            raise errors.out_of_range("outliers", self.outliers, "positive, or None")
        check_iteration(self.max_iter, self.tol)

    def fit(self, claims: Any, **columns: Any) -> Result:
        claims = self.accept(claims, columns)
        if self.outliers is None:
            return super().fit(claims)
        scale, n = claims.scale(), claims.item_of
        z = (claims.answers.values - scale.centre[n]) * scale.inverse[n]
        inner = replace(self, outliers=None).fit(claims.only(np.abs(z) <= self.outliers))
        # whose answers were all left out has the weight that the prior alone gives
        weights = np.full(claims.workers.size, float(self.weigh([np.zeros(1)], np.zeros(1, np.int64))[0]))
        weights[positions(claims.workers, inner.workers)] = inner.weights
        estimates = claims.median.copy()
        estimates[positions(claims.items, inner.items)] = inner.estimates
        return self.result(claims, estimates, Fit([], [], weights, inner.iterations, inner.converged))

    def part(self, claims: Claims) -> Part:
        return Part(claims.arranged, claims.scale(), MEAN, SQUARED)

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        precision: Reals = (2 * (self.alpha + 1) + counts) / (2 * self.beta + losses[0])
        return precision
