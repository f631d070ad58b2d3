"""FLDetector: whose updates do not follow from their last ones as the model's curvature says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.memory import states
from robustagg.memory.vectors import Vector
from robustagg.protocol import Block, Client, Floats, Round, Verdict
from robustagg.rules.base import Rule
from robustagg.rules.checks import whole
from robustagg.rules.distance import Combination, combined, scaled, selection
from robustagg.rules.evidence.geometry import Geometry
from robustagg.rules.evidence.gram import Gram

NOTHING = 1e-24  # of the greatest squared length: what is shorter is zero but for rounding
RIGHT = 1e-6  # of the median length: a prediction that is off by less is off by rounding
REFERENCES = 10  # uniform samples that the gap statistic compares with, as in the authors' code


@dataclass
class Record:
    """What is remembered of a client besides its last update."""

    scores: list[float] = field(default_factory=list)
    """The last ones, at most a window of them."""
    since: int | None = None
    """Round in which it was excluded."""
    seen: int | None = None
    """How many rounds were completed before its last update."""


@dataclass(frozen=True)
class Detected(Combination):
    """A verdict, and what becomes of the records."""

    records: Mapping[Client, Record] = field(kw_only=True)
    clients: Sequence[Client] = field(kw_only=True)
    """The admitted ones."""


@dataclass(eq=False)
class FLDetector(Rule[Verdict]):
    r"""The mean of the clients whose updates follow from their last ones; whoever's do not is excluded from then on.

    With A(t) the result of round t and H the L-BFGS Hessian of the last results, a client's update is predicted as

    .. math:: \hat g_i(t) = g_i(t-1) + H\, A(t-1),

    where it has missed rounds from its last update and the sum of all results since. Its score is
    :math:`\lVert \hat g_i - g_i\rVert` beside all clients' mean, meant over a window of rounds. Where the gap statistic
    of the scores tells more than one cluster, those of the higher scores, by 2-means, are excluded.

    Parameters
    ----------
    window : int
        Rounds over which scores are meant; and results, less the first, that make the Hessian.
    start : int, optional
        Rounds that are completed before anybody is excluded; `window` where not given.
    readmit : int, optional
        Rounds after which an excluded client is heard again, without scores; None: never.
    seed : int
        Of the gap statistic's uniform samples, together with the number of the round.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range; in a round, if the model's size is not that of the round before.

    Notes
    -----
    Updates must be differences from the global model, and the result what the model moves by; a constant factor
    between the two changes nothing. O((2n + window)^2 d), two passes. Remembers by client id: an update of each
    client that ever took part, and window + 1 results, on disk after a round over files. A client without a last
    update, or whose last is from before those results, has no score yet; fewer than three scores tell nothing. Scores
    are stretched to [0, 1] before the gap statistic, so that lasting differences, however small, exclude honest clients
    too. 2-means of scores is exact; the authors' is scikit-learn's, and they detect once and begin training anew. The
    mean is weighted by `sample_counts` where given; where all who sent are excluded, the result is zero and so are all
    weights.

    References
    ----------
    Zhang et al., "FLDetector: Defending Federated Learning Against Model Poisoning Attacks via Detecting Malicious
    Clients", KDD 2022.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> rng, rule = np.random.default_rng(0), ra.FLDetector(window=3)
    >>> for number in range(5):
    ...     updates = 0.9**number * np.ones((6, 50)) + 0.01 * rng.normal(size=(6, 50))
    ...     updates[5] = rng.normal(size=50)
    ...     result = rule.aggregate(updates)
    >>> result.weights
    array([0.2, 0.2, 0.2, 0.2, 0.2, 0. ])
    """

    differences = True
    weighs_samples = True
    linear = True
    by_client = True

    window: int = 10
    start: int | None = None
    readmit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.window = whole("window", self.window, 1)
        self.start = None if self.start is None else whole("start", self.start)
        self.readmit = None if self.readmit is None else whole("readmit", self.readmit, 1)
        self.seed = whole("seed", self.seed)
        self._records: dict[Client, Record] = {}
        self._rounds = 0

    @property
    def remembers(self) -> bool:
        return True

    @property
    def further_rows(self) -> int:
        return 3  # last updates old and new, and in any case wider rows where 16 bits are sent

    def evidence_bytes(self, n: int, d: int, itemsize: int) -> int:
        return Gram.nbytes(2 * n + self.window + 1)

    # --- the verbs ---

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Gram, None]:
        return Gram.of(self._rows(block, admitted(round))), None

    def decide(self, evidence: Gram, round: Round) -> Verdict:
        geometry, clients = evidence.geometry(), admitted(round)
        records = {client: self._record(client, round.number) for client in clients}
        for client, score in self._scores(geometry, clients).items():
            records[client].scores = [*records[client].scores, score][-self.window :]
        self._exclude(records, round.number)
        chosen = np.array([record.since is None for record in records.values()])
        verdict = selection(np.flatnonzero(chosen), [told(record) for record in records.values()], round)
        weights = verdict.weights if chosen.any() else np.zeros(len(clients))
        learns = [self._slot(self._rounds), *map(of_client, clients)]
        made = Detected(weights, verdict.reasons, coefficients=weights, records=records, clients=clients, learns=learns)
        return scaled(made, geometry.scale)

    def combine(self, block: Block, note: Any, verdict: Verdict) -> Array:
        return combined(block, verdict)

    def learn(self, block: Block, piece: Array, verdict: Verdict) -> Array:
        assert isinstance(verdict, Detected)
        kernel = kernels.active()
        return kernel.stack([piece, *map(kernel.widen, block.rows[: len(verdict.clients)])])

    def commit(self, verdict: Verdict, round: Round, vectors: Mapping[Client, Vector]) -> None:
        assert isinstance(verdict, Detected)
        super().commit(verdict, round, vectors)
        self._records |= verdict.records
        self._rounds += 1

    # --- what is remembered ---

    def for_worker(self, vectors: Mapping[Client, Vector]) -> FLDetector:
        twin = super().for_worker(vectors)
        twin._records = {}
        return twin

    def _slot(self, rounds: int) -> str:
        """Where the result of a round is, given how many were before it."""
        return f"result {rounds % (self.window + 1)}"

    @property
    def _results(self) -> list[str]:
        """Where the last results are, the oldest first."""
        return [self._slot(k) for k in range(max(self._rounds - self.window - 1, 0), self._rounds)]

    def _rows(self, block: Block, clients: Sequence[Client]) -> Rows:
        """The updates, the last updates of those clients that have one, and the last results."""
        kernel = kernels.active()
        rows = [kernel.widen(row) for row in block.rows]
        here = slice(block.start, block.start + rows[0].size)
        names = [*(name for name in map(of_client, clients) if name in self._vectors), *self._results]
        return [*rows, *(kernel.narrow(self._vectors[name][here], rows[0].dtype) for name in names)]

    def _record(self, client: Client, number: int) -> Record:
        """A client's record as the round begins."""
        record = self._records.get(client, Record())
        back = record.since is not None and self.readmit is not None and number >= record.since + self.readmit
        scores, since = ([], None) if back else (record.scores, record.since)
        return Record(scores, since, self._rounds)

    # --- scores ---

    def _scores(self, geometry: Geometry, clients: Sequence[Client]) -> dict[Client, float]:
        """The scores of this round, of the clients that have a last update."""
        known = [i for i, client in enumerate(clients) if of_client(client) in self._vectors]
        p, m = len(self._results), len(clients)
        missed = np.array([self._rounds - (self._records[clients[i]].seen or 0) for i in known])
        recent = np.flatnonzero(missed <= p)  # all results since are there
        if p < 2 or not len(recent):
            return {}
        known = [known[k] for k in recent]
        since = np.arange(p, 0, -1) <= missed[recent, None]
        errors_of = np.zeros((len(known), geometry.n))
        errors_of[np.arange(len(known)), known] = -1
        errors_of[np.arange(len(known)), m + recent] = 1
        errors_of[:, -p:] = since @ curvature(geometry.inner[-p:, -p:]).T
        norms = geometry.mixed(errors_of).relation().norms
        norms[norms <= RIGHT * np.median(geometry.relation().norms[known])] = 0.0
        parts = norms / norms.max() if norms.max() > 0 else np.ones_like(norms)
        return {clients[i]: score for i, score in zip(known, (parts / parts.mean()).tolist(), strict=True)}

    def _exclude(self, records: Mapping[Client, Record], number: int) -> None:
        """Exclude the cluster of higher scores, where there are two."""
        judged = [record for record in records.values() if record.scores and record.since is None]
        if self._rounds < (self.window if self.start is None else self.start) or len(judged) < 3:
            return
        means = np.array([np.mean(record.scores) for record in judged])
        if clustered(means, np.random.default_rng([self.seed, number])):
            for record, bad in zip(judged, two_means(means)[1].tolist(), strict=True):
                record.since = number if bad else None

    # --- memory ---

    def _state(self) -> dict[str, Any]:
        records = [[client, record.scores, record.since, record.seen] for client, record in self._records.items()]
        return {**super()._state(), "rounds": self._rounds, "records": records}

    def _restore(self, state: Mapping[str, Any]) -> None:
        records, rounds = {}, whole("rounds", state["rounds"])
        for client, scores, since, seen in state["records"]:
            if not all(isinstance(score, float) and 0 <= score < math.inf for score in scores):
                raise errors.bad_record("scores", "numbers of at least 0")
            since = None if since is None else whole("since", since)
            if whole("seen", seen) >= rounds:
                raise errors.bad_record("records", "of rounds that are completed")
            records[states.checked_name(client)] = Record(list(scores), since, seen)
        super()._restore(state)
        self._records, self._rounds = records, rounds
        if not {*self._results, *map(of_client, records)} <= self._vectors.keys():
            raise errors.bad_record("vectors", "the last updates and results")


def admitted(round: Round) -> list[Client]:
    return [round.clients[i] for i in round.kept]


def of_client(client: Client) -> str:
    """The name of a client's last update."""
    return f"update of {client!r}"


def told(record: Record) -> str:
    """What speaks for a client or against it."""
    count = len(record.scores)
    score = f"score {np.mean(record.scores):.3g} over {count} rounds" if count else "no score yet"
    return score if record.since is None else f"{score}, excluded since round {record.since}"


def curvature(inner: Floats) -> Floats:
    """(p, p) H in terms of results A(0) ... A(p - 1) of these inner products, from all of them.

    H is the compact form of L-BFGS (Byrd, Nocedal and Schnabel 1994) with steps A(k) and changes A(k + 1) - A(k).
    """
    none = np.diagonal(inner) <= NOTHING * np.diagonal(inner).max()  # whose products are rounding
    inner = np.where(none[:, None] | none, 0.0, inner)
    p = len(inner)
    steps = np.eye(p)[:-1]
    changes = np.eye(p)[1:] - steps
    size = steps[-1] @ inner @ steps[-1]
    sigma = changes[-1] @ inner @ steps[-1] / size if size > 0 else 0.0
    across = steps @ inner @ changes.T
    lower = np.tril(across, -1)
    middle = np.block([[sigma * (steps @ inner @ steps.T), lower], [lower.T, -np.diag(np.diagonal(across))]])
    basis = np.vstack([sigma * steps, changes])
    return np.asarray(sigma * np.eye(p) - basis.T @ np.linalg.lstsq(middle, basis @ inner, rcond=1e-12)[0])


def two_means(values: Floats) -> tuple[float, NDArray[np.bool_]]:
    """Least sum of squares within two clusters of numbers, and who is in the one of greater numbers."""
    ranked = np.sort(values)
    within = [np.square(part - part.mean()).sum() for k in range(1, len(ranked)) for part in np.split(ranked, [k])]
    sums = np.array(within[::2]) + within[1::2]
    best = int(sums.argmin())
    return float(sums[best]), values > ranked[best]


def clustered(values: Floats, rng: np.random.Generator) -> bool:
    """Whether the gap statistic tells more than one cluster (Tibshirani, Walther and Hastie 2001)."""
    spread = np.ptp(values)
    if not spread > 0:
        return False
    samples = rng.uniform(size=(REFERENCES, len(values)))
    gaps = []
    for within in (lambda part: np.square(part - part.mean()).sum(), lambda part: two_means(part)[0]):
        logs = np.log([within(sample) for sample in samples])
        mean = np.log(np.mean(np.exp(logs)))
        gaps.append((mean - np.log(max(within((values - values.min()) / spread), 1e-300)), logs.std()))
    (one, _), (two, deviation) = gaps
    return bool(one < two - math.sqrt(1 + 1 / REFERENCES) * deviation)
