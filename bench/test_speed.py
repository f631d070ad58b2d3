"""Speed of the kernels beside NumPy's and SciPy's: ``pytest bench``. Each answer is checked, then timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from measure import updates
from scipy import stats

import robustagg as ra
from robustagg import kernels
from robustagg.kernels import numpy as specification

SIZES = (10, 20, 50, 100, 200, 500, 1000)
CHECKED = 32  # coordinates of each answer that are compared with the specification

LINE = ra.Reputation().line


def detection(rows: list[np.ndarray]) -> np.ndarray:
    return kernels.active().detect(rows, LINE, 0.1).median


def rectified_mean(rows: list[np.ndarray]) -> np.ndarray:
    n, d = len(rows), rows[0].size
    accepted = np.zeros((n, -(-d // 8)), np.uint8)
    return kernels.active().rectified_mean(rows, accepted, np.zeros(d, rows[0].dtype), np.full(n, 1 / n), LINE.rescale)


def median(rows: list[np.ndarray]) -> np.ndarray:
    return kernels.active().median(rows)


def trimmed_mean(rows: list[np.ndarray]) -> np.ndarray:
    return kernels.active().trimmed_mean(rows, len(rows) // 5)


def median_of_matrix(rows: list[np.ndarray]) -> np.ndarray:
    return np.median(np.asarray(rows), axis=0)


def sorted_mean(rows: list[np.ndarray]) -> np.ndarray:
    k = len(rows) // 5
    return np.sort(np.asarray(rows), axis=0)[k : len(rows) - k].mean(axis=0)


def siegelslopes(rows: list[np.ndarray]) -> np.ndarray:
    """The line alone, without which there is no detection."""
    columns = np.sort(np.asarray(rows), axis=0).T
    return np.array([stats.siegelslopes(column)[0] for column in columns])


OURS: list[Callable[[list[np.ndarray]], np.ndarray]] = [detection, rectified_mean, median, trimmed_mean]


def width(kernel: Callable[..., Any], n: int) -> int:
    """Coordinates of a timed call: many more values than the caches hold, fewer where each takes long."""
    return (2**22 if kernel is detection else 2**24) // n


def timed(benchmark: Any, kernel: Callable[..., Any], rows: list[np.ndarray], **info: Any) -> None:
    n, d = len(rows), rows[0].size
    benchmark.extra_info.update(
        kernel=kernel.__name__.replace("_", " "), n=n, d=d, bytes=n * d * rows[0].itemsize, **info
    )
    benchmark.pedantic(kernel, (rows,), rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kernel", OURS)
def test_robustagg(benchmark: Any, kernel: Callable[..., np.ndarray], n: int, threads: int) -> None:
    y = updates(n, width(kernel, n))
    rows = list(y)
    ra.set_num_threads(threads)
    answer = kernel(rows)[:CHECKED]
    with ra.use_backend("numpy"):
        expected = kernel([row[:CHECKED] for row in rows])
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-6)
    timed(benchmark, kernel, rows, threads=threads, by="robustagg")
    ra.set_num_threads(None)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kernel", [median_of_matrix, sorted_mean])
def test_numpy(benchmark: Any, kernel: Callable[..., np.ndarray], n: int) -> None:
    rows = list(updates(n, width(kernel, n)))
    ours = specification.median(rows) if kernel is median_of_matrix else specification.trimmed_mean(rows, n // 5)
    np.testing.assert_allclose(kernel(rows), ours, rtol=1e-4, atol=1e-6)
    timed(benchmark, kernel, rows, threads=1, by="NumPy")


@pytest.mark.parametrize("n", SIZES)
def test_scipy(benchmark: Any, n: int) -> None:
    rows = list(updates(n, 64 if n < 200 else 4))
    np.testing.assert_allclose(siegelslopes(rows), specification.repeated_median(rows, "hierarchical")[0], atol=1e-6)
    timed(benchmark, siegelslopes, rows, threads=1, by="SciPy")
