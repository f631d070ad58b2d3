"""What a backend provides: the primitives, documented once for all of them.

Rows are a list of n one-dimensional C-contiguous arrays of one length d (zero included) and one dtype: float32,
float64, float16, or uint16 for the bits of bfloat16; or one C-contiguous (n, d) matrix. float64 is computed in
float64, everything else in float32 (the NumPy backend, being the specification, computes in float64 throughout).
Results of the means and of the order statistics have the rows' dtype, those of all other primitives this *compute
dtype*; see :meth:`Kernels.narrow` for what half precision does to them.

A backend may keep rows wherever it likes: others ask a row for its ``size`` and ``dtype``, and leave all else to
primitives. Beside such rows a primitive takes the host's arrays, such as what a rule remembers, and brings them there.

Callers have checked shapes and parameters. Kernels never write to rows. A NaN or an infinity in a row raises
:class:`robustagg.errors.NonFinite`. A coordinate's result depends on its own column only, so the bits do not depend
on the number of threads or on how a model is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Rows: TypeAlias = Sequence[Array]

SINGLE = np.dtype(np.float32)

GRAM_TILE = 8192
"""Coordinates of one tile of :meth:`Kernels.gram` and :meth:`Kernels.measure`. Sources cut blocks at multiples of it
from the start of a run of tensors of one dtype, so that the same tiles arise however the updates are cut."""

GRAM_LIMIT = 2.0**480
"""Numbers and differences beyond this (3e144) count as this in sums of products, lest they overflow: a sum of squares
that is less than the limit's square has met none. See :data:`SHRINK`."""

SHRINK_BITS = 576
SHRINK = 2.0**-SHRINK_BITS
"""What rows that are marked as shrunk are multiplied by: exact products of numbers however large."""


DIGIT_BITS = 32
"""Of a digit of :meth:`Kernels.digits`: sums of 2**21 digits are exact, which is 1.7e10 coordinates."""
DIGITS = 3
"""Of a sum, from the largest number that went into it: at least 65 bits."""
LOWEST_LEVEL = -28
"""Of a zero."""
FINEST = 2.0 ** (DIGIT_BITS * (LOWEST_LEVEL - DIGITS))
"""What lies below, 2**-992, is not counted."""

RESIDUAL_UNIT = 2.0**-30
"""What :meth:`Kernels.residual_weights` counts in: sums of whole numbers do not depend on the order of adding up."""


class Rescale(NamedTuple):
    """How columns that span too much are brought in first."""

    value_range: float | None
    """More than this is too much; None: nothing is."""
    mode: str
    """"clip": to the median +- value_range / 2; "paper": the highest loses and the lowest gains a deviation."""


class Confidence(NamedTuple):
    """How a value's confidence is found: the line through its sorted column, and the interval around it."""

    rescale: Rescale
    intercept: str
    """Of the line: "separate", "hierarchical" or "median_point"."""
    interval_width: float
    scale_floor: float
    """Added to the scale tau of the residuals."""


class Residual(NamedTuple):
    """The same for residual-based re-weighting, which rescales nothing."""

    intercept: str
    interval_width: float
    scale_floor: float
    leave_smallest: bool
    """Whether tau is taken of all absolute residuals but the smallest."""


class Detection(NamedTuple):
    """What :meth:`Kernels.detect` leaves behind: a bit per value and a number per coordinate."""

    rejected: NDArray[np.uint8]
    """(n, ceil(d / 8)); bit k % 8 (little-endian) of byte k // 8 of row i: coordinate k of client i was rejected."""
    median: Array
    """(d,) median of the rescaled column, the replacement for what was rejected."""
    rejections: NDArray[np.int64]
    """(n,) rejected coordinates per client."""


class Kernels(Protocol):
    """A backend module."""

    SCRATCH: int
    """Bytes that its kernels need per value of a block, besides the rows and what they return."""
    PRODUCTS: int
    """Numbers that `gram` and `manhattan` are to return at a time, where that is more than a few tiles."""

    def home(self, rows: Rows) -> Rows:
        """The rows in the host's memory; themselves, where they are there."""

    def take(self, rows: Rows, places: NDArray[np.integer]) -> list[Array]:
        """The rows' values at some coordinates, in rows of their own."""

    def put(self, values: Array, places: NDArray[np.integer], numbers: Array) -> Array:
        """A copy of an array, coordinates last, that has these numbers at some coordinates."""

    def join(self, pieces: Sequence[Array]) -> Array:
        """Neighbouring pieces, of vectors or of matrices' rows, as one."""

    def window(self, rows: Rows, begin: int, end: int, first: int = 0) -> list[Array]:
        """The coordinates `begin` to `end` of each row, zeros before `first`; of the rows' own memory where it can."""

    def split(self, matrix: Array) -> list[Array]:
        """The rows of an (m, d) matrix, in its own memory."""

    def stack(self, rows: Rows) -> Array:
        """(m, d): rows as one matrix."""

    def widen(self, row: Array, dtype: np.dtype[Any] = SINGLE) -> Array:
        """A row in float32 or float64, exactly; as it is where it is as wide already."""

    def finite(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,): whether every value of the row is finite. O(nd)."""

    def narrow(self, values: Array, dtype: np.dtype[Any]) -> Array:
        """Finite values, of any shape, in a dtype of rows; themselves where they have it already.

        The nearest, of two equally near the even one; what lies beyond the largest finite number becomes that. float64
        becomes bfloat16 by way of float32. O(d).
        """

    def weighted_mean(self, rows: Rows, weights: NDArray[np.float64]) -> Array:
        """(d,): sum of weights[i] * rows[i], in float64 and client order; the weights sum to 1. O(nd)."""

    def median(self, rows: Rows) -> Array:
        """(d,): coordinate-wise median; of an even count, the mean of the two middle. O(n log n) per coordinate."""

    def trimmed_mean(self, rows: Rows, k: int) -> Array:
        """(d,): coordinate-wise mean without the k lowest and k highest values, n > 2k. O(n log n) per coordinate."""

    def mean_around_median(self, rows: Rows, k: int) -> Array:
        """(d,): coordinate-wise mean of the k values nearest the median, 1 <= k <= n.

        The median of an even count is the mean of the two middle values. Of two values equally far from it the
        smaller is the nearer; distances are compared as float64 has them. O(n log n) per coordinate.
        """

    def weighted_median(self, rows: Rows, weights: NDArray[np.float64]) -> Array:
        """(d,): the least value y with W(y) >= W / 2, W(y) the weight of all values up to y and W that of all.

        Where W(y) is exactly W / 2: the mean of y and the next value of positive weight. The weights are not
        negative and not all zero; integers (sample counts) up to 2**53 in total are summed exactly, others to
        rounding. A client of weight zero has no say. O(n log n) per coordinate.
        """

    def gram(self, rows: Rows, shrunk: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
        """(ceil(d / GRAM_TILE), n + 1, n + 1): inner products of the centred rows, tile by tile.

        Rows are centred on their coordinate-wise *lower* median c (the value of rank floor((n - 1) / 2)), so that
        neither a large common offset nor an attacker's huge values cost the others' digits; c itself is the last
        row. With z_i = x_i - c and z_n = c, clamped to +-GRAM_LIMIT, matrix t holds sum_k z_ik z_jk over the
        coordinates k of tile t. Differences, products and sums in float64. With `shrunk` (n + 1,), the z_i so marked
        are multiplied by SHRINK first. O(n^2 d).
        """

    def measure(
        self, rows: Rows, reference: int | None, shrunk: NDArray[np.uint8] | None = None
    ) -> NDArray[np.float64]:
        """(ceil(d / GRAM_TILE), n, 3): how rows lie to one of them, or to zero, tile by tile.

        With c the row `reference`, or zero where it is None: the sums of (x_i - c)^2, of x_i c and of x_i^2 over the
        coordinates of the tile. Numbers and differences are clamped to +-GRAM_LIMIT; `shrunk` (n, 2) marks the
        differences, and the rows, that are multiplied by SHRINK first. In float64; equal rows have equal sums. O(nd).
        """

    def manhattan(self, rows: Rows) -> NDArray[np.float64]:
        """(ceil(d / GRAM_TILE), n, n): sums of absolute differences between rows, tile by tile.

        A difference counts as GRAM_LIMIT at most. Differences and sums in float64. O(n^2 d).
        """

    def digits(self, terms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """((DIGITS, m, k), (m, k)): the sum of (t, m, k) matrices, t > 0, as whole numbers, and each entry's level.

        Number i of an entry counts units of 2**(DIGIT_BITS * (level - 1 - i)), the level being that of the entry's
        largest term: numbers are cut to a grid that is the same for everyone, and sums of whole numbers are exact, so
        that no order of adding up can change them. What `gram` and its kind return may lie with the rows; this is the
        host's.
        (Demmel and Nguyen, "Fast reproducible floating-point summation", ARITH 2013.) O(tmk).
        """

    def extremes(self, rows: Rows) -> tuple[Array, Array]:
        """((d,), (d,)): coordinate-wise the greatest and the least value, in the rows' dtype. O(nd)."""

    def majority(self, rows: Rows, least: int) -> NDArray[np.int8]:
        """(d,): 1 where at least `least` more values are positive than negative, -1 where negative, else 0. O(nd)."""

    def flip(self, values: Array, signs: NDArray[np.int8]) -> Array:
        """(d,): the values, of the other sign where `signs` has a zero. O(d)."""

    def offset(self, values: Array, by: NDArray[np.float64]) -> Array:
        """(d,): the sum of both, clamped to the largest number of the values' dtype. O(d)."""

    def sign_counts(self, rows: Rows) -> NDArray[np.int64]:
        """(n, 2): how many values of the row are positive, and negative. O(nd)."""

    def outermost(self, rows: Rows) -> NDArray[np.int64]:
        """(n,): in how many coordinates each client has the greatest or the least value, of equal ones each. O(nd)."""

    def magnitude_counts(
        self, rows: Rows, signs: NDArray[np.int8], shift: int, bits: int, prefixes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(n, 2, 2**bits): how often each value of some bits occurs in the keys of the row's magnitudes.

        The key of a magnitude is the 31 bits below its sign, of float64 the upper ones: keys are ordered like
        magnitudes, to a relative 2**-20 in float64. Counted are the `bits` bits above the lowest `shift`, of the keys
        whose bits above these are prefixes[i]: so counts refine each other from the highest bits down. The second axis
        tells values whose sign (-1, 0, 1) is not that of `signs` (d,) from those whose sign is. O(nd).
        """

    def sparsify(self, rows: Rows, keys: NDArray[np.int64]) -> list[Array]:
        """The rows, zeros in place of values whose magnitude's key is below keys[i]; see `magnitude_counts`. O(nd)."""

    def differences(self, rows: Rows) -> Array:
        """(n - 1, d): the rows less the last one, in the compute dtype, clamped to its largest number. O(nd)."""

    def agreements(self, rows: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, n): in how many coordinates two rows have the same sign, less in how many opposite ones.

        Of row i only values whose magnitude's key is at least keys[i] have a sign; see `magnitude_counts`. On the
        diagonal stands how many have one. O(nd), and a step for every two signs in a coordinate.
        """

    def mix(self, rows: Rows, matrix: NDArray[np.float64]) -> Array:
        """(m, d): matrix (m, n) times the rows, summed in float64; weights may have any sum.

        Results beyond the largest finite number are clamped to it. O(mnd).
        """

    def top_eigenpair(self, matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The largest eigenvalue of a symmetric (n, n) matrix, and (n,) a vector of length 1 that belongs to it.

        To rounding, of finite numbers. O(n^3).
        """

    def detect(self, rows: Rows, options: Confidence, threshold: float) -> Detection:
        """Part A of the reputation rule: which values' confidence is below it. At most O(n^2) per coordinate."""

    def rectified_mean(
        self,
        rows: Rows,
        rejected: NDArray[np.uint8],
        median: Array,
        weights: NDArray[np.float64],
        rescale: Rescale,
    ) -> Array:
        """(d,): weighted mean, each rejected value replaced by the median. O(nd)."""

    def rectify(self, rows: Rows, rejected: NDArray[np.uint8], median: Array, rescale: Rescale) -> Array:
        """(n, d): the rescaled values, the rejected ones replaced by the median. O(nd)."""

    def deviations(
        self,
        rows: Rows,
        rejected: NDArray[np.uint8],
        median: Array,
        rescale: Rescale,
        shrunk: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float64]:
        """(ceil(d / GRAM_TILE), n, 2): how far from the median is what `rectify` leaves of the rows, tile by tile.

        Of the differences at the coordinates of the tile, the sum of squares and the largest. For the squares,
        differences in float64, clamped to +-GRAM_LIMIT; of the rows that `shrunk` (n,) marks, multiplied by SHRINK
        first. The largest in the compute dtype, infinite where that cannot hold it. O(nd).
        """

    def repeated_median(self, rows: Rows, intercept: str) -> tuple[Array, Array]:
        """((d,), (d,)): slope and intercept of the line through each sorted column. O(n^2) per coordinate."""

    def middle_of_line(self, rows: Rows, intercept: str) -> Array:
        """(d,), in the compute dtype: the value of that line at the middle rank, clamped to the largest number."""

    def confidence(self, rows: Rows, options: Confidence) -> Array:
        """(n, d): the confidence C of each value, equal values sharing the highest. At most O(n^2) per coordinate."""

    def residual_weights(self, rows: Rows, options: Residual) -> NDArray[np.int64]:
        """(n,): over all coordinates, the sum of C_i times the sample deviation of the n confidences C.

        Each product is rounded to a whole number of RESIDUAL_UNIT; up to 2**33 coordinates. Confidences as in
        :meth:`confidence` without the rescale. n < 3: 0. At most O(n^2) per coordinate.
        """

    def residual_mean(self, rows: Rows, weights: NDArray[np.float64], options: Residual, threshold: float) -> Array:
        """(d,): weighted mean, each value of a confidence below the threshold replaced by the line's.

        Confidences as in :meth:`residual_weights`. The line's value is that at the value's rank; equal values take
        it at the mean of their ranks. It is clamped to the largest finite number. At most O(n^2) per coordinate.
        """

    def beta_reputation(
        self,
        accepted: NDArray[np.int64],
        rejected: NDArray[np.int64],
        positive_weight: float,
        prior: float,
        prior_weight: float,
    ) -> NDArray[np.float64]:
        """(n,): the expectation of each client's Beta distribution. O(n)."""

    def decayed_score(
        self,
        rounds: NDArray[np.int64],
        observed: NDArray[np.float64],
        now: int,
        decay: float,
        window: int,
    ) -> NDArray[np.float64]:
        """(m,): mean of observed (m, s), weighted by exp(-decay * age); empty slots have round < 0. O(ms)."""
