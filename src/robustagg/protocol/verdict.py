"""The decision: what a rule makes of the clients of a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from robustagg.names import Client, Floats


class Standing(NamedTuple):
    """What a rule with a memory knows of each of a round's n clients, the excluded ones included. Never written to."""

    accepted: NDArray[np.int64]
    rejected: NDArray[np.int64]
    observed: Floats
    reputation: Floats


class Words(Sequence[str]):
    """Words on clients that are written when somebody reads them, of facts that nobody changes.

    Parameters
    ----------
    write : function
        Makes them of the facts; of a module, so that they go to other processes.
    *facts
        Few and small, as the trail of a ledger keeps them for a thousand rounds.
    """

    def __init__(self, write: Callable[..., Sequence[str]], *facts: Any) -> None:
        self._write, self._facts = write, facts

    @cached_property
    def _written(self) -> Sequence[str]:
        return self._write(*self._facts)

    def __len__(self) -> int:
        return len(self._written)

    def __iter__(self) -> Iterator[str]:
        return iter(self._written)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._written[index]


@dataclass(frozen=True)
class Certificate:
    r"""How far a round's result can be from the coordinate-wise median, a fact about this round.

    The result is a weighted mean of rectified updates, so that by convexity its distance from the median is at most the
    weighted mean of theirs, in any norm, and whatever the weights at most the largest of theirs.

    Attributes
    ----------
    weights : (n,) float64
        Each client's share of the result.
    distances : (n,) float64
        L2 distance of each client's rectified update from the median; 0 for who is not admitted.
    extremes : (n,) float64
        The largest absolute coordinate of the same difference.

    Notes
    -----
    In exact arithmetic, of the updates in the dtype that is computed in: the result's own rounding to its dtype comes
    on top, differences below 1e-149 count as none, and distances above 1.8e308 as that. The derivation, and what it
    does not say, stand in ``docs/guarantees.md``.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> honest = np.random.default_rng(0).normal(0, 0.01, (6, 100))
    >>> result = ra.Reputation().aggregate([*honest, np.ones(100)], certify=True)
    >>> distance = np.linalg.norm(result.update - np.median([*honest, np.ones(100)], axis=0))
    >>> bool(distance <= result.certificate.l2 <= result.certificate.worst_l2 < 0.2)
    True
    """

    weights: Floats
    distances: Floats
    extremes: Floats

    @property
    def l2(self) -> float:
        """The result's L2 distance from the median is at most this."""
        return float(self.weights @ self.distances)

    @property
    def largest(self) -> float:
        """No coordinate of the result is further from the median than this."""
        return float(self.weights @ self.extremes)

    @property
    def worst_l2(self) -> float:
        """The L2 distance is at most this whatever weights the reputations give."""
        return float(self.distances.max())

    @property
    def worst_largest(self) -> float:
        """No coordinate is further than this whatever weights the reputations give."""
        return float(self.extremes.max())

    def to_dict(self) -> dict[str, Any]:
        """The four bounds, and each client's part in them, ready for :func:`json.dumps`."""
        bounds = {name: getattr(self, name) for name in ("l2", "largest", "worst_l2", "worst_largest")}
        return {**bounds, "distances": self.distances.tolist(), "extremes": self.extremes.tolist()}


@dataclass(frozen=True, init=False)
class Verdict:
    """A rule's decision on the m admitted clients of a round."""

    weights: Floats
    """(m,) how much of the result is each client's; sums to 1."""
    reasons: Sequence[str]
    """(m,) why, in words."""
    standing: Standing | None = None
    again: bool = False
    """Observe every block once more, with this verdict in hand, before combining."""
    certificate: Certificate | None = field(default=None, kw_only=True)
    """How far the result can be from the median, where the round asks for it."""
    learns: Sequence[Client] = field(default=(), kw_only=True)
    """Names of the vectors of the model's size that the rule will remember of this round."""

    def __init__(
        self,
        weights: Floats,
        reasons: Sequence[str],
        standing: Standing | None = None,
        again: bool = False,
        *,
        certificate: Certificate | None = None,
        learns: Sequence[Client] = (),
    ) -> None:
        told = {"weights": weights, "reasons": reasons, "standing": standing, "again": again}
        self.__dict__.update(told, certificate=certificate, learns=learns)  # a microsecond less than one by one
