"""How far an attack moved the estimates, and how far they are from the gold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.truth.results import Result


def estimation_error(before: Result, after: Result, items: Any = None) -> float:
    r"""The mean of :math:`|t_n(\text{after}) - t_n(\text{before})|` over the attacked items.

    Parameters
    ----------
    before, after : Result
        Of the answers without and with the malicious workers.
    items : sequence of ids, optional
        The attacked items; all that both have by default.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no such item, or estimates are categories.

    References
    ----------
    Fang et al., "Data poisoning attacks and defenses to crowdsourcing systems", WWW 2021.
    """
    first, second = _by_item(before), _by_item(after)
    wanted = [item for item in first if item in second] if items is None else np.asarray(items, object).tolist()
    for item in wanted:
        if item not in first or item not in second:
            raise errors.unknown_item(item)
    if not wanted:
        raise errors.no_items()
    return float(np.mean([abs(second[item] - first[item]) for item in wanted]))


def gold_error(result: Result, gold: Mapping[Any, float]) -> dict[str, float]:
    """Mean absolute and root mean squared error of the estimates whose gold is known.

    Parameters
    ----------
    result : Result
    gold : mapping from item to true value
        NaN where it is not known.

    Returns
    -------
    dict
        mae, rmse and items, their number.

    Raises
    ------
    ValueError
        If no item has a gold, or estimates are categories.
    """
    found = _by_item(result)
    off = np.array([found[item] - value for item, value in gold.items() if item in found and not math.isnan(value)])
    if not off.size:
        raise errors.no_gold(list(gold), list(found))
    return {"mae": float(np.abs(off).mean()), "rmse": float(np.sqrt((off**2).mean())), "items": float(off.size)}


def _by_item(result: Result) -> dict[Any, Any]:
    if result.estimates.dtype.kind != "f":
        raise errors.no_distance()
    return dict(zip(result.items.tolist(), result.estimates.tolist(), strict=True))
