"""What the attacks on updates share: honest rows in, malicious rows out."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.rules.checks import whole

Matrix: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]


def honest_rows(honest: Any, f: int, at_least: int = 1) -> Floats:
    """The honest rows in float64, a copy; raises where they are not (m, d) or there are too few."""
    rows = np.asarray(honest)
    if rows.ndim != 2:
        raise errors.honest_shape(rows.shape)
    whole("f", f)
    if len(rows) < at_least:
        raise errors.too_few_honest(len(rows), at_least)
    return rows.astype(np.float64)


def sent(malicious: Floats, honest: Any, f: int) -> Matrix:
    """What f attackers send, in the dtype of the honest rows: one row for all of them, or f rows.

    A finite value beyond the dtype's range becomes the largest that it holds. Of integers and objects it is float64.
    """
    dtype = np.asarray(honest).dtype
    dtype = np.dtype(np.float64) if dtype.kind in "biuO" else dtype
    finfo = np.finfo if dtype.kind in "fc" else sys.modules["ml_dtypes"].finfo  # bfloat16's package is there
    largest = float(finfo(dtype).max)
    bounded = np.where(np.isfinite(malicious), np.clip(malicious, -largest, largest), malicious)
    return np.broadcast_to(bounded, (f, bounded.shape[-1])).astype(dtype)
