"""What a clean set at the server says of each client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from robustagg.names import Client, Floats
from robustagg.rules.coordinatewise import Median


def harms(updates: Iterable[Any] | Mapping[Client, Any], validate: Callable[[Any], float]) -> Floats:
    """How much better a clean set likes the model without each client.

    Parameters
    ----------
    updates : iterable of n updates, or mapping from client to update
        As :meth:`Rule.aggregate` takes them, differences from the global model.
    validate : callable
        From an update, of the kind that came in, to how well the global model with it does on the clean set: the mean
        over the classes of the mean log probability of the true class, say, in any framework. Accuracy is too coarse.
        Called n + 1 times at most.

    Returns
    -------
    (n,) array
        What `validate` says of the coordinate-wise median of the others, less what it says of that of all; in the order
        of the updates; 0 for those that cannot be used. For ``Suspicion(validated=True).aggregate(updates, harm=...)``.

    Notes
    -----
    n + 1 medians, O(n^2 log n) per coordinate. A backdoor does not show on clean data.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = [np.array([1.0]), np.array([1.5]), np.array([-9.0])]
    >>> ra.harms(updates, lambda update: -abs(2.0 - update.item()))
    array([-4.75, -5.  ,  0.25])
    """
    rows = list(updates.values() if isinstance(updates, Mapping) else updates)
    found = np.zeros(len(rows))
    if len(rows) < 2:
        return found
    rule = Median()
    result = rule.aggregate(rows)
    usable = np.flatnonzero(result.admitted).tolist()
    if len(usable) < 2:
        return found
    whole = float(validate(result.update))
    for i in usable:
        found[i] = float(validate(rule([rows[j] for j in usable if j != i]))) - whole
    return found
