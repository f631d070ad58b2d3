"""Truth discovery as others do it: the formulas in NumPy, and the public codes, each called as its users call it.

Installable: crowd-kit 1.4.2 (majority vote), truthdiscovery 1.0.4 (majority vote, and CRH of categories where every
worker answers every item). A clone only: https://github.com/reshef24/Easy_truth_discovery_AAAI2023 (CRH and GTM of
numbers where every worker answers every item). What is not there is told of and left out.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import truth


class Bincount:
    """Numbered answers, their medians and deviations: what both methods begin with."""

    def __init__(self, claims: truth.Claims) -> None:
        self.n, self.k, self.x = claims.item_of, claims.answers.workers, claims.answers.values
        self.items, self.workers = claims.items.size, claims.workers.size
        self.median, self.counts = claims.median, claims.per_worker
        mean = np.bincount(self.n, self.x) / claims.per_item
        self.deviation = np.sqrt(np.bincount(self.n, (self.x - mean[self.n]) ** 2) / claims.per_item)
        self.mean = mean

    def crh(self) -> np.ndarray:
        t = self.mean
        while True:
            loss = np.bincount(self.k, (self.x - t[self.n]) ** 2 / self.deviation[self.n], self.workers)
            w = -np.log(loss / loss.sum())
            before, t = t, np.bincount(self.n, w[self.k] * self.x) / np.bincount(self.n, w[self.k])
            if (np.abs(t - before) / self.deviation).max() < 1e-6:
                return t

    def gtm(self) -> np.ndarray:
        z = (self.x - self.median[self.n]) / self.deviation[self.n]
        p, mu = np.ones(self.workers), None
        while True:
            before, mu = mu, np.bincount(self.n, p[self.k] * z) / (1 + np.bincount(self.n, p[self.k]))
            p = (22 + self.counts) / (20 + np.bincount(self.k, (z - mu[self.n]) ** 2, self.workers))
            if before is not None and np.abs(mu - before).max() < 1e-6:
                return mu * self.deviation + self.median


class Dense:
    """A matrix of workers by items without gaps, and so many iterations; sums as products of matrices."""

    def __init__(self, matrix: np.ndarray, iterations: int) -> None:
        self.x, self.iterations = matrix, iterations
        self.median, self.deviation = np.median(matrix, axis=0), matrix.std(axis=0)

    def crh(self) -> np.ndarray:
        t = self.x.mean(axis=0)
        for _ in range(self.iterations):
            loss = np.square(self.x - t) @ (1 / self.deviation)
            w = -np.log(loss / loss.sum())
            t = w @ self.x / w.sum()
        return t

    def gtm(self) -> np.ndarray:
        z = (self.x - self.median) / self.deviation
        mu = z.mean(axis=0)
        for _ in range(self.iterations):
            p = (22 + self.x.shape[1]) / (20 + np.square(z - mu).sum(axis=1))
            mu = p @ z / (1 + p.sum())
        return mu * self.deviation + self.median


def reshef24(clone: Path | None) -> Callable[[np.ndarray, int], dict[str, Callable[[], np.ndarray]]] | None:
    """The published CRH and GTM, given a matrix of workers by items and a number of iterations."""
    if clone is None:
        print("\nleft out: reshef24's code, which is no package: `--reshef24 FOLDER`, a clone; pandas, scikit-learn")
        return None
    import pandas

    sys.path.insert(0, str(clone))
    crh, gtm = (importlib.import_module(f"algorithms.{name}") for name in ("CRH", "GTM"))
    distance = importlib.import_module("measures.pairwise_distance_functions").square_euclidean

    def calls(matrix: np.ndarray, iterations: int) -> dict[str, Callable[[], np.ndarray]]:
        frame = pandas.DataFrame(matrix)
        return {  # its beta is twice the paper's: half of it makes the variances ours
            "CRH": lambda: crh.CRH(iterations, frame, distance),
            "GTM": lambda: gtm.GTM(frame, iterations, beta=10),
        }

    return calls


def installed(package: str, module: str) -> Any:
    """A module of an installed package, or None and a line that says so."""
    try:
        return importlib.import_module(module)
    except ImportError as reason:
        print(f"\nleft out: {package} ({reason}); pip install --no-deps {package}, and what it then misses")
        return None


def believed(result: Any, items: Iterable[int]) -> list[Any]:
    """truthdiscovery's most believed value of each item."""
    return [max(result.belief[item].items(), key=lambda pair: pair[1])[0] for item in items]
