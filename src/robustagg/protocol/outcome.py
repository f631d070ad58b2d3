"""What became of a round's clients, as it is remembered: nobody writes to it, and who asks gets copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time

import numpy as np
from numpy.typing import NDArray

from robustagg.names import Client, Floats
from robustagg.protocol.round import Roll, Round
from robustagg.protocol.verdict import Certificate, Standing, Verdict, Words


@dataclass(eq=False)
class Outcome(Roll):
    """What became of a round's n clients: what a result tells, but for the update. Small; the trail keeps thousands."""

    round: int
    rule: str
    f: int | None
    clients: tuple[Client, ...]
    excluded: Mapping[int, str]
    remarks: Mapping[int, str]
    kept: list[int]
    shares: Floats
    """(m,) of the admitted clients."""
    words: Sequence[str]
    """(m,)."""
    standing: Standing | None
    certificate: Certificate | None
    finished: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, round: Round, verdict: Verdict, rule: str, f: int | None) -> Outcome:
        """A snapshot of what a rule has decided, whatever becomes of its arrays and lists."""
        words = verdict.reasons if type(verdict.reasons) is Words else tuple(verdict.reasons)
        return cls(
            round.number,
            rule,
            f,
            round.clients,
            round.excluded,
            round.remarks,
            round.kept,
            verdict.weights.copy(),
            words,
            verdict.standing,
            verdict.certificate,
            time(),
        )

    @property
    def weights(self) -> Floats:
        """(n,) each client's share."""
        return self.spread(self.shares.copy(), 0)

    @property
    def reasons(self) -> tuple[str, ...]:
        """(n,) why."""
        return self.told(self.words)

    @property
    def accepted(self) -> NDArray[np.int64] | None:
        return None if self.standing is None else self.standing.accepted.copy()

    @property
    def rejected(self) -> NDArray[np.int64] | None:
        return None if self.standing is None else self.standing.rejected.copy()

    @property
    def observed(self) -> Floats | None:
        return None if self.standing is None else self.standing.observed.copy()

    @property
    def reputation(self) -> Floats | None:
        return None if self.standing is None else self.standing.reputation.copy()
