r"""What can be proven of a server that steps along :class:`robustagg.Reputation`'s result, in numbers of its user.

Derivations and every assumption, by the letters that stand here, are in ``docs/guarantees.md``. Clients send gradients
(or updates, which are minus the learning rate times them); lengths are L2, in the units of what is sent.

>>> import numpy as np
>>> from robustagg import theory
>>> error = theory.median_rate(n=50, f=5, m=100, sigma=1.0, d=10, rounds=40)
>>> bound = theory.distance(5.0, [error + 0.1] * 40, learning_rate=0.5, smoothness=2.0, strong_convexity=1.0)
>>> bool(error < bound < 5)
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustagg import errors
from robustagg.rules.checks import number, positive, whole
from robustagg.rules.reputation import Reputation

__all__ = ["contraction", "deviation", "distance", "median_rate", "outside"]

BERRY_ESSEEN = 0.4748
"""Shevtsova, "On the absolute constants in the Berry-Esseen type inequalities for identically distributed summands",
arXiv:1111.6554, 2011."""


def contraction(*, learning_rate: float, smoothness: float, strong_convexity: float) -> float:
    r"""What a step of gradient descent multiplies the distance from the minimum by, at most.

    .. math:: 1 - \eta\,\frac{\lambda L}{\lambda + L}

    Parameters
    ----------
    learning_rate : float
        eta, at most 2 / (lambda + L).
    smoothness, strong_convexity : float
        L and lambda, L >= lambda > 0: bounds of the curvature of the loss.

    Returns
    -------
    float
        In [1/2, 1]; 1 where the step is lost in rounding.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Nesterov, "Introductory Lectures on Convex Optimization", 2004, theorem 2.1.15.

    Examples
    --------
    >>> contraction(learning_rate=0.5, smoothness=2.0, strong_convexity=1.0)  # doctest: +ELLIPSIS
    0.66666...
    """
    convexity = positive("strong_convexity", strong_convexity)
    smooth = number("smoothness", smoothness, "at least strong_convexity", lambda v: v >= convexity)
    most = 2 / (convexity + smooth)
    rate = number("learning_rate", learning_rate, f"above 0 and at most {most:.4g}", lambda v: 0 < v <= most)
    return 1 - rate * convexity * smooth / (convexity + smooth)


def distance(
    start: float,
    error: Sequence[float] | NDArray[np.float64],
    *,
    learning_rate: float,
    smoothness: float,
    strong_convexity: float,
) -> float:
    r"""How far from the minimum the model is at most, after rounds whose results were that wrong.

    .. math:: q^T \lVert w_0 - w^*\rVert + \eta \sum_{t < T} q^{T-1-t} e_t,
        \qquad q = 1 - \eta\,\frac{\lambda L}{\lambda + L}

    Parameters
    ----------
    start : float
        Distance of the first model from the minimum, or a bound of it.
    error : (T,) sequence of float
        Of each round a bound of the result's distance from the true gradient: :func:`median_rate` plus the round's
        ``certificate.l2``, or plus :func:`deviation` before anything has been seen; infinite where nothing can be said.
    learning_rate, smoothness, strong_convexity : float
        As :func:`contraction` takes them.

    Returns
    -------
    float
        As T grows it tends to (lambda + L) / (lambda L) times the error, which no learning rate lowers.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> distance(8.0, [0.0] * 3, learning_rate=1.0, smoothness=1.0, strong_convexity=1.0)
    1.0
    """
    q = contraction(learning_rate=learning_rate, smoothness=smoothness, strong_convexity=strong_convexity)
    bound = number("start", start, "at least 0 and finite", lambda v: v >= 0)
    for e in error:
        if not e >= 0:
            raise errors.out_of_range("error", e, "at least 0")
        bound = q * bound + learning_rate * e
    return float(bound)


def median_rate(
    *,
    n: int,
    f: int,
    m: int,
    sigma: ArrayLike,
    d: int | None = None,
    skewness: ArrayLike = 0.0,
    rounds: int = 1,
    failure: float = 0.05,
) -> float:
    r"""How far the coordinate-wise median of the clients' mean gradients is from the true gradient, at most.

    With probability 1 - `failure`, in all rounds together,

    .. math:: \frac{1}{\sqrt m}\sqrt{\sum_k \sigma_k^2\,\Phi^{-1}\bigl(\tfrac{1}{2} + b_k\bigr)^2}, \qquad
        b_k = \tfrac{1}{2} - \varrho + 0.4748\,\frac{\gamma_k}{\sqrt m},

    with the largest :math:`\varrho` such that of n - f honest values, each of which exceeds a number with probability
    :math:`\varrho`, at least :math:`\lceil n/2 \rceil - f` do with probability at most p / (2 d T). By Hoeffding's
    inequality :math:`\tfrac{1}{2} - \varrho \le \frac{f}{2(n-f)} + \sqrt{\frac{\ln(2 d T / p)}{2(n-f)}}`.

    Parameters
    ----------
    n, f : int
        Clients, and how many of them may send anything.
    m : int
        Samples that an honest client's gradient is the mean of, drawn anew in every round.
    sigma : float or (d,) array
        Standard deviation of a single sample's gradient, per coordinate.
    d : int, optional
        Coordinates; needed where sigma is one number for all.
    skewness : float or (d,) array
        gamma, the absolute third central moment of a single sample's gradient over sigma cubed; 0 where the gradients'
        noise is Gaussian.
    rounds : int
        T, rounds that it shall hold in.
    failure : float
        p, the probability that it does not, in (0, 1).

    Returns
    -------
    float
        Infinite where some b_k is 1/2 or more: too few samples, for gradients so skewed, to say anything.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018, whose lemma 1
    has the same three terms.

    Examples
    --------
    >>> round(median_rate(n=100, f=10, m=400, sigma=1.0, d=1), 3)
    0.021
    >>> round(median_rate(n=10, f=4, m=400, sigma=1.0, d=1), 3)
    0.132
    """
    n, f, m = _clients(n, f, 2 * whole("f", f) + 1), whole("f", f), whole("m", m, 1)
    deviations = _per_coordinate("sigma", sigma, d)
    chance = _failure(failure) / (2 * len(deviations) * whole("rounds", rounds, 1))
    likeliest = _likeliest(n - f, (n + 1) // 2 - f, chance)
    tail = likeliest - BERRY_ESSEEN * _per_coordinate("skewness", skewness, len(deviations)) / math.sqrt(m)  # 1/2 - b
    if tail.min() <= 0:
        return math.inf
    quantiles = np.array([NormalDist().inv_cdf(share) for share in tail.tolist()])
    return float(np.linalg.norm(deviations * quantiles) / math.sqrt(m))


def outside(
    *,
    n: int,
    f: int,
    spread: float,
    interval_width: float = 2.0,
    confidence_threshold: float = 0.1,
    scale_floor: float = 1e-7,
    value_range: float | None = 2.0,
) -> float:
    r"""How far outside the honest values a value may lie that Reputation's detection leaves, at most.

    .. math:: \min\Bigl(A r + \frac{Z}{\delta}\sqrt{\frac2n\Bigl(1-\frac1n\Bigr)}\,
        \bigl(1.4826\,(1 + \tfrac{5}{n-1})(1+B)\,r + s\bigr),\; \omega\Bigr)

    with :math:`A = (n-1)/u`, :math:`B = (\lfloor n/2\rfloor + f)/u` and :math:`u = \lfloor n/2 \rfloor - f`: whatever f
    clients send, for every intercept, with ``rescale="clip"``.

    Parameters
    ----------
    n, f : int
        Clients, and how many of them may send anything: f <= floor(n / 2) - 1.
    spread : float
        r, by how much the honest values of a coordinate differ at most.
    interval_width, confidence_threshold, scale_floor, value_range
        Z, delta, s and omega, as :class:`robustagg.Reputation` takes them.

    Returns
    -------
    float
        In the units of spread. A coordinate of the result is no further outside, and no further than this plus r from
        the median.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> round(outside(n=20, f=1, spread=0.01), 2)
    0.28
    >>> outside(n=20, f=9, spread=0.01)
    2.0
    """
    n, f = _clients(n, f, 2 * whole("f", f) + 2), whole("f", f)
    r = number("spread", spread, "at least 0", lambda v: v >= 0)
    rule = Reputation(
        interval_width=interval_width,
        confidence_threshold=confidence_threshold,
        scale_floor=scale_floor,
        value_range=value_range,
    )
    return float(_outside(n, f, np.float64(r), rule))


def deviation(
    *,
    n: int,
    f: int,
    m: int,
    proxy: ArrayLike,
    d: int | None = None,
    rounds: int = 1,
    failure: float = 0.05,
    **parameters: Any,
) -> float:
    r"""How far Reputation's result is from the coordinate-wise median at most, before anything has been seen.

    With probability 1 - `failure`, in all rounds together, no two honest gradients' coordinates differ by more than
    :math:`r_k = 2 v_k \sqrt{2 \ln(2 (n-f) d T / p) / m}`; each coordinate of the result is then within
    :math:`\min(r_k + \mathrm{outside}(r_k),\, \omega)` of the median.

    Parameters
    ----------
    n, f, m, rounds, failure
        As :func:`median_rate` takes them; f <= floor(n / 2) - 1.
    proxy : float or (d,) array
        v: a single sample's gradient is sub-Gaussian with this proxy deviation, per coordinate: sigma where the noise
        is Gaussian, half the range where it is bounded.
    d : int, optional
        Coordinates; needed where proxy is one number for all.
    **parameters
        Of the rule, as :func:`outside` takes them.

    Returns
    -------
    float
        An L2 distance. Far looser than ``certificate.l2`` of a round, which needs no assumption.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> deviation(n=20, f=1, m=10_000, proxy=0.001, d=100) < deviation(n=20, f=4, m=10_000, proxy=0.001, d=100)
    True
    """
    outside(n=n, f=f, spread=0.0, **parameters)  # or it says what is out of range
    proxies = _per_coordinate("proxy", proxy, d)
    chance = _failure(failure) / (2 * (n - f) * len(proxies) * whole("rounds", rounds, 1))
    spreads = 2 * proxies * math.sqrt(-2 * math.log(chance) / whole("m", m, 1))
    rule = Reputation(**parameters)
    far = spreads + _outside(n, f, spreads, rule)
    return float(np.linalg.norm(far if rule.value_range is None else np.minimum(far, rule.value_range)))


def _outside(n: int, f: int, r: Any, rule: Reputation) -> Any:
    """The bound of :func:`outside` for a spread or many."""
    left = n // 2 - f
    line, residual = (n - 1) / left, (n // 2 + f) / left
    tau = 1.4826 * (1 + 5 / (n - 1)) * (1 + residual) * r + rule.scale_floor
    room = line * r + rule.interval_width / rule.confidence_threshold * math.sqrt(2 / n * (1 - 1 / n)) * tau
    return room if rule.value_range is None else np.minimum(room, rule.value_range)


def _likeliest(trials: int, successes: int, chance: float) -> float:
    """The largest probability of a success, so that at least so many trials succeed with at most that chance."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    k = np.arange(successes, trials + 1)
    ways = log_factorial[trials] - log_factorial[k] - log_factorial[trials - k]
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        if np.exp(ways + k * math.log(p) + (trials - k) * math.log1p(-p)).sum() <= chance:
            low = p
        else:
            high = p
    return low


def _clients(n: int, f: int, least: int) -> int:
    n = whole("n", n, 1)
    if n < least:
        raise errors.out_of_range("n", n, f"at least {least} for f = {f}")
    return n


def _failure(value: float) -> float:
    return number("failure", value, "above 0 and below 1", lambda v: 0 < v < 1)


def _per_coordinate(name: str, value: ArrayLike, d: int | None) -> NDArray[np.float64]:
    """(d,) numbers."""
    numbers = np.asarray(value, np.float64)
    size = numbers.size if d is None else whole("d", d, 1)
    if numbers.shape in ((), (1,)) and d is not None:
        numbers = np.full(size, numbers)
    if numbers.shape != (max(size, 1),) or not (numbers >= 0).all() or not np.isfinite(numbers).all():
        raise errors.out_of_range(name, value, "a number of at least 0 with d, or d of them")
    return numbers
