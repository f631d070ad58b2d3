"""Crowds of workers: one that is made, and the Emotion data where they lie beside the project."""

from __future__ import annotations

import csv

import numpy as np
from datasets import DATA

from robustagg import truth

EMOTION = DATA / "emotion"


def crowd(n: int = 60, k: int = 12, per: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n items, each answered by `per` of k workers of different skill."""
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(n), per)
    workers = np.concatenate([rng.permutation(k)[:per] for _ in range(n)])
    values = rng.normal(0, 30, n)[items] + rng.normal(size=n * per) * np.exp(rng.normal(1, 0.7, k))[workers]
    return items, workers, values


def emotion() -> tuple[truth.Claims, dict[int, float]]:
    with (EMOTION / "answer.csv").open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    with (EMOTION / "truth.csv").open() as file:
        gold = {int(row["question"]): float(row["truth"]) for row in csv.DictReader(file)}
    items, workers, values = zip(*rows, strict=True)
    return truth.Claims.of((list(map(int, items)), list(workers), list(map(float, values)))), gold
