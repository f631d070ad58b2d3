"""What an estimator hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors

_SHOWN = 10  # lines of a printed result


@dataclass(frozen=True, eq=False)
class Result:
    """The estimate of every item and the weight of every worker.

    Attributes
    ----------
    method : str
        What made it, with its parameters.
    items, workers : (N,) and (K,) arrays
        The ids, sorted.
    estimates : (N,) float64, or ids of categories
    weights : (K,) float64
        What each worker counts for; GTM's is the precision, 1 / variance. Zero: removed.
    iterations : int
    converged : bool
        Whether no estimate moved by more than the tolerance in the last iteration.
    answers : (K,) int64
        How many answers each worker gave.
    reasons : tuple of str
        A word on each worker where a defence judged it, else empty.
    remarks : tuple of str
        What to know before trusting it.
    categorical : Result or None
        Of the categorical answers, where both kinds were given.
    """

    method: str
    items: NDArray[Any]
    workers: NDArray[Any]
    estimates: NDArray[Any]
    weights: NDArray[np.float64]
    iterations: int
    converged: bool
    answers: NDArray[np.int64]
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    categorical: Result | None = None

    def __getitem__(self, item: Any) -> Any:
        """The estimate of one item; LookupError if it has none."""
        place = np.flatnonzero(self.items == item)[:1]
        if not place.size:
            raise errors.no_estimate(item)
        return self.estimates[place].tolist()[0]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for :func:`json.dumps`; estimates and weights by id, as lists of pairs."""
        columns = {"worker": self.workers, "weight": self.weights, "answers": self.answers}
        lines = [column.tolist() for column in columns.values()] + [list(self.reasons)] * bool(self.reasons)
        names = [*columns, "reason"][: len(lines)]
        return {
            "method": self.method,
            "iterations": self.iterations,
            "converged": self.converged,
            "estimates": [
                {"item": item, "estimate": value}
                for item, value in zip(self.items.tolist(), self.estimates.tolist(), strict=True)
            ],
            "workers": [dict(zip(names, line, strict=True)) for line in zip(*lines, strict=True)],
            "remarks": list(self.remarks),
            **({"categorical": self.categorical.to_dict()} if self.categorical else {}),
        }

    def to_frame(self) -> Any:
        """The estimates as a pandas Series by item, named "estimate" (the index "task").

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as cause:
            raise errors.optional_package("pandas", "truth") from cause
        return pandas.Series(self.estimates, index=pandas.Index(self.items, name="task"), name="estimate")

    def __str__(self) -> str:
        state = "converged" if self.converged else "not converged"
        size = f"{self.items.size} items, {self.workers.size} workers"
        head = f"{self.method}: {size}, {self.iterations} iterations, {state}"
        order = np.argsort(-self.weights, kind="stable")
        shown = order if order.size <= _SHOWN else np.r_[order[: _SHOWN // 2], order[-_SHOWN // 2 :]]
        width = max(6, *(len(str(self.workers[k])) for k in shown))
        lines = [head, f"{'worker':<{width}}  {'weight':>10}  {'answers':>7}"]
        for place, k in enumerate(shown.tolist()):
            if order.size > _SHOWN and place == _SHOWN // 2:
                lines.append(f"... {order.size - _SHOWN} more")
            reason = f"  {self.reasons[k]}" if self.reasons else ""
            lines.append(f"{self.workers[k]!s:<{width}}  {self.weights[k]:>10.4g}  {self.answers[k]:>7}{reason}")
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remarks)])
