"""Poisoning a crowd's answers, to test what withstands it."""

from robustagg.truth.attacks.ascent import optimised
from robustagg.truth.attacks.crude import maximum, random

__all__ = ["maximum", "optimised", "random"]
