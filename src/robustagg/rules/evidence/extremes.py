"""How rows lie to the ends of what the coordinates hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustagg import kernels
from robustagg.kernels.interface import Rows
from robustagg.protocol import Floats
from robustagg.rules.evidence.gram import Related


@dataclass(frozen=True)
class Extremes:
    """How n rows lie to the vectors of each coordinate's greatest and of its least value."""

    greatest: Related
    least: Related

    @classmethod
    def of(cls, rows: Rows) -> Extremes:
        """Those of one block. O(nd)."""
        high, low = kernels.active().extremes(rows)
        return cls(Related.of([*rows, high], len(rows)), Related.of([*rows, low], len(rows)))

    def __add__(self, other: Extremes) -> Extremes:
        return Extremes(self.greatest + other.greatest, self.least + other.least)

    def nearness(self) -> Floats:
        """(n,) distance of each row to the nearer of the two."""
        n = len(self.greatest.value()) - 1
        return np.minimum(*(related.relation(n).distances[:-1] for related in (self.greatest, self.least)))
