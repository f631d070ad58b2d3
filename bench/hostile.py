"""Updates that try to be slow: patterns that are known, and recipes that change and mix them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Pattern = Callable[[np.random.Generator, int, int, float], Matrix]  # of n clients, d coordinates, the largest number


def signs(rng: np.random.Generator, n: int, d: int) -> Matrix:
    return rng.choice([-1.0, 1.0], (n, d))


def gaussian(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return rng.normal(size=(n, d))


def few(part: Pattern, share: float) -> Pattern:
    """Gaussian, but for this share of the clients, one at least."""

    def mixed(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
        y, count = rng.normal(size=(n, d)), max(1, int(share * n))
        y[:count] = part(rng, count, d, largest)
        return y

    return mixed


def extremes(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return largest * signs(rng, n, d)


def powers(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    top = np.log2(largest)
    return np.exp2(np.floor(rng.uniform(-top, top, (n, d)))) * signs(rng, n, d)


def linear(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return np.arange(n)[:, None] * rng.uniform(0.1, 0.4, d) - 3.3


def nearly_linear(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return np.arange(n)[:, None] + 1e-4 * rng.normal(size=(n, d))


def two_lines(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    x = np.arange(n)[:, None]
    return np.where(x < n // 2, 0.1 * x, 0.05 * n + 3.0 * x) + np.zeros(d)


def two_values(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return (rng.random((n, d)) < 0.5).astype(float)


def half_zeros(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return np.where(np.arange(n)[:, None] < n // 2, 0, rng.normal(size=(n, d)))


def heavy(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return rng.standard_cauchy((n, d)) ** 9


def convex(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return (np.arange(n)[:, None] / n) ** 2 + 1e-3 * rng.normal(size=(n, d))


def ties(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    return np.round(4 * rng.normal(size=(n, d))) / 4


def near_the_threshold(rng: np.random.Generator, n: int, d: int, largest: float) -> Matrix:
    y = np.arange(n)[:, None] + 0.1 * rng.normal(size=(n, d))
    y[0] += rng.uniform(0, 3, d)
    return y


PATTERNS: dict[str, Pattern] = {
    "gaussian": gaussian,
    "one largest": few(extremes, 0),
    "tenth largest": few(extremes, 0.1),
    "all largest": extremes,
    "tenth powers": few(powers, 0.1),
    "all powers": powers,
    "linear": linear,
    "nearly linear": nearly_linear,
    "two lines": two_lines,
    "two values": two_values,
    "half zeros": half_zeros,
    "heavy": heavy,
    "convex": convex,
    "ties": ties,
    "near the threshold": near_the_threshold,
}


class Change(NamedTuple):
    """One change of a recipe: what is done, to which share of the clients, and how much."""

    kind: str
    share: float
    amount: float


class Recipe(NamedTuple):
    """A pattern and what is done to it, in order."""

    pattern: str
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        return ", ".join([self.pattern, *(f"{c.kind} {c.share:.2f} {c.amount:.3g}" for c in self.changes)])


KINDS = (*PATTERNS, "jitter", "round", "copy", "scale", "bend")


def changed(y: Matrix, change: Change, rng: np.random.Generator, largest: float) -> Matrix:
    n, d = y.shape
    rows = slice(max(0, n - max(1, round(change.share * n))), n)
    part, size = y[rows], float(np.median(np.abs(y))) or 1.0
    if change.kind == "jitter":
        part = part + size * 10.0 ** min(0.0, change.amount - 8) * rng.normal(size=part.shape)
    elif change.kind == "round":
        unit = size * 2.0 ** (change.amount - 4)
        part = np.round(part / unit) * unit
    elif change.kind == "copy":
        part = np.repeat(part[:1], len(part), axis=0)
    elif change.kind == "scale":
        part = part * 4.0 ** (change.amount - 4) ** 2
    elif change.kind == "bend":
        part = np.sign(part) * np.abs(part) ** (change.amount / 3)
    else:
        part = PATTERNS[change.kind](rng, len(part), d, largest)
    return np.concatenate([y[: rows.start], part])


def cook(recipe: Recipe, n: int, d: int, dtype: str, seed: int = 0) -> list[np.ndarray]:
    """The recipe's rows."""
    rng = np.random.default_rng(seed)
    largest = float(np.finfo(dtype).max)
    with np.errstate(all="ignore"):
        y = PATTERNS[recipe.pattern](rng, n, d, largest)
        for change in recipe.changes:
            y = changed(np.nan_to_num(np.clip(y, -largest, largest)), change, rng, largest)
        return list(np.ascontiguousarray(np.nan_to_num(np.clip(y, -largest, largest)).astype(dtype)))


def columns(n: int) -> int:
    """Enough of them for the few thousand instructions of a call not to count."""
    return max(64, 12_800 // n // 64 * 64) if n > 12 else 8192


def mutated(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """The recipe with a change more, one less, or another pattern."""
    changes = list(recipe.changes)
    if changes and rng.random() < 0.4:
        changes.pop(int(rng.integers(len(changes))))
    if rng.random() < 0.15:
        return Recipe(str(rng.choice(list(PATTERNS))), tuple(changes))
    share = float(rng.choice([0.01, 0.1, 0.25, 0.45, 0.5, 0.55, 1.0]))
    changes.insert(int(rng.integers(len(changes) + 1)), Change(str(rng.choice(KINDS)), share, float(rng.uniform(0, 8))))
    return Recipe(recipe.pattern, tuple(changes[-4:]))
