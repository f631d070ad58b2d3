"""FoolsGold: distrust of those whose updates, summed over all rounds, point the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.kernels.interface import GRAM_TILE, Array, Rows
from robustagg.protocol import Block, Client, Floats, Round
from robustagg.rules.base import Rule
from robustagg.rules.checks import one_of, positive
from robustagg.rules.distance import Combination, combined
from robustagg.rules.evidence.geometry import cosines
from robustagg.rules.evidence.gram import Gram

VARIANTS = ("paper", "authors")


@dataclass(frozen=True)
class Likened(Combination):
    """A verdict of FoolsGold."""

    clients: Sequence[Client] = field(kw_only=True)
    """The admitted ones."""
    sums: Floats = field(kw_only=True)
    """(m, rows) what makes the new histories of the rows of a block."""


@dataclass(eq=False)
class FoolsGold(Rule[Likened]):
    r"""The mean of the updates, weighted low for clients whose histories point the same way.

    With :math:`H_i` the sum of client i's updates so far, :math:`c_{ij} = \cos(H_i, H_j)` and
    :math:`v_i = \max_{j \ne i} c_{ij}` (not below 0), each :math:`c_{ij}` with :math:`v_j > v_i` is multiplied by
    :math:`v_i / v_j`; then :math:`a_i = 1 - \max_j c_{ij}`, divided by the highest and clipped to [0, 0.99], and the
    weight is :math:`\kappa (\ln(a_i / (1 - a_i)) + 1/2)`, clipped to [0, 1].

    Parameters
    ----------
    memory : bool
        Whether histories are kept; else each round is judged on its own.
    kappa : float
        Steepness of the last step.
    features : (int, int), optional
        First coordinate, and the one after the last, of what is compared; the whole model where not given. The output
        layer tells sybils best.
    variant : {"paper", "authors"}
        "authors" cuts each update to length 1, and adds the weighted updates up without dividing by the weights' sum.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, if the model's size is not that of the round before or `features`
        lie outside.

    Notes
    -----
    Stops sybils that work together, any number of them; not a single attacker, and it punishes honest clients with like
    data. O(n^2 d), with memory four times as much, one pass. If all histories have the same direction, all weights are
    equal.

    Histories are kept by client id: d numbers for each client that ever took part, twice as many during a round. They
    are arrays in memory; after a round over files they are in a file without a name in the folder of the round's `out`,
    of which nothing is left when the process ends, however it does. What outlives the process is what
    :meth:`Rule.save` has written; :meth:`Rule.load` leaves such histories in the file it reads, so that neither needs
    memory for them.

    References
    ----------
    Fung, Yoon and Beschastnikh, "The Limitations of Federated Learning in Sybil Settings", RAID 2020.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 9.0], [0.0, 0.0, 9.0]])
    >>> ra.FoolsGold()(updates)
    array([0.5, 0.5, 0. ])
    """

    differences = True
    by_client = True

    memory: bool = True
    kappa: float = 1.0
    features: Sequence[int] | None = None
    variant: str = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kappa = positive("kappa", self.kappa)
        one_of("variant", self.variant, VARIANTS)
        if self.features is not None:
            self.features = _span(self.features)

    @property
    def remembers(self) -> bool:
        return self.memory

    @property
    def further_rows(self) -> int:
        return 3 if self.memory else 1  # histories old and new, and in any case wider rows where 16 bits are sent

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Gram.nbytes(2 * n if self.memory else n)

    # --- the three verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        if self.features is not None and self.features[1] > round.d:
            raise errors.out_of_range("features", self.features, f"within the model's {round.d} coordinates")

    def observe(self, block: Block, round: Round, verdict: Likened | None) -> tuple[Gram, None]:
        rows = self._rows(block, [round.clients[i] for i in round.kept])
        if self.features is not None:
            rows = within(rows, self.features[0] - block.start, self.features[1] - block.start)
        return Gram.of(rows), None

    def decide(self, evidence: Gram, round: Round) -> Likened:
        geometry, m = evidence.geometry(), len(round.kept)
        clients = [round.clients[i] for i in round.kept]
        known = [i for i, client in enumerate(clients) if client in self._vectors]
        cut = np.ones(m)
        if self.variant == "authors":
            cut /= np.maximum(geometry.relation().norms[:m], 1)
        sums = np.zeros((m, geometry.n))
        sums[:, :m] = np.diag(cut)
        sums[known, np.arange(m, geometry.n)] = 1
        changed = bool(known) or self.variant == "authors"
        similar = alike(cosines(geometry.mixed(sums) if changed else geometry))
        weights = gold(similar, self.kappa)
        coefficients = weights / weights.sum() if self.variant == "paper" else weights * cut
        if geometry.scale is not None:
            coefficients = coefficients * geometry.scale[:m]
        why = [f"likeness {likeness:.3f} to another client" for likeness in similar.max(axis=1)]
        learns = clients if self.memory else ()
        return Likened(
            weights / weights.sum(), why, coefficients=coefficients, clients=clients, sums=sums, learns=learns
        )

    def combine(self, block: Block, note: Any, verdict: Likened) -> Array:
        return combined(block, verdict)

    def learn(self, block: Block, piece: Array, verdict: Likened) -> Array:
        return kernels.active().mix(self._rows(block, verdict.clients), verdict.sums)

    def _rows(self, block: Block, clients: Sequence[Client]) -> list[Array]:
        """The updates, then the histories of those clients that have one."""
        kernel = kernels.active()
        rows = [kernel.widen(row) for row in block.rows]
        here = slice(block.start, block.start + rows[0].size)
        known = (self._vectors[client][here] for client in clients if client in self._vectors)
        return [*rows, *(kernel.narrow(piece, rows[0].dtype) for piece in known)]

    def _restore(self, state: Mapping[str, Any]) -> None:
        if "history" in state:  # as 0.1 wrote it
            state = {**state, "vectors": state["history"]}
        super()._restore(state)


def alike(cosine: Floats) -> Floats:
    """How like each client is to each other one, less where the other is more like a third."""
    similar = cosine - np.diag(np.diagonal(cosine))
    most = similar.max(axis=1)  # not below 0, which is on the diagonal
    other = np.broadcast_to(most, similar.shape)
    return np.asarray(similar * np.where(other > most[:, None], most[:, None] / np.where(other > 0, other, 1), 1))


def gold(similar: Floats, kappa: float) -> Floats:
    """The weights of clients of such likenesses; not all zero."""
    a = np.clip(1 - similar.max(axis=1), 0, 1)
    if not a.max() > 0:
        return np.ones_like(a)
    a = a / a.max()
    a[a == 1] = 0.99
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(kappa * (np.log(a / (1 - a)) + 0.5), 0, 1))


def within(rows: Rows, first: int, end: int) -> list[Array]:
    """The coordinates from `first` to `end`, and zeros before them from where a tile of the Gram matrix begins."""
    first, end = max(first, 0), max(end, first, 0)
    begin = first // GRAM_TILE * GRAM_TILE
    return kernels.active().window(rows, begin, end, first)


def _span(features: Any) -> list[int]:
    """First and end, in the list that a file makes of any sequence."""
    if isinstance(features, (tuple, list)) and len(features) == 2 and all(type(end) is int for end in features):
        start, stop = features
        if 0 <= start < stop:
            return [start, stop]
    raise errors.out_of_range("features", features, "None, or two integers, 0 <= first < end")
