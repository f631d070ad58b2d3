"""Parameters as rules want them: plain Python numbers, whatever kind of number the caller has."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from robustagg import errors


def whole(name: str, value: Any, least: int = 0) -> int:
    """An integer of at least `least`; raises if it is none."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise errors.out_of_range(name, value, f"an integer of at least {least}")
    return int(value)


def number(name: str, value: Any, allowed: str, fits: Callable[[float], bool]) -> float:
    """A finite number that fits, integers as they are; raises, with `allowed` in words, if it does not."""
    plain = value.item() if isinstance(value, np.generic) else value
    real = isinstance(plain, (int, float)) and not isinstance(plain, bool) and -math.inf < plain < math.inf
    if not (real and fits(plain)):
        raise errors.out_of_range(name, value, allowed)
    return plain  # type: ignore[no-any-return]


def finite(name: str, value: Any) -> float:
    """A number."""
    return number(name, value, "a finite number", lambda v: True)


def positive(name: str, value: Any) -> float:
    """A number above zero."""
    return number(name, value, "positive and finite", lambda v: v > 0)


def not_negative(name: str, value: Any) -> float:
    """A number of at least zero."""
    return number(name, value, "at least 0 and finite", lambda v: v >= 0)


def share(name: str, value: Any) -> float:
    """A number above 0, at most 1."""
    return number(name, value, "above 0 and at most 1", lambda v: 0 < v <= 1)


def one_of(name: str, value: Any, options: Collection[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in options:
        raise errors.not_one_of(name, value, options)
    return value


def part(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    return number(name, value, "between 0 and 1", lambda v: 0 <= v <= 1)


def yes_or_no(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise errors.out_of_range(name, value, "True or False")
    return bool(value)
