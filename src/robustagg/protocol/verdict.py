"""The decision: what a rule makes of the clients of a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robustagg.names import Client, Floats


@dataclass(frozen=True)
class Standing:
    """What a rule with a memory knows of each of a round's n clients, the excluded ones included."""

    accepted: NDArray[np.int64]
    rejected: NDArray[np.int64]
    observed: Floats
    reputation: Floats


@dataclass(frozen=True)
class Verdict:
    """A rule's decision on the m admitted clients of a round."""

    weights: Floats
    """(m,) how much of the result is each client's; sums to 1."""
    reasons: Sequence[str]
    """(m,) why, in words."""
    standing: Standing | None = None
    again: bool = False
    """Observe every block once more, with this verdict in hand, before combining."""
    learns: Sequence[Client] = field(default=(), kw_only=True)
    """Names of the vectors of the model's size that the rule will remember of this round."""
