"""The steps of the reputation rule as functions of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, inputs, kernels
from robustagg.rules.reputation import Reputation


def repeated_median(updates: Any, intercept: str = Reputation.intercept) -> tuple[Any, Any]:
    """Siegel's repeated-median line through the sorted values of each coordinate, against their ranks 0 ... n - 1.

    Parameters
    ----------
    updates : (n, d) array or n flat tensors
        As :meth:`Rule.aggregate` takes them.
    intercept : {"separate", "hierarchical", "median_point"}
        How the intercept is found.

    Returns
    -------
    slope, intercept : (d,)
        Of the kind and dtype of the updates.

    Notes
    -----
    Breakdown point 1/2. "separate" and "hierarchical" are :func:`scipy.stats.siegelslopes` of the sorted columns.

    References
    ----------
    Siegel, "Robust regression using repeated medians", Biometrika 69, 1982.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.repeated_median(np.array([[1.0], [2.0], [3.0], [4.0], [900.0]]))
    (array([1.]), array([1.]))
    """
    Reputation(intercept=intercept)
    leaf = _finite(updates)
    slope, start = kernels.active().repeated_median(leaf.rows, intercept)
    return leaf.tensor(slope), leaf.tensor(start)


def confidence(
    updates: Any,
    *,
    value_range: float | None = Reputation.value_range,
    interval_width: float = Reputation.interval_width,
    intercept: str = Reputation.intercept,
    rescale: str = Reputation.rescale,
    scale_floor: float = Reputation.scale_floor,
) -> NDArray[Any]:
    """The confidence of each value: how well it agrees with its coordinate's repeated-median line.

    Parameters
    ----------
    updates : (n, d) array or n flat tensors
        As :meth:`Rule.aggregate` takes them.
    value_range, interval_width, intercept, rescale, scale_floor
        As :class:`Reputation` takes them.

    Returns
    -------
    (n, d) array
        Confidences in [0, 1], float64 for float64 updates, else float32.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> ra.confidence(np.array([[0.1], [0.2], [0.3], [0.4], [1.9]])).round(2).T
    array([[1., 1., 1., 1., 0.]])
    """
    rule = Reputation(
        value_range=value_range,
        interval_width=interval_width,
        intercept=intercept,
        rescale=rescale,
        scale_floor=scale_floor,
    )
    return kernels.active().confidence(_finite(updates).rows, rule.line)


def rectify(
    updates: Any,
    *,
    value_range: float | None = Reputation.value_range,
    interval_width: float = Reputation.interval_width,
    confidence_threshold: float = Reputation.confidence_threshold,
    intercept: str = Reputation.intercept,
    rescale: str = Reputation.rescale,
    scale_floor: float = Reputation.scale_floor,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The rescaled updates with each outlying value replaced by its coordinate's median.

    Parameters
    ----------
    updates : (n, d) array or n flat tensors
        As :meth:`Rule.aggregate` takes them.
    value_range, interval_width, confidence_threshold, intercept, rescale, scale_floor
        As :class:`Reputation` takes them.

    Returns
    -------
    rectified : (n, d) array
        float64 for float64 updates, else float32.
    rejected : (n, d) bool array
        Which values were replaced.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> rectified, rejected = ra.rectify(np.array([[0.1], [0.2], [0.3], [0.4], [1.9]]))
    >>> rectified.T, rejected.T
    (array([[0.1, 0.2, 0.3, 0.4, 0.3]]), array([[False, False, False, False,  True]]))
    """
    rule = Reputation(
        value_range=value_range,
        interval_width=interval_width,
        confidence_threshold=confidence_threshold,
        intercept=intercept,
        rescale=rescale,
        scale_floor=scale_floor,
    )
    rows = _finite(updates).rows
    kernel = kernels.active()
    note = kernel.detect(rows, rule.line, rule.confidence_threshold)
    rejected = np.unpackbits(note.rejected, axis=1, count=rows[0].size, bitorder="little").view(np.bool_)
    return kernel.rectify(rows, note.rejected, note.median, rule.line.rescale), rejected


def _finite(updates: Any) -> Any:
    """The updates; raises where one holds a NaN or an infinity."""
    leaf = inputs.flat(updates)
    finite = kernels.active().finite(leaf.rows)
    if not finite.all():
        raise errors.non_finite_clients(np.flatnonzero(~finite).tolist())
    return leaf
