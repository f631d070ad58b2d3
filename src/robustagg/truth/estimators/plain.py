"""Methods that trust everybody alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from robustagg.kernels.interface_truth import ABSOLUTE, MEAN, MEDIAN, SQUARED, VOTE, Reals
from robustagg.truth.claims import Claims
from robustagg.truth.estimators.base import Method, Part, of_categories


class _Plain(Method):
    """Every answer counts alike."""

    iterates = False


@dataclass(eq=False)
class Mean(_Plain):
    """The mean of every item's answers.

    Examples
    --------
    >>> from robustagg import truth
    >>> truth.Mean().fit((["a", "a", "b"], ["ada", "bob", "ada"], [1.0, 3.0, 5.0])).estimates
    array([2., 5.])
    """

    def part(self, claims: Claims) -> Part:
        return Part(claims.arranged, claims.scale(), MEAN, SQUARED)

    def estimates(self, claims: Claims, part: Part, weights: Reals, truth: Reals) -> NDArray[Any]:
        return claims.spread[0]


@dataclass(eq=False)
class Median(_Plain):
    """The median of every item's answers.

    Examples
    --------
    >>> from robustagg import truth
    >>> truth.Median().fit((["a", "a", "a"], ["ada", "bob", "eve"], [1.0, 3.0, 900.0])).estimates
    array([3.])
    """

    def part(self, claims: Claims) -> Part:
        return Part(claims.answers, claims.scale(), MEDIAN, ABSOLUTE)

    def estimates(self, claims: Claims, part: Part, weights: Reals, truth: Reals) -> NDArray[Any]:
        return claims.median


@dataclass(eq=False)
class MajorityVote(_Plain):
    """The category most workers chose; of several the one that sorts first.

    Examples
    --------
    >>> from robustagg import truth
    >>> answers = (["a", "a", "a"], ["ada", "bob", "eve"], ["cat", "cat", "dog"])
    >>> truth.MajorityVote().fit(answers, categorical=True)["a"]
    'cat'
    """

    numbers = False
    categories = True

    def part(self, claims: Claims) -> Part:
        return of_categories(claims, VOTE)
