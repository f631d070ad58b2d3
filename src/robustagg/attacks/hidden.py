"""Model poisoning that stays among the honest updates. The shape is that of ``crude``."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.attacks.common import Matrix, honest_rows, sent
from robustagg.rules.checks import finite, whole


def ipm(honest: Any, f: int, *, epsilon: float = 0.5) -> Matrix:
    r"""Inner product manipulation (Empire): every attacker sends :math:`-\varepsilon\,\bar x` of the honest mean.

    A small epsilon stays near the honest rows, yet turns the aggregate's inner product with the true mean negative
    where the rule averages over enough attackers; the mean itself turns at :math:`\varepsilon > m/f`.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    epsilon : float
        Length of the malicious update, in honest means.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Xie, Koyejo and Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation", UAI 2019.

    Examples
    --------
    >>> from robustagg.attacks import ipm
    >>> ipm([[1.0, 2.0], [3.0, 2.0]], 1, epsilon=0.5)
    array([[-1., -1.]])
    """
    return sent(-finite("epsilon", epsilon) * honest_rows(honest, f).mean(axis=0), honest, f)


def alie_z(n: int, f: int) -> float:
    r"""How many standard deviations f of n attackers can hide in: :math:`\Phi^{-1}((n - f - s) / (n - f))`.

    s = floor(n / 2 + 1) - f is how many honest clients they need on their side for a majority. Infinite where they are
    the majority already, minus infinity where they cannot become one; raises ValueError unless 0 <= f <= n.

    Examples
    --------
    The worked figure of the paper: 24 attackers of 50 need s = 2.

    >>> from robustagg.attacks import alie_z
    >>> round(alie_z(50, 24), 2)
    1.43
    """
    if whole("f", f) > whole("n", n, 1):
        raise errors.out_of_range("f", f, f"at most n = {n}")
    supporters = n // 2 + 1 - f
    share = (n - f - supporters) / (n - f) if f < n else 1.0
    if not 0 < share < 1:
        return float("inf") if share >= 1 else float("-inf")
    return NormalDist().inv_cdf(share)


def alie(honest: Any, f: int, *, z: float | None = None) -> Matrix:
    r"""A little is enough: every attacker sends :math:`\bar x - z\,\sigma`, coordinate by coordinate.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    z : float, optional
        Distance from the mean in population standard deviations. By default :func:`alie_z` of n = m + f; 0 where that
        is negative, or the attackers are the majority (they need not hide, and this attack is not theirs).

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Baruch, Baruch and Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed Learning", NeurIPS 2019.

    Examples
    --------
    >>> from robustagg.attacks import alie
    >>> alie([[1.0, 2.0], [3.0, 2.0]], 1, z=1.5)
    array([[0.5, 2. ]])
    """
    x = honest_rows(honest, f)
    if z is None:
        z = alie_z(len(x) + f, f)
        z = z if 0 < z < np.inf else 0.0
    return sent(x.mean(axis=0) - finite("z", z) * x.std(axis=0), honest, f)


def mimic(honest: Any, f: int, *, target: int | None = None) -> Matrix:
    r"""Every attacker copies one honest client, so that a robust rule takes that client for the consensus.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    f : int
        How many attackers there are.
    target : int, optional
        Row to copy. Where not given, the client farthest out along the honest rows' direction of greatest variance:
        :math:`\arg\max_i |z^\top (x_i - \bar x)|`, z the top right singular vector, found through the m x m Gram
        matrix.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022.

    Examples
    --------
    >>> from robustagg.attacks import mimic
    >>> mimic([[0.0, 1.0], [0.1, 1.0], [5.0, 1.0]], 1)
    array([[5., 1.]])
    """
    x = honest_rows(honest, f)
    if target is None:
        centred = x - x.mean(axis=0)
        _, vectors = np.linalg.eigh(centred @ centred.T)
        target = int(np.abs(vectors[:, -1]).argmax())
    elif whole("target", target) >= len(x):
        raise errors.out_of_range("target", target, f"the index of one of {len(x)} honest rows")
    return sent(x[target], honest, f)


def poisoned_fl(honest: Any, f: int, *, previous: Any = None, strength: float = 8.0, seed: int = 0) -> Matrix:
    r"""Multi-round consistency: all attackers push along the same random signs s in every round, and so add up.

    .. math:: \mathrm{strength}\cdot\lVert g\rVert\cdot s / \sqrt d

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send; only its length is used, and that in the first round alone.
    f : int
        How many attackers there are.
    previous : (d,) array, optional
        The update g that the server has published last; the mean of the honest rows where not given.
    strength : float
        How much longer than the last update (8 at the paper's start, which lowers it where it has no effect).
    seed : int
        Of the signs: the same in every round.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Xie, Fang and Gong, "Model Poisoning Attacks to Federated Learning via Multi-Round Consistency", CVPR 2025 (there
    also a magnitude per coordinate).

    Examples
    --------
    >>> import numpy as np
    >>> from robustagg.attacks import poisoned_fl
    >>> np.abs(poisoned_fl(np.ones((3, 4)), 1, previous=[0.0, 0.0, 3.0, 4.0], strength=2.0))
    array([[5., 5., 5., 5.]])
    """
    x = honest_rows(honest, f)
    length = float(np.linalg.norm(x.mean(axis=0) if previous is None else np.asarray(previous, np.float64)))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], x.shape[1])
    return sent(finite("strength", strength) * length / np.sqrt(max(x.shape[1], 1)) * signs, honest, f)
