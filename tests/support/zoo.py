"""Columns that break kernels: every kind, side by side and shuffled, so that each has strange neighbours."""

from __future__ import annotations

import numpy as np

LARGEST = {"float32": 3.0e38, "float64": 1.7e308, "float16": 6.0e4, "bfloat16": 3.0e38}
SUBNORMAL = {"float32": 2.0**-130, "float64": 2.0**-1030, "float16": 2.0**-16, "bfloat16": 2.0**-130}
DTYPES = tuple(LARGEST)
COMPUTE_DTYPES, HALVES = DTYPES[:2], DTYPES[2:]


def gaussian(rng, n):
    return rng.normal(size=n)


def narrow(rng, n):
    return 5 + 1e-2 * rng.normal(size=n)


def offset(rng, n):
    return 1000 + rng.normal(size=n)


def grid(rng, n):
    return np.round(rng.normal(size=n) * 8) / 4


def constant(rng, n):
    return np.full(n, rng.normal())


def sparse(rng, n):
    return np.where(rng.random(n) < 0.95, rng.choice([0.0, -0.0], n), rng.normal(size=n))


def linear(rng, n):
    return rng.permutation(np.arange(n)) * 0.5 - 3


def colluding(rng, n):
    return np.where(np.arange(n) < n // 5, 7 + 0.01 * rng.normal(size=n), 0.3 * rng.normal(size=n))


def heavy(rng, n):
    return rng.standard_cauchy(size=n)


ORDINARY = (gaussian, narrow, offset, grid, constant, sparse, linear, colluding, heavy)


def column_kinds(dtype: str):
    largest, subnormal = LARGEST[dtype], SUBNORMAL[dtype]

    def huge(rng, n):
        return largest * rng.uniform(-1, 1, n)

    def extreme(rng, n):
        return largest * rng.choice([-1.0, 1.0], n)

    def one_huge(rng, n):
        return np.where(np.arange(n) == rng.integers(n), -largest, rng.normal(size=n))

    def subnormals(rng, n):
        return subnormal * rng.normal(size=n)

    def some_subnormals(rng, n):
        return np.where(rng.random(n) < 0.5, subnormal, rng.normal(size=n))  # flushed to zero, they tie no more values

    return (*ORDINARY, huge, extreme, one_huge, subnormals, some_subnormals)


def encode(values: np.ndarray, dtype: str) -> np.ndarray:
    """float64 values in the dtype that kernels take."""
    if dtype == "bfloat16":  # the upper half of a float32, rounded towards zero
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype)


def read_only(matrix: np.ndarray) -> list[np.ndarray]:
    """The rows of a matrix as separate arrays that cannot be written."""
    rows = [row.copy() for row in matrix]
    for row in rows:
        row.flags.writeable = False
    return rows


def rows_of(n: int, d: int, dtype: str = "float32", seed: int = 0) -> list[np.ndarray]:
    """Gaussian rows."""
    rng = np.random.default_rng([seed, n, d])
    return read_only(encode(rng.normal(size=(n, d)), dtype))


def menagerie(n: int, dtype: str, each: int = 8) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows with `each` columns of every kind, in shuffled order, and the kind of each column."""
    rng = np.random.default_rng([n, DTYPES.index(dtype)])
    kinds = [kind for kind in column_kinds(dtype) for _ in range(each)]
    kinds = [kinds[k] for k in rng.permutation(len(kinds))]
    matrix = np.column_stack([kind(rng, n) for kind in kinds])
    return read_only(encode(matrix, dtype)), np.array([kind.__name__ for kind in kinds])
