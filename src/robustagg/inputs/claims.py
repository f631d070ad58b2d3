"""Sample counts are claims: how much of them is believed."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TypeVar

from robustagg import errors
from robustagg.engine.counts import checked_count

K = TypeVar("K")
COUNT_CAP = 4.0  # times the median: claims of more samples are no more believed
EXACT = 1e-12  # equal counts hold with equality


def capped_counts(claims: Mapping[K, float | None], cap: float | None = COUNT_CAP, f: int | None = 0) -> dict[K, float]:
    """What clients count for that claim so many samples each.

    The most that is believed is the greatest number, up to the cap, with which no f clients of n have a larger share of
    all samples than halfway between f / n and 1/2: so many liars never outweigh the others.

    Parameters
    ----------
    claims : mapping from client to number
        None of who says none: it counts like the median client.
    cap : float or None
        The most that is believed, as a multiple of the lower median of the positive claims; None: everything.
    f : int or None
        Liars that the others are to withstand, at most a minority of those that claim something; None: any minority.

    Returns
    -------
    dict of client to float

    Raises
    ------
    TypeError, ValueError
        If a claim is no finite number of at least 0, or the cap is not positive.

    Examples
    --------
    >>> import robustagg as ra
    >>> ra.capped_counts({"lima": 100, "osaka": 120, "oslo": None, "eve": 10**6})
    {'lima': 100.0, 'osaka': 120.0, 'oslo': 120.0, 'eve': 480.0}
    """
    if cap is not None and not cap > 0:
        raise errors.out_of_range("cap", cap, "positive, or None")
    said = {client: None if count is None else checked_count(client, count) for client, count in claims.items()}
    positives = sorted(count for count in said.values() if count is not None and count > 0)
    middle = positives[(len(positives) - 1) // 2] if positives else 1.0
    believed = {client: middle if count is None else count for client, count in said.items()}
    most = math.inf if cap is None or not positives else min(cap * middle, _fair(list(believed.values()), f))
    return {client: min(count, most) for client, count in believed.items()}


def _fair(counts: Sequence[float], f: int | None) -> float:
    """The greatest cap with which f of some counts have no more than halfway from f equal ones' share to a half."""
    ordered = sorted((count for count in counts if count > 0), reverse=True)
    liars = (len(ordered) - 1) // 2
    liars = liars if f is None else max(0, min(f, liars))
    share = (liars / len(ordered) + 0.5) / 2
    ratio = share / (1 - share)  # what the greatest `liars` may have for each of the others'

    def holds(k: int) -> bool:
        """Whether it does with a cap of count k."""
        capped = [min(count / ordered[k], 1.0) for count in ordered]
        return math.fsum(capped[:liars]) <= ratio * math.fsum(capped[liars:]) * (1 + EXACT)

    k = bisect_left(range(len(ordered)), True, key=holds)  # so many counts are cut
    if k == 0:
        return math.inf
    rest = [count / ordered[k] for count in ordered[k:]]
    spare = ratio * math.fsum(rest[max(liars - k, 0) :]) - math.fsum(rest[: max(liars - k, 0)])
    return ordered[k] * spare / (min(k, liars) - ratio * max(k - liars, 0))
