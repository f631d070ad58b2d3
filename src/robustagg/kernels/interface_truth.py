"""The primitives of truth discovery: answers in compressed rows, an item a row.

Sums are taken of whole numbers: every term is rounded to a fixed unit, and whole numbers add up to the same in any
order. So no result depends on threads, on the backend, or on the order in which workers, items or rows are listed;
all backends agree bit for bit. Terms are first brought to a known range (by the item's largest weight, its median and
its standard deviation), so that the unit is at most 2**-29 of a term of ordinary size, and for up to a hundred
answers 2**-47. A term has 51 bits at most, which vectors of floating-point numbers can round.

Callers have checked everything: finite values of at most LARGEST in size, codes in range, weights not negative.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.int32]
Starts: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]

LARGEST = 2.0**500
"""Answers beyond this (3e150) are not finite enough: their squares would not be."""

SMALLEST = 2.0**-500
"""Answers of an item that spread less than this are equal."""

ENOUGH = 40
"""Bits behind the binary point that are enough for a sum of losses, which is at most 2**7 times larger."""

MEAN, MEDIAN, VOTE, SHARE = range(4)
"""Where a truth lies: weighted mean, weighted median, category of most weight; or that, with a loss by shares."""

SQUARED, ABSOLUTE = range(2)
"""The loss of an answer beside it. VOTE has the loss 0 or 1; SHARE |e_c - p|^2, p the categories' shares of weight."""


class Answers(NamedTuple):
    """A answers of K workers to N items, item by item, sorted by value and then by worker."""

    starts: Starts
    """(N + 1,): item n has the answers starts[n] .. starts[n + 1] - 1."""
    workers: Codes
    """(A,) who, 0 .. K - 1."""
    values: Reals
    """(A,) what; of a categorical item the category's number."""
    crowd: int
    """K."""
    arranged: Any = None
    """From :meth:`TruthKernels.arranged`, for the backend that made it."""


class Scale(NamedTuple):
    """How an item's answers are brought to a common range: z = (x - centre) * inverse."""

    centre: Reals
    """(N,)."""
    inverse: Reals
    """(N,): 1 / standard deviation; 0 where the answers are equal."""
    factor: Reals
    """(N,), 0 to 1: what the loss in z is multiplied by."""
    coarse: float
    fine: float
    """From :func:`loss_units`."""


def loss_units(largest: float, answers: int) -> tuple[float, float]:
    """Steps per 1 of a worker's sum of losses, none above `largest` and so many `answers` at most; coarse and fine.

    Sums stay below 2**62, terms below 2**51. Where a coarse step is above 2**-40, fine ones count what it leaves over;
    otherwise the fine unit is 0.
    """
    own = answers.bit_length()
    coarse = min(51, 62 - own) - max(math.frexp(largest)[1], 0)
    return 2.0**coarse, 2.0 ** (coarse + min(51, 61 - own)) if coarse < ENOUGH else 0.0


class TruthKernels(Protocol):
    """What a backend provides for truth discovery."""

    def group_answers(self, keys: Codes, count: int) -> tuple[Starts, Codes]:
        """(count + 1,), (A,): where each key's answers start, and the answers' numbers, key by key, in order. O(A)."""

    def sort_answers(self, starts: Starts, workers: Codes, values: Reals) -> None:
        """Sorts each row in place, by value and then by worker. O(A log c)."""

    def spread_answers(self, starts: Starts, values: Reals) -> tuple[Reals, Reals]:
        """((N,), (N,)): mean and population standard deviation of each row, which is sorted and not empty. O(A)."""

    def arranged(self, answers: Answers) -> Answers:
        """The same, with what this backend would otherwise make anew for every step. O(A + N)."""

    def truth_step(
        self,
        answers: Answers,
        scale: Scale,
        weights: Reals,
        prior: float,
        location: int,
        loss: int,
        before: Reals | None = None,
    ) -> tuple[Reals, Reals, float]:
        """((N,), (K,), change): every item's truth in z, given the workers' weights; every worker's loss beside it;
        and the largest change of a truth from `before`, infinite where that is None.

        The mean is sum w z / (prior + sum w). The median is the least z with half of the weight at or below it, the
        mean with the next where it is exactly half. Of categories with equal weight the first wins. Where all weights
        of an item are zero, all count alike. VOTE and SHARE look at values, not at z. O(A).
        """

    def group_medians(self, answers: Answers, scale: Scale, weights: Reals, groups: Codes, count: int) -> Reals:
        """(N,): in z, median over the groups of workers of the weighted mean within each. O(A).

        A group without weight is left out; where all weights of an item are zero, all count alike.
        """
