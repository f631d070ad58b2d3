"""The authors' way of detecting, written anew from the paper's formulas as a baseline: all slopes at once, in torch."""

from __future__ import annotations

import math

import torch


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
