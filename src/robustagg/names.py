"""Names of types that every layer uses, and how names that strangers chose are shown."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Client: TypeAlias = int | str
Floats: TypeAlias = NDArray[np.float64]


def printable(text: str) -> str:
    """The text, with escapes in place of what a terminal might obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
