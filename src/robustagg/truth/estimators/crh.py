"""Conflict resolution on heterogeneous data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface_truth import ABSOLUTE, MEAN, MEDIAN, SHARE, SQUARED, VOTE, Reals
from robustagg.truth import tables
from robustagg.truth.claims import Claims
from robustagg.truth.estimators.base import LEAST_SHARE, Counts, Method, Part, check_iteration, of_categories, sum_of
from robustagg.truth.results import Result


@dataclass(eq=False, kw_only=True)
class CRH(Method):
    r"""Conflict resolution on heterogeneous data: truths of least weighted loss, weights by the share of all loss.

    .. math:: \min_{t, w} \sum_k w_k L_k \quad\text{with}\quad \sum_k e^{-w_k} = 1, \qquad w_k = -\log(L_k / \sum_j L_j)

    and t the weighted mean (squared loss, :math:`(x - t)^2` over the item's standard deviation) or weighted median
    (absolute loss). Categorical answers have the 0-1 loss and a weighted vote, or the squared distance to the
    categories' shares of weight. Of both kinds at once, each kind's losses are divided by their sum first.

    Parameters
    ----------
    loss : {"squared", "absolute"}
        Of numbers.
    categorical : {"vote", "share"}
        The loss of categories.
    normalize : {"sum", "count"}
        Whether a worker's loss is the sum over its answers or their mean.
    variant : {"sum", "max"}
        The logarithm of the share of all loss, or of the ratio to the largest (the worst worker's weight is then 0).
    max_iter : int
    tol : float
        Largest change of an estimate, in standard deviations of its item's answers, at which it stops.

    Raises
    ------
    ValueError
        If a parameter is not one of these.

    Notes
    -----
    A share below 2**-52 counts as that: a worker who is always right has weight 36, not infinity. Where nobody has a
    loss, or all weights would be 0, all weights are 1. Items with equal answers, or with one, say nothing of a
    worker. O(A) per iteration; the same bits for any order of rows, workers and items, any threads, any backend.

    References
    ----------
    Li et al., "Resolving conflicts in heterogeneous data by truth discovery and source reliability estimation",
    SIGMOD 2014.

    Examples
    --------
    >>> from robustagg import truth
    >>> items, workers = ["a", "b", "c"] * 3, ["ada"] * 3 + ["bob"] * 3 + ["eve"] * 3
    >>> result = truth.CRH().fit((items, workers, [1.0, 2.0, 3.0, 1.1, 2.1, 2.9, 50.0, 9.0, -40.0]))
    >>> result.estimates.round(1), result.weights.round(1)
    (array([1.1, 2.1, 2.9]), array([12.3, 12.3,  0. ]))
    """

    categories = True

    loss: str = "squared"
    categorical: str = "vote"
    normalize: str = "sum"
    variant: str = "sum"
    max_iter: int = 200
    tol: float = 1e-6

    def __post_init__(self) -> None:
        options = {"loss": ("squared", "absolute"), "categorical": ("vote", "share"), "normalize": ("sum", "count"),
                   "variant": ("sum", "max")}  # fmt: skip
        for name, known in options.items():
            if getattr(self, name) not in known:
                raise errors.not_one_of(name, getattr(self, name), known)
        check_iteration(self.max_iter, self.tol)

    def fit(self, claims: Any, labels: Claims | None = None, **columns: Any) -> Result:
        """Estimate every item and weigh every worker.

        Parameters
        ----------
        claims : Claims, or what :meth:`Claims.of` takes
        labels : Claims, optional
            Categorical answers beside numeric ones, of the same workers or others: one model weighs all.
        **columns
            What :meth:`Claims.of` takes besides.

        Returns
        -------
        Result
            With that of `labels` in its attribute `categorical`.

        Raises
        ------
        ValueError, TypeError
            As :meth:`Claims.of`.
        """
        if labels is None:
            return super().fit(claims, **columns)
        both = [self.accept(claims, columns), labels]
        if [kind.categories is None for kind in both] != [True, False]:
            raise errors.other_kind_of_answers(type(self).__name__, "numeric and then categorical")
        ids = [v for kind in both for v in kind.workers.tolist()]
        everybody, _ = tables.numbered(tables.as_objects(ids), "worker")
        both = [kind.among(everybody) for kind in both]
        parts = [self.part(kind) for kind in both]
        found = self.discover(parts, both[0].per_worker + both[1].per_worker)
        numeric, chosen = (
            self.result(kind, self.estimates(kind, part, found.weights, truth), found)
            for kind, part, truth in zip(both, parts, found.truths, strict=True)
        )
        return replace(numeric, categorical=chosen)

    def part(self, claims: Claims) -> Part:
        if claims.categories is not None:
            return of_categories(claims, VOTE if self.categorical == "vote" else SHARE)
        if self.loss == "absolute":
            return Part(claims.answers, claims.scale(), MEDIAN, ABSOLUTE)
        # (x - t)^2 / s = s z^2; only ratios of losses count
        return Part(claims.arranged, claims.scale(claims.spread[1] / self.unit(claims)), MEAN, SQUARED)

    def unit(self, claims: Claims) -> float:
        return float(claims.spread[1].max()) or 1.0

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        together = losses[0] if len(losses) == 1 else np.sum([loss / (sum_of(loss) or 1.0) for loss in losses], axis=0)
        own = together / counts if self.normalize == "count" else together
        whole = sum_of(own) if self.variant == "sum" else float(own.max())
        if whole == 0.0:
            return np.ones(own.size)
        weights: Reals = -np.log(np.maximum(own / whole, LEAST_SHARE)) + 0.0
        return weights if weights.any() else np.ones(own.size)
