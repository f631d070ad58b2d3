"""Attacks and simulations."""

from __future__ import annotations

from collections.abc import Sequence


def honest_shape(shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"the honest rows must be two-dimensional (clients, coordinates), got shape {shape}")


def too_few_honest(rows: int, needed: int) -> ValueError:
    return ValueError(f"this attack needs at least {needed} honest rows, got {rows}")


def goal_shape(shape: tuple[int, ...], d: int) -> ValueError:
    return ValueError(f"goal must be one value per coordinate, shape ({d},), got {shape}")


def nobody_honest(clients: int, f: int) -> ValueError:
    return ValueError(f"{f} attackers of {clients} clients leave nobody honest to learn from")


def unknown_option(attack: str, option: str, known: Sequence[str]) -> ValueError:
    return ValueError(f"attack {attack!r} has no option {option!r}; it has {', '.join(known) or 'none'}")
