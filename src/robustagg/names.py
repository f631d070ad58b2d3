"""Names of types that every layer uses, what may be a name, and how those that strangers chose are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

Client: TypeAlias = int | str
Floats: TypeAlias = NDArray[np.float64]
SampleCounts: TypeAlias = (
    Mapping[int, float] | Mapping[str, float] | Mapping[Client, float] | Sequence[float] | NDArray[Any]
)  # a mapping's kind of key must be just the same: a dict[str, int] is no Mapping[Client, float]
LONGEST_ID = 1024  # characters of a client's id, or hexadecimal digits


def labelled(values: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether values have names of their own, by which they are to be taken: pandas' Series and DataFrames."""
    return hasattr(values, "items") and not callable(getattr(values, "index", callable))


def printable(text: str) -> str:
    """The text, with escapes in place of what a terminal might obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
