"""What every rule is: parameters, and the verbs observe, decide, combine and learn."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from robustagg import engine, errors, inputs
from robustagg.kernels.interface import Array
from robustagg.memory.vectors import Vector
from robustagg.names import SampleCounts
from robustagg.protocol import Block, Client, Executor, Floats, Holder, Result, Round, Source, Span, Verdict
from robustagg.rules.checks import one_of
from robustagg.rules.saving import Saved

if TYPE_CHECKING:
    from typing_extensions import Self, TypeVar

    V = TypeVar("V", bound=Verdict, default=Any)  # so that an annotation may say Rule alone
else:
    from typing import TypeVar

    V = TypeVar("V", bound=Verdict)

CERTIFY = "certify"
NONFINITE = ("reject", "raise")


@dataclass(eq=False, kw_only=True)
class Rule(Saved, Generic[V]):
    """Base of all rules: a dataclass of parameters, with state only where a rule remembers.

    A subclass writes :meth:`combine`, and, where it weighs clients, :meth:`observe` and :meth:`decide`. Evidence of
    blocks is added up by ``+``; whatever a block needs to remember until it is combined is its note, which stays as it
    is. Vectors of the model's size that a rule remembers come from :meth:`learn`. V is the kind of its verdicts.

    What a rule can do are attributes, set where they differ: ``weighs_samples = True``.
    """

    nonfinite: str = "reject"

    def __post_init__(self) -> None:
        one_of("nonfinite", self.nonfinite, NONFINITE)
        super().__post_init__()

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # two rules that share their memory would both be wrong

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        with engine.turn(self):
            twin = object.__new__(type(self))
            memo[id(self)] = twin
            twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    # --- what a rule can do ---

    @property
    def observes(self) -> bool:
        """Whether the rule looks at the blocks before it combines them."""
        return type(self).observe is not Rule.observe

    @property
    def readings(self) -> int:
        """How often it looks at each block before it combines them; the least that it may be."""
        return int(self.observes)

    @property
    def weighs_samples(self) -> bool:
        """Whether `sample_counts` mean something to the rule."""
        return False

    @property
    def extras(self) -> frozenset[str]:
        """Names of further arguments of :meth:`aggregate`."""
        return frozenset()

    @property
    def linear(self) -> bool:
        """Whether the result is the verdict's weights, or coefficients, times the rows."""
        return False

    @property
    def by_client(self) -> bool:
        """Whether the rule must know which client each row is of."""
        return False

    @property
    def by_tensor(self) -> bool:
        """Whether the rule must know which coordinates are of which tensor, ``round.spans``."""
        return False

    @property
    def unguarded(self) -> bool:
        """Whether it reads rows itself: they lie at the host then, and NaN and infinity have been looked for before."""
        return not self._ours

    @property
    def remembers(self) -> bool:
        """Whether a round depends on those before by more than its number."""
        return False

    @property
    def further_rows(self) -> int:
        """Rows per client that the rule holds of a block besides the client's own: memories, mixed rows."""
        return 0

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        """Bytes that its evidence of n clients takes, whatever the width of a block; 0 for a few numbers per client."""
        return 0

    def tensors_bytes(self, n: int, spans: Sequence[Span]) -> int:
        """Bytes that evidence by tensor takes besides."""
        return 0

    # --- what a user calls ---

    def aggregate(
        self,
        updates: Any,
        clients: Iterable[Client] | None = None,
        sample_counts: SampleCounts | None = None,
        round: int | None = None,
        strict: bool = False,
        buffers: Mapping[str, str] | None = None,
        policy: inputs.Policy | None = None,
        reference: Any = None,
        executor: Holder | None = None,
        **extras: Any,
    ) -> Result:
        """Turn one round of clients' updates into one update.

        Parameters
        ----------
        updates : (n, d) array, iterable of n updates, or mapping from client to update
            An update is a flat tensor, or nested mappings, sequences, dataclasses or registered nodes of tensors (a
            state dict): float8, float16, bfloat16, float32 or float64, from NumPy, torch, JAX, CuPy, or anything
            with the array protocol, DLPack or the buffer protocol. The model is the most common structure (paths,
            shapes, dtypes), of several the first; a client that sent something else is left out, and the result
            says why. What is no tensor (None, flags, words) must be the same for most clients, and passes through.
            Nothing is written to the tensors. What lies on a device is aggregated there, with the backend for it, else
            copied to the host; large contiguous host tensors are not copied, others a slice at a time. The result has
            the machine's own byte order.
        clients : iterable of n str or int, optional
            Who sent what, in at most 1,024 characters each; defaults to 0 ... n - 1, or to the keys of the mapping.
        sample_counts : sequence of n numbers, or mapping from client to number, optional
            Training samples of each client, for rules that weigh by them. A pandas Series is a mapping from its index.
        round : int, optional
            Number of the round; defaults to the previous one plus 1.
        strict : bool
            Whether an update that cannot be used is an error.
        buffers : mapping from pattern to action, optional
            What the result holds of tensors that do not vote, by their dotted path, of several patterns the first:
            ``{"*.running_*": "median", "*.num_batches_tracked": "max"}``. The actions are "median" (the lower one),
            "max", "min", "first" (of the admitted clients) and "equal" (most clients must agree, others are left
            out). Without one, integer tensors of up to 16 values, such as step counters, get the lower median; larger
            ones, or small ones with a scale beside them, may be quantised weights and must be equal.
        policy : Policy, optional
            Which tensors vote, are counted, and how, in place of `buffers`; without one, every floating tensor does.
        reference : tree like the updates, optional
            The global model, where updates are whole parameters: the rule sees the differences from it, made piece by
            piece (of halves in float32, of others in their own dtype), and the result is whole parameters again. The
            rules of which ``differences`` holds need it, or updates that are differences.
        executor : Holder, optional
            Whose workers hold the updates, such as :class:`robustagg.engine.ray.Ray`: each update is then a reference
            to one, and so is the result's. The bits are the same.
        **extras
            What some rules need besides, see their own documentation; tensors among them are differences always.
            ``certify=True``, of :class:`Reputation`: the result has a certificate.

        Returns
        -------
        Result
            The update, and the weight and reason of each client.

        Raises
        ------
        TypeError, ValueError
            If something of this does not hold; the text names the client. The rule is then as it was before.
        """
        policy = inputs.Policy.of(buffers, policy)
        if executor is not None:
            there = inputs.by_reference(executor, updates, clients, strict=strict, policy=policy)
            extras = {name: there.brought(name, value) for name, value in extras.items()}
            spread: Source = there
            if reference is not None:
                spread = inputs.Relative(there, there.brought("reference", reference))
            return self.hold(spread, policy, sample_counts, round, extras, executor=there.holder)
        turned = self.isometric and reference is None and not extras
        stay = not self.unguarded
        found = inputs.gather(updates, clients, strict=strict, policy=policy, isometric=turned, resident=stay)
        source: Source = found if reference is None else inputs.Relative(found, reference)
        with found.near():
            return self.hold(source, policy, sample_counts, round, extras)

    def hold(
        self,
        source: Source,
        policy: inputs.Policy,
        sample_counts: SampleCounts | None = None,
        number: int | None = None,
        extras: Mapping[str, Any] | None = None,
        remarks: Mapping[int, str] | None = None,
        executor: Executor | None = None,
    ) -> Result:
        """One round over any source, under a policy, which the ledger of a rule keeps."""
        with engine.turn(self):
            self.check_policy(policy)
            before = self.last_round
            try:
                return engine.run(self, source, sample_counts, number, extras, remarks, executor)
            finally:
                if self.last_round != before:  # also where Ctrl-C has waited for the round to be done
                    self._policy = policy.told()

    def check_policy(self, policy: inputs.Policy) -> None:
        """Whether a ledger's rounds may go on under this policy; raises InvalidLedger if not."""
        if self._policy is not None and self._past.stamps and self._policy != policy.told():
            raise errors.other_policy(self._policy, policy.told())

    def __call__(self, updates: Any, **arguments: Any) -> Any:
        """The update alone: ``rule.aggregate(updates, ...).update``."""
        return self.aggregate(updates, **arguments).update

    # --- what the engine calls ---

    def check(self, round: Round) -> None:
        """Whether the rule can do this round; raises if not."""
        super().check(round)
        if self._vectors:
            self.check_size(round)
        if round.sample_counts is not None and not self.weighs_samples:
            raise errors.sample_counts_unused(type(self).__name__)
        for name in round.extras:
            if name not in self.extras:
                kind = type(self).__name__
                raise errors.cannot_certify(kind) if name == CERTIFY else errors.unknown_argument(kind, name)

    def check_size(self, round: Round) -> None:
        """Whether the model has as many coordinates as what is remembered of it; raises if not."""
        for vector in self._vectors.values():
            if vector.size != round.d:
                raise errors.other_size(vector.size, round.d)

    def references(self, round: Round) -> Mapping[str, Any]:
        """Trees, by name, whose rows every block shall hold after the clients' rows."""
        return {}

    def prepare(self, round: Round) -> Any:
        """What is drawn once a round, in ``round.prepared`` for the verbs below."""
        return None

    def observe(self, block: Block, round: Round, verdict: V | None) -> tuple[Any, Any]:
        """(evidence, note) of one block; `verdict` is the previous pass's, if there was one."""
        raise NotImplementedError

    def decide(self, evidence: Any, round: Round) -> V:
        """Weigh the admitted clients on the sum of all evidence. Changes no state."""
        return equal(len(round.kept))  # type: ignore[return-value]

    @abstractmethod
    def combine(self, block: Block, note: Any, verdict: V) -> Array:
        """The block's coordinates of the result."""

    def learn(self, block: Block, piece: Array, verdict: V) -> Array:
        """The block's coordinates of the vectors that ``verdict.learns`` names, one in a row.

        Called where it names some; `piece` is what :meth:`combine` has given.
        """
        raise NotImplementedError

    def commit(self, verdict: V, round: Round, vectors: Mapping[Client, Vector]) -> None:
        """Remember a completed round, and in place of all vectors these."""
        self._last_round = round.number
        self._vectors = vectors

    def record(self, result: Result) -> None:
        """Keep what became of a completed round's clients for the trail, until it is saved."""
        self._past.add(result.outcome)


def load(path: str | Path) -> Rule[Any]:
    """The rule that :meth:`Rule.save` has written, of whatever kind; one of your own must have been imported.

    Parameters
    ----------
    path : path

    Returns
    -------
    Rule

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidLedger
        If it does not hold the state of a rule that is known here; a ValueError.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile, numpy as np, robustagg as ra
    >>> rule = ra.Pipeline(ra.NNM(f=1), ra.CenteredClipping(tau=1.0))
    >>> update = rule(np.ones((4, 3)))
    >>> rule.save(path := tempfile.mkdtemp() + "/state")
    >>> ra.load(path).last_round
    1
    """
    return Rule.load(path)


@lru_cache(maxsize=16)
def equal(m: int) -> Verdict:
    """The verdict that all of m clients weigh the same: round after round the same one, which nobody can write to."""
    weights = np.full(m, 1 / m)
    weights.flags.writeable = False
    return Verdict(weights, ("equal weight",) * m)


def shares(weights: Floats, counts: Floats | None) -> Floats:
    """Weights times sample counts, summing to 1; where all products vanish, the counts alone, or equal shares."""
    if counts is None:
        total = np.add.reduce(weights)  # what `weights.sum()` calls, by way of Python
        return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
    if not counts.max() > 0:
        raise errors.no_samples()
    counts = counts / counts.max()  # the sum of huge counts stays finite
    product = weights * counts
    product = product if product.sum() > 0 else counts
    return np.asarray(product / product.sum())
