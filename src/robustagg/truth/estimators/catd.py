"""Confidence-aware truth discovery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustagg import errors
from robustagg.kernels.interface_truth import MEAN, SQUARED, Reals
from robustagg.truth.claims import Claims
from robustagg.truth.estimators.base import LEAST_SHARE, Counts, Method, Part, check_iteration, sum_of


@dataclass(eq=False, kw_only=True)
class CATD(Method):
    r"""Confidence-aware truth discovery: workers with few answers have wide confidence intervals and little weight.

    .. math:: w_k = \chi^2_{\alpha/2, N_k} / L_k, \qquad L_k = \sum_n (x_{kn} - t_n)^2

    and t the weighted mean; the weight is the inverse of the upper end of the interval of the worker's variance.

    Parameters
    ----------
    alpha : float
        The interval has the confidence 1 - alpha; between 0 and 1.
    standardize : bool
        Whether errors are taken in standard deviations of the item's answers; for items of different units.
    max_iter : int
    tol : float
        Largest change of an estimate, in standard deviations of its item's answers, at which it stops.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    ImportError
        If SciPy is not installed, when it is fitted.

    Notes
    -----
    A loss below 2**-52 of all counts as that. O(A) per iteration; the same bits for any order and any threads.

    References
    ----------
    Li et al., "A confidence-aware approach for truth discovery on long-tail data", VLDB 2014.

    Examples
    --------
    >>> from robustagg import truth
    >>> items, workers = ["a", "b", "c"] * 3, ["ada"] * 3 + ["bob"] * 3 + ["eve"] * 3
    >>> truth.CATD().fit((items, workers, [1.0, 2.0, 3.0, 1.1, 2.1, 2.9, 50.0, 9.0, -40.0])).estimates.round(1)
    array([1.1, 2.1, 2.9])
    """

    alpha: float = 0.05
    standardize: bool = False
    max_iter: int = 200
    tol: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise errors.out_of_range("alpha", self.alpha, "between 0 and 1")
        check_iteration(self.max_iter, self.tol)

    def part(self, claims: Claims) -> Part:
        deviation = (
            np.ones(claims.items.size) if self.standardize else claims.spread[1] / (claims.spread[1].max() or 1.0)
        )
        return Part(claims.arranged, claims.scale(deviation * deviation), MEAN, SQUARED)

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        try:
            from scipy.special import gammaincinv
        except ImportError as cause:
            raise errors.optional_package("scipy", "truth") from cause
        whole = sum_of(losses[0])
        if whole == 0.0:
            return np.ones(counts.size)
        distinct, which = np.unique(counts, return_inverse=True)
        quantile = 2.0 * gammaincinv(distinct / 2.0, self.alpha / 2.0)
        weights: Reals = quantile[which] / np.maximum(losses[0] / whole, LEAST_SHARE)
        return weights
