"""Attackers that know the rule: how strong they may be, tried on a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.float32]
Probe: TypeAlias = Callable[[Rows], "NDArray[np.float32] | None"]
"""What the rule would make of rows; None if it would refuse them."""

COARSE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FINE = (2**-0.5, 2**0.5)


def strengthened(honest: Rows, crafted: Rows, probe: Probe) -> Rows:
    """The crafted rows, scaled about the honest mean so that the rule is carried farthest the attackers' way.

    The way is that from the honest mean to the mean of the crafted rows. Nine trials: powers of 2, then between the
    best of them and its neighbours.
    """
    centre = honest.mean(axis=0)
    apart = (crafted - centre).astype(np.float64)
    way = apart.mean(axis=0)

    def scaled(strength: float) -> Rows:
        return np.asarray(centre + strength * apart, np.float32)

    def progress(strength: float) -> float:
        result = probe(scaled(strength))
        gain = -np.inf if result is None else float((result - centre) @ way)
        return gain if np.isfinite(gain) else -np.inf

    if not np.isfinite(apart).all() or not way.any():
        return crafted
    best = max(COARSE, key=progress)
    return scaled(max((best, *(best * factor for factor in FINE)), key=progress))
