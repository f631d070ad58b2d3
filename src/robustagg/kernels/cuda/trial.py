"""A first question to a device, whose answer is known."""

from __future__ import annotations

import numpy as np

from robustagg.kernels import numpy as specification
from robustagg.kernels.cuda.primitives import Primitives


def answers(primitives: Primitives) -> None:
    """ImportError unless kernels can be compiled and launched, and keep subnormal numbers."""
    rows = [np.array([value], np.float32) for value in (3e-45, 6e-45)]
    try:
        found = primitives.median(rows)
    except Exception as cause:  # whatever drivers, compilers and full devices say
        raise ImportError(f"the device was tried and failed: {cause}") from cause
    if found != specification.median(rows):
        raise ImportError(f"the device was tried and found the median of 3e-45 and 6e-45 to be {found[0]:.0e}")
