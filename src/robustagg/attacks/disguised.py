"""What hides a poisoned update among honest ones: ``attack(honest, poisoned, **options)`` gives the rows to send.

`honest` are the m honest rows, (m, d), `poisoned` what the f attackers have trained, (f, d). Nothing is written to
them; the same arguments give the same rows. All is computed in float64.
An option out of range raises ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustagg import errors
from robustagg.attacks.common import Floats, Matrix, honest_rows, sent
from robustagg.rules.checks import finite, not_negative


def clipped(honest: Any, poisoned: Any, *, z: float = 3.0) -> Matrix:
    r"""Clip the poisoned updates to the crowd: each coordinate to :math:`\mu \pm z\,\sigma` of the honest rows.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    poisoned : (f, d) array
        What the attackers have trained.
    z : float
        How many standard deviations from the honest mean a value may lie.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Baruch et al., "A Little Is Enough: Circumventing Defenses For Distributed Learning", NeurIPS 2019, section 3.3.

    Examples
    --------
    >>> from robustagg.attacks import clipped
    >>> clipped([[1.0, 2.0], [3.0, 2.0]], [[9.0, 9.0]], z=1.0)
    array([[3., 2.]])
    """
    (x, rows), z = _both(honest, poisoned), not_negative("z", z)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    return sent(np.clip(rows, mean - z * spread, mean + z * spread), honest, len(rows))


def diversified(honest: Any, poisoned: Any, *, noise: float = 1.0, seed: int = 0) -> Matrix:
    """Each colluder, as long as an honest update, hides behind noise of its own, which nearly cancels in their sum.

    The poisoned rows are brought to the median honest norm, noise of `noise` times that norm is added, and the sums
    get that norm again.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    poisoned : (f, d) array
        What the attackers have trained.
    noise : float
        Length of the noise, in honest norms.
    seed : int
        Of the noise.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    References
    ----------
    Fung, Yoon and Beschastnikh, "The Limitations of Federated Learning in Sybil Settings", RAID 2020
    (there: sybils with opposing noise).

    Examples
    --------
    >>> import numpy as np
    >>> from robustagg.attacks import diversified
    >>> rows = diversified(np.ones((3, 100)), np.full((2, 100), 5.0))
    >>> np.linalg.norm(rows, axis=1)
    array([10., 10.])
    >>> float(rows[0] @ rows[1] / 100) < 0.2  # their cosine was 1
    True
    """
    (x, rows), noise = _both(honest, poisoned), not_negative("noise", noise)
    length = float(np.median(np.linalg.norm(x, axis=1)))
    drawn = np.random.default_rng(seed).normal(size=rows.shape)
    if len(rows) > 1:
        drawn -= drawn.mean(axis=0)
    return sent(_long(_long(rows, length) + _long(drawn, noise * length), length), honest, len(rows))


def sacrifice(honest: Any, poisoned: Any, *, factor: float = 100.0, seed: int = 0) -> Matrix:
    """The last attacker makes itself as suspect as can be, beside which the others look like anybody.

    It sends noise of `factor` times the median honest norm; where weights are stretched between the least and the most
    trusted client, all others are at the upper end then.

    Parameters
    ----------
    honest : (m, d) array
        What the honest clients send.
    poisoned : (f, d) array
        What the attackers have trained; all but the last row is sent as it is.
    factor : float
        Length of the noise, in honest norms.
    seed : int
        Of the noise.

    Returns
    -------
    (f, d) array
        What the attackers send, in the dtype of `honest`.

    Examples
    --------
    >>> import numpy as np
    >>> from robustagg.attacks import sacrifice
    >>> np.linalg.norm(sacrifice(np.ones((3, 4)), np.full((2, 4), 5.0)), axis=1)
    array([ 10., 200.])
    """
    (x, rows), factor = _both(honest, poisoned), finite("factor", factor)
    noise = np.random.default_rng(seed).normal(size=(min(len(rows), 1), rows.shape[1]))
    length = factor * float(np.median(np.linalg.norm(x, axis=1)))
    return sent(np.concatenate([rows[:-1], _long(noise, length)]), honest, len(rows))


def _both(honest: Any, poisoned: Any) -> tuple[Floats, Floats]:
    x, rows = honest_rows(honest, 0), np.asarray(poisoned, np.float64)
    if rows.ndim != 2 or rows.shape[1] != x.shape[1]:
        raise errors.poisoned_shape(rows.shape, x.shape[1])
    return x, rows


def _long(rows: Floats, length: float) -> Floats:
    """The rows, each of this length; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows * (length / np.where(norms > 0, norms, 1)))
