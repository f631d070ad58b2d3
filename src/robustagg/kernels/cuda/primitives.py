"""The primitives on a machine of arrays and kernels. See :mod:`robustagg.kernels.interface`.

What has a value per coordinate stays where the rows are: on the machine, if one of them is there, else at the host.
What has n or n x n comes to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, reduce
from operator import add
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg.errors import NonFinite
from robustagg.kernels import numpy as specification
from robustagg.kernels.cuda.blocks import Block, Gathered, Machine, blocks_of
from robustagg.kernels.cuda.sources import COLUMN_THREADS
from robustagg.kernels.interface import (
    DIGIT_BITS,
    DIGITS,
    FINEST,
    GRAM_LIMIT,
    GRAM_TILE,
    LOWEST_LEVEL,
    RESIDUAL_UNIT,
    SHRINK,
    SINGLE,
    Array,
    Confidence,
    Detection,
    Rescale,
    Residual,
    Rows,
)

BLOCK_BYTES = 2**28  # of the host's rows, sent together
COUNTING = 1024  # blocks of threads that add up whole numbers: each thread adds its own to the total once
GRAM_THREADS, GRAM_PANEL, TREE_THREADS = 256, 64, 128  # as csrc/cuda has them

INTERCEPTS = {"separate": 0, "hierarchical": 1, "median_point": 2}
NEVER, RESCALES = 0, {"paper": 1, "clip": 2}

Job: TypeAlias = Callable[[Block], Any]


class Regression(NamedTuple):
    """What a kernel is told of lines and of what lies near them, beside its options."""

    gaps: Array
    """(2n - 1,) the reciprocals of the distances between ranks, of 1 - n to n - 1."""
    bounds: Array
    """(n,) Z sqrt(2 / n) sqrt(1 - h): times the scale of the residuals, the largest of full confidence."""

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, n: int, dtype: np.dtype[Any], interval_width: float = 0.0) -> Regression:
        """Of n clients in the compute dtype: the same round after round, which nobody writes to."""
        apart = np.arange(1 - n, n, dtype=np.float64)
        gaps = np.divide(1.0, apart, out=np.zeros_like(apart), where=apart != 0)
        x = np.arange(n) - (n - 1) / 2
        leverage = 1 / n + x**2 / max((x**2).sum(), 1.0)
        bounds = interval_width * np.sqrt(2 / n) * np.sqrt(np.maximum(1 - leverage, 0))
        return cls(gaps.astype(dtype), bounds.astype(dtype))


class Primitives:
    """The kernel interface on a machine."""

    SCRATCH, PRODUCTS = 1, 2**26

    def __init__(self, machine: Machine, block_bytes: int = BLOCK_BYTES) -> None:
        self.machine, self._block_bytes = machine, block_bytes

    # --- rows in blocks, and what is made of them put together ---

    def _resident(self, rows: Rows) -> bool:
        return any(map(self.machine.holds, rows))

    def _blocks(self, rows: Rows, *counted: int) -> Iterator[Block]:
        if self._resident(rows):
            yield Block(self.machine, list(map(self.machine.bring, rows)), slice(0, rows[0].size), *counted)
        else:
            yield from blocks_of(self.machine, rows, self._block_bytes, *counted)

    def _columns(self, rows: Rows, job: Job, *counted: int) -> Any:
        """An array, or several, that a job makes, coordinates or their bits last, of all blocks."""
        blocks = self._blocks(rows, *counted)
        if self._resident(rows):
            return next(blocks).made(job)
        gathered: list[Gathered] = []
        for block in blocks:
            made = block.made(job)
            pieces = made if isinstance(made, tuple) else (made,)
            gathered = gathered or [Gathered(self.machine, piece, block.d, rows[0].size) for piece in pieces]
            for each, piece in zip(gathered, pieces, strict=True):
                each.add(piece)
        self.machine.settle()
        whole = tuple(each.whole for each in gathered)
        return whole if isinstance(made, tuple) else whole[0]

    def _values(self, rows: Rows, body: str, *arguments: Any) -> Array:
        """(d,): a number per coordinate, in the rows' dtype."""

        def job(block: Block) -> Any:
            out = block.empty(block.d)
            block.columns(body, *arguments, out)
            return out

        return self.narrow(self._columns(rows, job), rows[0].dtype)

    def _tiles(self, rows: Rows, job: Job) -> Any:
        """What a job makes of each tile, where the rows are."""
        pieces = [block.made(job) for block in self._blocks(rows)]
        return pieces[0] if self._resident(rows) else np.concatenate(list(map(self.machine.home, pieces)))

    def _total(self, rows: Rows, *shape: int, job: Job) -> NDArray[np.int64]:
        """Whole numbers that a job adds to zeros, over all blocks."""

        def counted(block: Block) -> NDArray[np.int64]:
            job(block)
            return block.found

        return reduce(add, map(counted, self._blocks(rows, *shape)))

    # --- rows as they lie in memory ---

    def home(self, rows: Rows) -> Rows:
        return list(map(self.machine.home, rows))

    def take(self, rows: Rows, places: NDArray[np.integer]) -> list[Array]:
        there = self.machine.bring(places) if self._resident(rows) else places
        return [row[there if self.machine.holds(row) else places] for row in rows]

    def put(self, values: Array, places: NDArray[np.integer], numbers: Array) -> Array:
        return specification.put(values, self._beside(values, places), self._beside(values, numbers))

    def join(self, pieces: Any) -> Array:
        return specification.join(pieces)

    def window(self, rows: Rows, begin: int, end: int, first: int = 0) -> list[Array]:
        return specification.window(rows, begin, end, first)

    def split(self, matrix: Array) -> list[Array]:
        return specification.split(matrix)

    def stack(self, rows: Rows) -> Array:
        return specification.stack(rows)

    def widen(self, row: Array, dtype: np.dtype[Any] = SINGLE) -> Array:
        return specification.widen(row, dtype)

    def narrow(self, values: Array, dtype: np.dtype[Any]) -> Array:
        return specification.narrow(values, dtype)

    def flip(self, values: Array, signs: NDArray[np.int8]) -> Array:
        return specification.flip(values, self._beside(values, signs))

    def offset(self, values: Array, by: NDArray[np.float64]) -> Array:
        return specification.offset(values, self._beside(values, by))

    def sparsify(self, rows: Rows, keys: NDArray[np.int64]) -> list[Array]:
        return specification.sparsify(rows, keys)

    def _beside(self, values: Any, other: Any) -> Any:
        """An array where the values are."""
        return self.machine.bring(other) if self.machine.holds(values) else self.machine.home(other)

    # --- means and order statistics ---

    def finite(self, rows: Rows) -> NDArray[np.bool_]:
        whole = np.ones(len(rows), np.bool_)
        for block in self._blocks(rows):
            flags = self.machine.bring(np.ones(block.n, np.uint8))
            block.columns("finite", flags)
            whole &= self.machine.home(flags).view(np.bool_)
        return whole

    def weighted_mean(self, rows: Rows, weights: NDArray[np.float64]) -> Array:
        return self._values(rows, "weighted_mean", weights)

    def median(self, rows: Rows) -> Array:
        return self._values(rows, "median")

    def trimmed_mean(self, rows: Rows, k: int) -> Array:
        return self._values(rows, "trimmed_mean", int(k))

    def mean_around_median(self, rows: Rows, k: int) -> Array:
        return self._values(rows, "mean_around_median", int(k))

    def weighted_median(self, rows: Rows, weights: NDArray[np.float64]) -> Array:
        return self._values(rows, "weighted_median", weights, float(weights.sum()) / 2)

    def mix(self, rows: Rows, matrix: NDArray[np.float64]) -> Array:
        def job(block: Block) -> Any:
            out = block.empty(len(matrix), block.d)
            block.columns("mix", matrix, len(matrix), out)
            return out

        mixed: Array = self._columns(rows, job)
        return mixed

    def differences(self, rows: Rows) -> Array:
        def job(block: Block) -> Any:
            out = block.empty(len(rows) - 1, block.d)
            block.columns("differences", out)
            return out

        values: Array = self._columns(rows, job)
        return values

    def extremes(self, rows: Rows) -> tuple[Array, Array]:
        def job(block: Block) -> Any:
            out = block.empty(2, block.d)
            block.columns("extremes", out[0], out[1])
            return out

        greatest, least = self.narrow(self._columns(rows, job), rows[0].dtype)
        return greatest, least

    # --- counts ---

    def majority(self, rows: Rows, least: int) -> NDArray[np.int8]:
        def job(block: Block) -> Any:
            out = block.empty(block.d, dtype=np.int8)
            block.columns("majority", int(least), out)
            return out

        signs: NDArray[np.int8] = self._columns(rows, job)
        return signs

    def sign_counts(self, rows: Rows) -> NDArray[np.int64]:
        def job(block: Block) -> None:
            block.tasks("sign_counts", COUNTING, TREE_THREADS, block.counts)

        return self._total(rows, len(rows), 2, job=job)

    def outermost(self, rows: Rows) -> NDArray[np.int64]:
        def job(block: Block) -> None:
            block.tasks("outermost", COUNTING, TREE_THREADS, block.counts)

        return self._total(rows, len(rows), job=job)

    def magnitude_counts(
        self, rows: Rows, signs: NDArray[np.int8], shift: int, bits: int, prefixes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        def job(block: Block) -> None:
            block.columns("magnitude_counts", block.own(signs), int(shift), int(bits), prefixes, block.counts)

        return self._total(rows, len(rows), 2, 1 << bits, job=job)

    def agreements(self, rows: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        def job(block: Block) -> None:
            block.columns("agreements", keys, block.counts)

        return self._total(rows, len(rows), len(rows), job=job)

    # --- products ---

    def gram(self, rows: Rows, shrunk: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
        m = len(rows) + 1
        panels = -(-m // GRAM_PANEL)

        def job(block: Block) -> Any:
            marks = block.zeros(m, dtype=np.uint8) if shrunk is None else shrunk
            centre, out = block.empty(block.d), block.empty(block.tiles, m, m, dtype=np.float64)
            block.columns("centre", centre)
            arguments = centre, np.int64(GRAM_TILE), GRAM_LIMIT, marks, SHRINK, out
            block.tasks("gram", block.tiles * panels**2, GRAM_THREADS, *arguments)
            return out

        products: NDArray[np.float64] = self._tiles(rows, job)
        return products

    def measure(
        self, rows: Rows, reference: int | None, shrunk: NDArray[np.uint8] | None = None
    ) -> NDArray[np.float64]:
        n, centre = len(rows), -1 if reference is None else int(reference)
        marks = np.zeros((n, 2), np.uint8) if shrunk is None else shrunk

        def job(block: Block) -> Any:
            out = block.empty(block.tiles, n, 3, dtype=np.float64)
            arguments = np.int64(GRAM_TILE), centre, GRAM_LIMIT, marks, SHRINK, out
            block.tasks("measure", block.tiles * n, TREE_THREADS, *arguments)
            return out

        sums: NDArray[np.float64] = self._tiles(rows, job)
        return sums

    def manhattan(self, rows: Rows) -> NDArray[np.float64]:
        n = len(rows)

        def job(block: Block) -> Any:
            out = block.empty(block.tiles, n, n, dtype=np.float64)
            block.tasks("manhattan", block.tiles * n * n, TREE_THREADS, np.int64(GRAM_TILE), GRAM_LIMIT, out)
            return out

        sums: NDArray[np.float64] = self._tiles(rows, job)
        return sums

    def digits(self, terms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if not self.machine.holds(terms):
            return specification.digits(terms)
        entries = terms[0].size
        block = Block(self.machine, [self.machine.bring(terms).reshape(-1)], slice(0, terms.size))
        made = block.empty(DIGITS + 1, *terms.shape[1:])  # digits, and, in as many bytes, levels
        grid = np.int64(entries), DIGIT_BITS, LOWEST_LEVEL, FINEST
        block.tasks("digits", -(-entries // COLUMN_THREADS), COLUMN_THREADS, *grid, made, made[DIGITS])
        found = self.machine.home(made)
        return found[:DIGITS], found[DIGITS].view(np.int64)

    def top_eigenpair(self, matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        return specification.top_eigenpair(matrix)

    # --- the line, and what is made of it ---

    def detect(self, rows: Rows, options: Confidence, threshold: float) -> Detection:
        n = len(rows)
        rejections = np.zeros(n, np.int64)

        def bits(block: Block) -> Any:
            rejected, median = block.empty(n, -(-block.d // 8), dtype=np.uint8), block.empty(block.d)
            block.columns("detect", *self._judging(block, options), float(threshold), rejected, median)
            block.tasks("detect", COUNTING, TREE_THREADS, rejected, block.counts, kernel="count_rejections")
            rejections[:] += block.found
            return rejected, median

        rejected, median = self._columns(rows, bits, n)
        return Detection(rejected, median, rejections)

    def rectified_mean(
        self,
        rows: Rows,
        rejected: NDArray[np.uint8],
        median: Array,
        weights: NDArray[np.float64],
        rescale: Rescale,
    ) -> Array:
        def job(block: Block) -> Any:
            out, note = block.empty(block.d), (block.own_bits(rejected), block.own(median))
            block.columns("rectified_mean", *note, weights, *_rescaling(rescale), out)
            return out

        return self.narrow(self._columns(rows, job), rows[0].dtype)

    def rectify(self, rows: Rows, rejected: NDArray[np.uint8], median: Array, rescale: Rescale) -> Array:
        def job(block: Block) -> Any:
            out, note = block.empty(block.n, block.d), (block.own_bits(rejected), block.own(median))
            block.columns("rectify", *note, *_rescaling(rescale), out)
            return out

        values: Array = self._columns(rows, job)
        return values

    def deviations(
        self,
        rows: Rows,
        rejected: NDArray[np.uint8],
        median: Array,
        rescale: Rescale,
        shrunk: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float64]:
        n = len(rows)
        marks = np.zeros(n, np.uint8) if shrunk is None else shrunk

        def job(block: Block) -> Any:
            out, note = block.empty(block.tiles, n, 2, dtype=np.float64), (block.own_bits(rejected), block.own(median))
            arguments = *note, *_rescaling(rescale), np.int64(GRAM_TILE), GRAM_LIMIT, marks, SHRINK, out
            block.tasks("deviations", block.tiles * n, TREE_THREADS, *arguments)
            return out

        found: NDArray[np.float64] = self._tiles(rows, job)
        return found

    def repeated_median(self, rows: Rows, intercept: str) -> tuple[Array, Array]:
        def job(block: Block) -> Any:
            out = block.empty(2, block.d)
            block.columns(
                "repeated_median", Regression.of(block.n, block.compute).gaps, INTERCEPTS[intercept], out[0], out[1]
            )
            return out

        slope, start = self._columns(rows, job)
        return slope, start

    def middle_of_line(self, rows: Rows, intercept: str) -> Array:
        return specification.middle_of(*self.repeated_median(rows, intercept), len(rows))

    def confidence(self, rows: Rows, options: Confidence) -> Array:
        def job(block: Block) -> Any:
            out = block.empty(block.n, block.d)
            block.columns("confidence", *self._judging(block, options), out)
            return out

        values: Array = self._columns(rows, job)
        return values

    def residual_weights(self, rows: Rows, options: Residual) -> NDArray[np.int64]:
        def job(block: Block) -> None:
            if block.n >= 3:
                arguments = *_residual(block, options), RESIDUAL_UNIT, block.counts
                block.tasks("residual_weights", COUNTING, TREE_THREADS, *arguments)
            elif not self.finite(block.rows).all():
                raise NonFinite

        return self._total(rows, len(rows), job=job)

    def residual_mean(self, rows: Rows, weights: NDArray[np.float64], options: Residual, threshold: float) -> Array:
        def job(block: Block) -> Any:
            out = block.empty(block.d)
            block.columns("residual_mean", *_residual(block, options), weights, float(threshold), out)
            return out

        return self.narrow(self._columns(rows, job), rows[0].dtype)

    @staticmethod
    def _judging(block: Block, options: Confidence) -> tuple[Any, ...]:
        """Arguments that a kernel takes for a :class:`Confidence`."""
        model = INTERCEPTS[options.intercept], float(options.scale_floor)
        return *Regression.of(block.n, block.compute, options.interval_width), *_rescaling(options.rescale), *model

    # --- reputation: a few numbers per client ---

    def beta_reputation(
        self,
        accepted: NDArray[np.int64],
        rejected: NDArray[np.int64],
        positive_weight: float,
        prior: float,
        prior_weight: float,
    ) -> NDArray[np.float64]:
        return specification.beta_reputation(accepted, rejected, positive_weight, prior, prior_weight)

    def decayed_score(
        self, rounds: NDArray[np.int64], observed: NDArray[np.float64], now: int, decay: float, window: int
    ) -> NDArray[np.float64]:
        return specification.decayed_score(rounds, observed, now, decay, window)


def _rescaling(rescale: Rescale) -> tuple[int, float]:
    if rescale.value_range is None:
        return NEVER, 0.0
    return RESCALES[rescale.mode], float(rescale.value_range)


def _residual(block: Block, options: Residual) -> tuple[Any, ...]:
    """Arguments that a kernel takes for a :class:`Residual`."""
    model = INTERCEPTS[options.intercept], float(options.scale_floor), int(options.leave_smallest)
    return *Regression.of(block.n, block.compute, options.interval_width), *model
