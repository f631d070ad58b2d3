"""Model poisoning that searches for the worst update which still looks honest. The shape is that of ``crude``."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustagg.attacks.common import Floats, Matrix, honest_rows, sent
from robustagg.rules.checks import number, one_of, positive

DIRECTIONS = ("std", "unit", "sign")


def min_max(honest: Any, f: int, *, direction: str = "std") -> Matrix:
    r"""The farthest update that is no farther from any honest one than two honest ones are from each other.

    Every attacker sends :math:`\bar x + \gamma p` with the largest :math:`\gamma` such that
    :math:`\max_i \|\bar x + \gamma p - x_i\| \le \max_{i,j} \|x_i - x_j\|`. Each i gives a quadratic in gamma, solved
    in closed form where the paper's code halves its step.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    direction : {"std", "unit", "sign"}
        The perturbation p: minus the standard deviation per coordinate, minus the mean's unit vector, or minus its
        sign.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning", NDSS 2021.

    Examples
    --------
    >>> from robustagg.attacks import min_max
    >>> min_max([[1.0], [2.0], [3.0]], 1)
    array([[1.]])
    """
    x = honest_rows(honest, f)
    mean, p = x.mean(axis=0), _perturbation(x, direction)
    away = mean - x
    bound = _squared_distances(x).max()
    a, half_b, c = p @ p, away @ p, (away**2).sum(axis=1) - bound
    gamma = 0.0 if a == 0 else ((-half_b + np.sqrt(np.maximum(half_b**2 - a * c, 0))) / a).min()
    return sent(mean + gamma * p, honest, f)


def min_sum(honest: Any, f: int, *, direction: str = "std") -> Matrix:
    r"""The farthest update whose squared distances to the honest ones sum to no more than an honest one's.

    Every attacker sends :math:`\bar x + \gamma p` with the largest :math:`\gamma` such that
    :math:`\sum_i \|\bar x + \gamma p - x_i\|^2 \le \max_i \sum_j \|x_i - x_j\|^2`, in closed form.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    direction : {"std", "unit", "sign"}
        As in :func:`min_max`.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning", NDSS 2021.

    Examples
    --------
    >>> from robustagg.attacks import min_sum
    >>> min_sum([[1.0], [2.0], [3.0]], 1)
    array([[1.]])
    """
    x = honest_rows(honest, f)
    mean, p = x.mean(axis=0), _perturbation(x, direction)
    room = _squared_distances(x).sum(axis=1).max() - ((mean - x) ** 2).sum()
    norm = len(x) * (p @ p)
    gamma = 0.0 if norm == 0 else np.sqrt(max(room, 0.0) / norm)
    return sent(mean + gamma * p, honest, f)


def fang_median(honest: Any, f: int, *, b: float = 2.0, seed: int = 0) -> Matrix:
    r"""Against median and trimmed mean: values just beyond the honest extreme that lies opposite to the true direction.

    Where the honest mean is negative, uniform in [max, b max] (or [max, max / b] for a negative max); where it is
    positive, uniform in [min / b, min] (or [b min, min] for a negative min); each attacker draws for itself.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send: deltas, whose sign is the direction of training.
    f : int
        How many attackers there are.
    b : float
        How far beyond the extreme, above 1.
    seed : int
        Of the draws.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Fang et al., "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", USENIX Security 2020.

    Examples
    --------
    >>> from robustagg.attacks import fang_median
    >>> row = fang_median([[1.0, -4.0], [2.0, -8.0]], 1)[0]
    >>> bool(0.5 <= row[0] <= 1.0), bool(-4.0 <= row[1] <= -2.0)
    (True, True)
    """
    x, b = honest_rows(honest, f), number("b", b, "above 1", lambda v: v > 1)
    upward = x.mean(axis=0) >= 0
    extreme = np.where(upward, x.min(axis=0), x.max(axis=0))
    outward = (extreme >= 0) != upward  # away from zero
    beyond = extreme * np.where(outward, b, 1 / b)
    return sent(extreme + np.random.default_rng(seed).uniform(size=(f, x.shape[1])) * (beyond - extreme), honest, f)


def fang_krum(honest: Any, f: int, *, threshold: float = 1e-5) -> Matrix:
    r"""Against Krum: the farthest step against the true direction that Krum still selects.

    Every attacker sends :math:`-\lambda\,\mathrm{sign}(\bar x)`; lambda starts at the paper's upper bound and is
    halved until Krum selects an attacker's row.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send: deltas, whose sign is the direction of training.
    f : int
        How many attackers there are; Krum scores with n - f - 2 neighbours, so m must be at least 3.
    threshold : float
        Lambda below which the search gives up: that row is sent although Krum will not select it.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Fang et al., "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", USENIX Security 2020.

    Examples
    --------
    >>> from robustagg.attacks import fang_krum
    >>> fang_krum([[1.0], [1.5], [2.0], [3.0], [4.0]], 3)[0]
    array([-0.34375])
    """
    x, threshold = honest_rows(honest, f, at_least=3), positive("threshold", threshold)
    direction = -np.sign(x.mean(axis=0))
    squared = np.sort(_squared_distances(x), axis=1)[:, 1:]
    m, d = x.shape
    nearest = squared[:, : m - 2].sum(axis=1).min()
    step = np.sqrt(nearest / max((m - f - 1) * d, 1)) + np.sqrt((x**2).sum(axis=1).max() / max(d, 1))
    while step >= threshold and f > 0 and not _krum_takes(x, step * direction, f):
        step /= 2
    return sent(step * direction, honest, f)


def _krum_takes(x: Floats, row: Floats, f: int) -> bool:
    """Whether Krum of the honest rows and f copies of `row` selects a copy."""
    squared = _squared_distances(np.vstack([x, np.tile(row, (f, 1))]))
    scores = np.sort(squared, axis=1)[:, 1 : len(x) - 1].sum(axis=1)  # n - f - 2 others; the first is the row itself
    return bool(scores.argmin() >= len(x))


def _squared_distances(x: Floats) -> Floats:
    """(m, m), through the Gram matrix of the centred rows."""
    centred = x - x.mean(axis=0)
    gram = centred @ centred.T
    norms = np.diag(gram)
    squared: Floats = np.maximum(norms[:, None] + norms - 2 * gram, 0)
    np.fill_diagonal(squared, 0)
    return squared


def _perturbation(x: Floats, direction: str) -> Floats:
    mean = x.mean(axis=0)
    if one_of("direction", direction, DIRECTIONS) == "std":
        return np.asarray(-x.std(axis=0))
    if direction == "sign":
        return np.asarray(-np.sign(mean))
    return np.asarray(-mean / (np.linalg.norm(mean) or 1.0))
