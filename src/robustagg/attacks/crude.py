"""Model poisoning that does not hide: what f attackers send who may know the honest clients' updates.

One shape: ``attack(honest, f, **options)`` takes the m honest rows, (m, d), and gives the f malicious ones, (f, d), in
their dtype. Nothing is written to the honest rows; the same arguments give the same rows. All is computed in float64.
An option out of range raises ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustagg import errors
from robustagg.attacks.common import Matrix, honest_rows, sent
from robustagg.rules.checks import finite, not_negative


def sign_flip(honest: Any, f: int, *, scale: float = 1.0) -> Matrix:
    r"""Each attacker sends an honest update with its sign flipped: row j is :math:`-\mathrm{scale}\cdot x_{j \bmod m}`.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    scale : float
        How much longer than honest the update is.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Li et al., "RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed Learning from Heterogeneous
    Datasets", AAAI 2019.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> from robustagg.attacks import sign_flip
    >>> honest = np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0]])
    >>> ra.Mean()([*honest, *sign_flip(honest, 2, scale=4.0)])
    array([-2., -2.])
    """
    x, scale = honest_rows(honest, f), finite("scale", scale)
    return sent(-scale * x[np.arange(f) % len(x)], honest, f)


def gaussian(honest: Any, f: int, *, std: float = 1.0, seed: int = 0) -> Matrix:
    r"""Each attacker sends noise: :math:`\mathcal N(0, \mathrm{std}^2)` in every coordinate.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    std : float
        Standard deviation, in units of the updates' values (200 in the paper).
    seed : int
        Of the noise.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017.

    Examples
    --------
    >>> from robustagg.attacks import gaussian
    >>> gaussian([[1.0, 2.0], [3.0, 2.0]], 2).shape
    (2, 2)
    """
    x, std = honest_rows(honest, f), not_negative("std", std)
    return sent(np.random.default_rng(seed).normal(0, std, (f, x.shape[1])), honest, f)


def constant(honest: Any, f: int, *, value: float = 1.0) -> Matrix:
    """Every attacker sends `value` in every coordinate.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    value : float
        What is sent; NaN and infinities too.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Li et al., "RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed Learning from Heterogeneous
    Datasets", AAAI 2019 (there: same-value attack).

    Examples
    --------
    >>> from robustagg.attacks import constant
    >>> constant([[1.0, 2.0], [3.0, 2.0]], 1, value=100.0)
    array([[100., 100.]])
    """
    if not isinstance(value, (int, float, np.number)):
        raise errors.out_of_range("value", value, "a number")
    return sent(np.full(honest_rows(honest, f).shape[1], float(value)), honest, f)


def nan(honest: Any, f: int) -> Matrix:
    """Every attacker sends NaN, which a mean passes on to everybody.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> from robustagg.attacks import nan
    >>> honest = np.array([[1.0, 2.0], [3.0, 2.0]])
    >>> bool(np.isnan(np.mean([*honest, *nan(honest, 1)])))
    True
    >>> ra.Mean()([*honest, *nan(honest, 1)])
    array([2., 2.])
    """
    return constant(honest, f, value=float("nan"))


def infinity(honest: Any, f: int) -> Matrix:
    """Every attacker sends plus infinity.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    Examples
    --------
    >>> from robustagg.attacks import infinity
    >>> infinity([[1.0, 2.0], [3.0, 2.0]], 1)
    array([[inf, inf]])
    """
    return constant(honest, f, value=float("inf"))


def scaling(honest: Any, f: int, *, goal: Any = None) -> Matrix:
    r"""Model replacement: every attacker sends what makes the plain mean of all n = m + f rows the attackers' goal.

    .. math:: \bigl(n\,g - {\textstyle\sum_i x_i}\bigr) / f

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    goal : (d,) array, optional
        The update g that the server shall get; the negative honest mean where not given.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> from robustagg.attacks import scaling
    >>> honest = np.array([[1.0, 2.0], [3.0, 2.0]])
    >>> ra.Mean()([*honest, *scaling(honest, 1, goal=[7.0, -7.0])])
    array([ 7., -7.])
    """
    x = honest_rows(honest, f)
    g = -x.mean(axis=0) if goal is None else np.asarray(goal, np.float64)
    if g.shape != x.shape[1:]:
        raise errors.goal_shape(g.shape, x.shape[1])
    return sent(((len(x) + f) * g - x.sum(axis=0)) / max(f, 1), honest, f)
