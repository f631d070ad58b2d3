"""LFighter: two groups of clients by what they do to the two classes that most is done to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.inputs.policy import fits
from robustagg.kernels.interface import Array
from robustagg.protocol import Block, Floats, Round, Span, Verdict, spans
from robustagg.rules.base import Rule
from robustagg.rules.checks import one_of
from robustagg.rules.distance import combined, selection
from robustagg.rules.evidence.clusters import two_means
from robustagg.rules.evidence.geometry import Geometry, blurred, cosines
from robustagg.rules.evidence.gram import Gram, Related
from robustagg.rules.evidence.tensors import ByTensor

NEURON = 1024  # bytes that the sums of a neuron take besides those of its clients, about


@dataclass(frozen=True)
class Chosen(Verdict):
    """A verdict that some tensors are to be looked at."""

    spans: Sequence[Span] = field(kw_only=True)


@dataclass(eq=False)
class LFighter(Rule[Verdict]):
    r"""The mean of the larger or less dense of two groups of clients, told apart by two neurons of the output layer.

    The two neurons whose updates are longest, summed over the clients, are taken for the source and the target of a
    label flip. 2-means on the clients' updates of both together makes two groups; of these the one of the higher score

    .. math:: \frac{n_k}{n} \bigl(1 - \frac{1}{n_k} \sum_{i \in k} \min_{j \in k} \cos(u_i, u_j)\bigr)

    is kept. Where there are at most two neurons, all of the tensor is looked at.

    Parameters
    ----------
    head : str
        Pattern of the output layer's weight, as :class:`Policy` takes them; of several tensors that fit, the last. By
        default the last tensor of two axes or, without one, the last tensor. Frameworks sort names: what comes last
        need not be the output layer.
    variant : {"paper", "authors"}
        "authors": a client's cosine to itself counts as 0, so that directions decide only where some are opposed.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, if no tensor fits `head`.
    ImportError
        In a round, without scikit-learn (``robustagg[cluster]``).

    Notes
    -----
    Updates must be differences from the global model, and a neuron a row of the head: (classes, inputs), as in torch.
    O(n d') of the head, O(n^2 d') of two neurons, three passes. 2-means begins at each client and the one farthest from
    it. Of equal scores the larger group is kept, of equally large ones both. Weighted by `sample_counts` where given.
    The authors add the biases to the neurons' lengths, and begin 2-means at random. Their filter for clients of one
    class each is not here.

    References
    ----------
    Jebreel, Domingo-Ferrer, Sánchez and Blanco-Justicia, "LFighter: Defending against the label-flipping attack in
    federated learning", Neural Networks 170, 2024.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> rng, head = np.random.default_rng(0), np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 0.1]])
    >>> updates = [{"body": np.ones(2), "head": head + rng.normal(size=(3, 2))} for _ in range(6)]
    >>> updates += [{"body": np.full(2, 9.0), "head": -head}] * 3
    >>> ra.LFighter(head="head")(updates)["body"]
    array([1., 1.])
    """

    differences = True
    weighs_samples = True
    linear = True
    by_tensor = True

    head: str = ""
    variant: str = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.head, str):
            raise errors.out_of_range("head", self.head, "a pattern of names")
        one_of("variant", self.variant, ("paper", "authors"))

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Gram.nbytes(n)

    def tensors_bytes(self, n: int, spans: Sequence[Span]) -> int:
        return (NEURON + 300 * n) * max((span.shape[0] for span in spans if len(span.shape) == 2), default=1)

    # --- the verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        self._head(round)

    def prepare(self, round: Round) -> tuple[Span, ...]:
        """The neurons of the output layer; all of it, where they are two at most."""
        head = self._head(round)
        if head is None:
            return ()
        if len(head.shape) < 2 or head.shape[0] <= 2 or not head.size:
            return (head,)
        return spans(((f"{head.name}[{k}]", head.shape[1:]) for k in range(head.shape[0])), head.start)

    def _head(self, round: Round) -> Span | None:
        """The output layer's weight; None of a model without tensors."""
        if self.head:
            named = [span for span in round.spans if fits(span.name, self.head)]
            if not named:
                raise errors.no_such_tensor(self.head, [span.name for span in round.spans])
            return named[-1]
        matrices = [span for span in round.spans if len(span.shape) == 2]
        return next(reversed(matrices or round.spans), None)

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[ByTensor[Any], None]:
        if isinstance(verdict, Chosen):
            return ByTensor.of(block, verdict.spans, lambda k, rows: Gram.of(rows)), None
        look = Related.of if len(round.prepared) > 2 else Gram.of
        return ByTensor.of(block, round.prepared, lambda k, rows: look(rows)), None

    def decide(self, evidence: ByTensor[Any], round: Round) -> Verdict:
        m, parts = len(round.kept), evidence.seen
        if parts and isinstance(parts[0], Related):
            longest = np.argsort(-lengths([parts[k] for k in sorted(parts)]), kind="stable")[:2]
            chosen = [round.prepared[k] for k in sorted(longest.tolist())]
            return Chosen(np.full(m, 1 / m), ["to be read again"] * m, again=True, spans=chosen)
        gram = reduce(add, parts.values(), Gram.sum(np.zeros((0, m + 1, m + 1))))
        return self._judged(gram.geometry(), round)

    def _judged(self, geometry: Geometry, round: Round) -> Verdict:
        first, cosine = two_means(geometry), cosines(geometry)
        groups = [group for group in (first, ~first) if group.any()]
        if self.variant == "authors":
            np.fill_diagonal(cosine, 0)
        scores = blurred(np.array([score(cosine, group) for group in groups]))
        ranks = [(rank, int(group.sum())) for rank, group in zip(scores.tolist(), groups, strict=True)]
        kept = np.any([group for rank, group in zip(ranks, groups, strict=True) if rank == max(ranks)], axis=0)
        told = ["" for _ in first]
        for group, (rank, size) in zip(groups, ranks, strict=True):
            for i in np.flatnonzero(group).tolist():
                told[i] = f"in a group of {size} of {len(first)}, score {rank:.3g}"
        return selection(np.flatnonzero(kept), told, round)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)


def lengths(parts: Sequence[Related]) -> Floats:
    """(neurons,) lengths, summed over the clients."""
    most = np.finfo(np.float64).max
    relations = [part.relation() for part in parts]
    norms = np.array([r.norms if r.scale is None else np.minimum(r.norms / r.scale, most) for r in relations])
    return blurred((norms / max(norms.max(), 1e-300)).sum(axis=1))


def score(cosine: Floats, group: NDArray[np.bool_]) -> float:
    """How large and how wide a group is."""
    return float(group.mean() * (1 - cosine[np.ix_(group, group)].min(axis=1).mean()))
