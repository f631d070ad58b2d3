"""Arguments out of their range."""

from __future__ import annotations

from collections.abc import Iterable


def out_of_range(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} must be {allowed}, got {value!r}")


def not_one_of(name: str, value: object, options: Iterable[str]) -> ValueError:
    return ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")


def exclusive(first: str, second: str) -> ValueError:
    return ValueError(f"give {first} or {second}, not both")
