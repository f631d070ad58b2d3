"""Arguments out of their range."""

from __future__ import annotations

from collections.abc import Iterable

from robustagg.errors.words import meant


def out_of_range(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} must be {allowed}, got {value!r}")


def not_one_of(name: str, value: object, options: Iterable[str]) -> ValueError:
    options = list(options)
    told = ", ".join(map(repr, options))
    return ValueError(f"{name} must be one of {told}, got {value!r}{meant(value, options)}")


def exclusive(first: str, second: str) -> ValueError:
    return ValueError(f"give {first} or {second}, not both")
