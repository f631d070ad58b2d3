from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg.kernels.interface import Array, Rows

compiler: str

def has_openmp() -> bool: ...
def isa() -> str: ...
def usable_isas() -> list[str]: ...
def set_isa(isa: str, /) -> None: ...
def force_path(path: int, /) -> None: ...
def finite(rows: Rows, threads: int, /) -> NDArray[np.bool_]: ...
def narrow(values: Array, dtype: np.dtype[Any], threads: int, /) -> Array: ...
def weighted_mean(rows: Rows, weights: NDArray[np.float64], threads: int, /) -> Array | None: ...
def median(rows: Rows, threads: int, /) -> Array | None: ...
def trimmed_mean(rows: Rows, k: int, threads: int, /) -> Array | None: ...
def gram(
    rows: Rows, tile: int, limit: float, shrunk: NDArray[np.uint8] | None, threads: int, /
) -> NDArray[np.float64] | None: ...
def measure(
    rows: Rows, tile: int, reference: int | None, limit: float, shrunk: NDArray[np.uint8] | None, threads: int, /
) -> NDArray[np.float64] | None: ...
def manhattan(rows: Rows, tile: int, limit: float, threads: int, /) -> NDArray[np.float64] | None: ...
def extremes(rows: Rows, threads: int, /) -> tuple[Array, Array] | None: ...
def sign_sums(rows: Rows, threads: int, /) -> NDArray[np.int32] | None: ...
def sign_counts(rows: Rows, threads: int, /) -> NDArray[np.int64] | None: ...
def magnitude_counts(
    rows: Rows, signs: NDArray[np.int8], shift: int, bits: int, prefixes: NDArray[np.int64], threads: int, /
) -> NDArray[np.int64] | None: ...
def mix(rows: Rows, matrix: NDArray[np.float64], threads: int, /) -> Array | None: ...
def top_eigenpair(matrix: NDArray[np.float64], /) -> tuple[float, NDArray[np.float64]]: ...
def mean_around_median(rows: Rows, k: int, threads: int, /) -> Array | None: ...
def weighted_median(rows: Rows, weights: NDArray[np.float64], half: float, threads: int, /) -> Array | None: ...
def detect(
    rows: Rows,
    value_range: float | None,
    rescale: str,
    intercept: str,
    interval_width: float,
    confidence_threshold: float,
    scale_floor: float,
    threads: int,
    /,
) -> tuple[NDArray[np.uint8], Array, NDArray[np.int64]] | None: ...
def rectified_mean(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    weights: NDArray[np.float64],
    value_range: float | None,
    rescale: str,
    threads: int,
    /,
) -> Array | None: ...
def rectify(
    rows: Rows,
    rejected: NDArray[np.uint8],
    median: Array,
    value_range: float | None,
    rescale: str,
    threads: int,
    /,
) -> Array | None: ...
def repeated_median(rows: Rows, intercept: str, threads: int, /) -> tuple[Array, Array] | None: ...
def confidence(
    rows: Rows,
    value_range: float | None,
    rescale: str,
    intercept: str,
    interval_width: float,
    scale_floor: float,
    threads: int,
    /,
) -> Array | None: ...
def residual_weights(
    rows: Rows,
    intercept: str,
    interval_width: float,
    scale_floor: float,
    leave_smallest: bool,
    threads: int,
    /,
) -> NDArray[np.int64] | None: ...
def residual_mean(
    rows: Rows,
    weights: NDArray[np.float64],
    intercept: str,
    interval_width: float,
    confidence_threshold: float,
    scale_floor: float,
    leave_smallest: bool,
    threads: int,
    /,
) -> Array | None: ...
def beta_reputation(
    accepted: NDArray[np.int64],
    rejected: NDArray[np.int64],
    positive_weight: float,
    prior: float,
    prior_weight: float,
    /,
) -> NDArray[np.float64]: ...
def decayed_score(
    rounds: NDArray[np.int64], observed: NDArray[np.float64], now: int, decay: float, window: int, /
) -> NDArray[np.float64]: ...
def group_answers(keys: NDArray[np.int32], count: int, /) -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...
def sort_answers(
    starts: NDArray[np.int64], workers: NDArray[np.int32], values: NDArray[np.float64], threads: int, /
) -> None: ...
def spread_answers(
    starts: NDArray[np.int64], values: NDArray[np.float64], smallest: float, threads: int, /
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def truth_step(
    starts: NDArray[np.int64],
    workers: NDArray[np.int32],
    values: NDArray[np.float64],
    count: int,
    coarse: float,
    fine: float,
    centre: NDArray[np.float64],
    inverse: NDArray[np.float64],
    factor: NDArray[np.float64],
    weights: NDArray[np.float64],
    prior: float,
    location: int,
    loss: int,
    threads: int,
    /,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def group_medians(
    starts: NDArray[np.int64],
    workers: NDArray[np.int32],
    values: NDArray[np.float64],
    centre: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    groups: NDArray[np.int32],
    count: int,
    threads: int,
    /,
) -> NDArray[np.float64]: ...
