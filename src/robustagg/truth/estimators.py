"""Truth discovery: estimates and weights that explain each other, found by turns."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.kernels import truth as kernels
from robustagg.kernels.interface_truth import (
    ABSOLUTE,
    MEAN,
    MEDIAN,
    SHARE,
    SQUARED,
    VOTE,
    Answers,
    Reals,
    Scale,
)
from robustagg.truth import tables
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
        truths, losses = self._step(parts, weights, elsewhere)
        if not self.iterates:
            return Fit(truths, losses, weights, 0, True)
        for iteration in range(1, self.max_iter + 1):
            weights = self.weigh(losses, counts)
            before, (truths, losses) = truths, self._step(parts, weights, elsewhere)
            if all(np.abs(new - old).max() < self.tol for new, old in zip(truths, before, strict=True)):
                return Fit(truths, losses, weights, iteration, True)
        return Fit(truths, losses, weights, self.max_iter, False)

    def _step(self, parts: list[Part], weights: Reals, elsewhere: Reals | float) -> tuple[list[Reals], list[Reals]]:
        step = kernels.active().truth_step
        found = [step(p.answers, p.scale, weights, self.prior, p.location, p.loss) for p in parts]
        return [truth for truth, _ in found], [loss + elsewhere for _, loss in found]

    def estimates(self, claims: Claims, part: Part, weights: Reals, truth: Reals) -> NDArray[Any]:
        """Truths as they were asked for: in the item's own unit, or as categories."""
        if claims.categories is not None:
            return claims.categories[truth.astype(np.int64)]
        if part.location == MEDIAN:  # an answer, or the mean of two, to the last digit
            zero, one = np.zeros_like(truth), np.ones_like(truth)
            return kernels.active().truth_step(part.answers, Scale(zero, one, zero), weights, 0.0, MEDIAN, ABSOLUTE)[0]
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


class _Plain(Method):
    """Every answer counts alike."""

    iterates = False


@dataclass(eq=False)
class Mean(_Plain):
    """The mean of every item's answers.

    Examples
    --------
    >>> from robustagg import truth
    >>> truth.Mean().fit((["a", "a", "b"], ["ada", "bob", "ada"], [1.0, 3.0, 5.0])).estimates
    array([2., 5.])
    """

    def part(self, claims: Claims) -> Part:
        return Part(claims.answers, claims.scale(), MEAN, SQUARED)

    def estimates(self, claims: Claims, part: Part, weights: Reals, truth: Reals) -> NDArray[Any]:
        return claims.spread[0]


@dataclass(eq=False)
class Median(_Plain):
    """The median of every item's answers.

    Examples
    --------
    >>> from robustagg import truth
    >>> truth.Median().fit((["a", "a", "a"], ["ada", "bob", "eve"], [1.0, 3.0, 900.0])).estimates
    array([3.])
    """

    def part(self, claims: Claims) -> Part:
        return Part(claims.answers, claims.scale(), MEDIAN, ABSOLUTE)

    def estimates(self, claims: Claims, part: Part, weights: Reals, truth: Reals) -> NDArray[Any]:
        return claims.median


@dataclass(eq=False)
class MajorityVote(_Plain):
    """The category most workers chose; of several the one that sorts first.

    Examples
    --------
    >>> from robustagg import truth
    >>> answers = (["a", "a", "a"], ["ada", "bob", "eve"], ["cat", "cat", "dog"])
    >>> truth.MajorityVote().fit(answers, categorical=True)["a"]
    'cat'
    """

    numbers = False
    categories = True

    def part(self, claims: Claims) -> Part:
        return _categorical(claims, VOTE)


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
            return _categorical(claims, VOTE if self.categorical == "vote" else SHARE)
        if self.loss == "absolute":
            return Part(claims.answers, claims.scale(), MEDIAN, ABSOLUTE)
        # (x - t)^2 / s = s z^2; only ratios of losses count
        return Part(claims.answers, claims.scale(claims.spread[1] / self.unit(claims)), MEAN, SQUARED)

    def unit(self, claims: Claims) -> float:
        return float(claims.spread[1].max()) or 1.0

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        together = losses[0] if len(losses) == 1 else np.sum([loss / (fsum(loss) or 1.0) for loss in losses], axis=0)
        own = together / counts if self.normalize == "count" else together
        whole = fsum(own) if self.variant == "sum" else float(own.max())
        if whole == 0.0:
            return np.ones(own.size)
        weights: Reals = -np.log(np.maximum(own / whole, LEAST_SHARE)) + 0.0
        return weights if weights.any() else np.ones(own.size)


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
        return Part(claims.answers, claims.scale(), MEAN, SQUARED)

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        precision: Reals = (2 * (self.alpha + 1) + counts) / (2 * self.beta + losses[0])
        return precision


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
        return Part(claims.answers, claims.scale(deviation * deviation), MEAN, SQUARED)

    def weigh(self, losses: list[Reals], counts: Counts) -> Reals:
        try:
            from scipy.special import gammaincinv
        except ImportError as cause:
            raise errors.optional_package("scipy", "truth") from cause
        whole = fsum(losses[0])
        if whole == 0.0:
            return np.ones(counts.size)
        distinct, which = np.unique(counts, return_inverse=True)
        quantile = 2.0 * gammaincinv(distinct / 2.0, self.alpha / 2.0)
        weights: Reals = quantile[which] / np.maximum(losses[0] / whole, LEAST_SHARE)
        return weights


METHODS: dict[str, type[Method]] = {"mean": Mean, "median": Median, "crh": CRH, "gtm": GTM, "catd": CATD}


def check_iteration(max_iter: int, tol: float) -> None:
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise errors.out_of_range("max_iter", max_iter, "an integer of at least 1")
    if not (math.isfinite(tol) and tol > 0):
        raise errors.out_of_range("tol", tol, "positive and finite")


def fsum(values: Reals) -> float:
    """The sum, rounded once: it does not depend on the order."""
    return math.fsum(values.tolist())


def positions(ids: NDArray[Any], some: NDArray[Any]) -> NDArray[np.int64]:
    """Where some of the ids are."""
    place = {v: k for k, v in enumerate(ids.tolist())}
    return np.array([place[v] for v in some.tolist()], np.int64)


def _categorical(claims: Claims, location: int) -> Part:
    nothing = np.zeros(claims.items.size)
    return Part(claims.answers, Scale(nothing, nothing, nothing), location, SQUARED)
