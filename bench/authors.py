"""The authors' way of detecting: written anew from the paper's formulas, all slopes at once, in torch; and their own.

Their code has no licence and is no part of this project. Who has a copy can time it: the file `averaging` of
https://github.com/TianyueChu/FedRep.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import torch

SHARD = 2000  # coordinates that the published code works on at a time


def published(file: Path) -> Callable[[torch.Tensor], None]:
    """The published detection, from a copy of the authors' file, on the processor instead of a GPU."""
    module = ModuleType("published")
    SourceFileLoader("published", str(file)).exec_module(module)
    torch.cuda.FloatTensor = torch.FloatTensor  # the file names the GPU's type

    def call(y: torch.Tensor) -> None:
        for columns in y.T.split(SHARD):
            module.reweight_algorithm_restricted(columns, 2.0, 0.1)

    return call


def detect(
    y: torch.Tensor,
    value_range: float = 2.0,
    interval_width: float = 2.0,
    confidence_threshold: float = 0.1,
    scale_floor: float = 1e-7,
) -> torch.Tensor:
    """Which of the (n, d) values the repeated-median line rejects (intercept "median_point"); O(n^2 d) memory."""
    n = len(y)
    high, low, sigma = y.max(0).values, y.min(0).values, y.std(0, correction=0)
    wide = high - low > value_range
    y = torch.where(wide & (y == high), high - sigma, torch.where(wide & (y == low), low + sigma, y))
    ranked, order = y.sort(0)
    x = torch.arange(n, dtype=y.dtype)
    slopes = (ranked[:, None] - ranked[None, :]) / (x[:, None] - x[None, :])[..., None]
    others = ~torch.eye(n, dtype=torch.bool)
    slopes = slopes[others].reshape(n, n - 1, -1)
    slope = _median(_median(slopes, 1), 0)
    start = _median(ranked, 0) - slope * (n - 1) / 2
    residual = (ranked - start - slope * x[:, None]).abs()
    tau = 1.4826 * (1 + 5 / (n - 1)) * _median(residual, 0) + scale_floor
    leverage = 1 / n + (x - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    bound = interval_width * math.sqrt(2 / n) * torch.sqrt(1 - leverage)[:, None] * tau
    confidence = torch.where(residual > bound, bound / residual, torch.ones_like(residual))
    return torch.empty_like(confidence).scatter_(0, order, confidence) < confidence_threshold


def _median(values: torch.Tensor, dim: int) -> torch.Tensor:
    ranked = values.sort(dim).values
    n = values.shape[dim]
    return (ranked.select(dim, (n - 1) // 2) + ranked.select(dim, n // 2)) / 2
