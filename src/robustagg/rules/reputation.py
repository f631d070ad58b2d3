"""The reputation rule of Chu et al. (NDSS 2023)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels, ledger
from robustagg.kernels.interface import Array, Confidence, Detection, Rescale
from robustagg.memory import states
from robustagg.memory.vectors import Vector
from robustagg.protocol import Block, Client, Floats, Round, Standing, Verdict, Words
from robustagg.rules.base import CERTIFY, Rule, shares
from robustagg.rules.checks import not_negative, number, one_of, positive, share, whole, yes_or_no
from robustagg.rules.evidence.deviation import Deviations, Judged
from robustagg.rules.evidence.geometry import TO_SIGMA

INTERCEPTS = ("separate", "hierarchical", "median_point")
RESCALES = ("clip", "paper")
NORMALIZATIONS = ("median", "minmax", "sum")
LEAST, NO_SAMPLES = "least reputable of the round; ", "no samples; "
ROUNDING = 1e-12  # of reputations that are equal
LEAST_SPREAD = 0.02  # of reputations, lest near-equal ones differ
PUBLISHED = {
    "value_range": 2.0,
    "interval_width": 2.0,
    "confidence_threshold": 0.1,
    "positive_weight": 0.3,
    "prior": 0.5,
    "prior_weight": 2.0,
    "decay": 0.5,
    "window": 10,
    "intercept": "separate",
    "rescale": "paper",
    "normalize": "minmax",
    "newcomer": None,
}
"""The paper's own settings; its text has no scale_floor."""


@dataclass(eq=False, kw_only=True)
class Reputation(Rule[Verdict]):
    r"""Reputation-weighted mean of updates whose outlying coordinates were rectified.

    Per coordinate, a repeated-median line through the sorted values; a value whose residual is too large for the
    line,

    .. math:: C_i = \min\bigl(1, Z\sqrt{2/M}\,\sqrt{1-h_i}\;\tau/|r_i|\bigr) < \delta,

    is replaced by the median. Per client, the counts of accepted and rejected coordinates are an observation
    :math:`R = (\kappa P + Wa) / (\kappa P + (1-\kappa) Q + W)` of a Beta reputation; the score is the observations'
    mean, decayed with age. The update is the mean of the rectified updates, weighted by the scores as `normalize`
    says.

    Parameters
    ----------
    value_range : float or None
        A coordinate that spans more than this has its extremes brought in first (the paper's omega); None: never.
    interval_width : float
        Width of the confidence interval (Z).
    confidence_threshold : float
        Confidence below which a value is rejected (delta), in (0, 1].
    positive_weight : float
        Weight of an accepted coordinate (kappa), in (0, 1); a rejected one weighs 1 - kappa.
    prior, prior_weight : float
        Prior probability (a) in [0, 1], and the weight of not knowing (W).
    decay : float
        Decay of an observation's weight with each round of age (c).
    window : int or None
        Rounds after which an observation is forgotten (s), at most 10,000; None: never.
    newcomer : float or None
        Reputation that a client begins with, in [0, 1], as if it had been seen once before: who comes under a fresh id
        has to earn its say, see ``docs/identity.md``. None: this round's observation alone counts, as published.
    intercept : {"separate", "hierarchical", "median_point"}
        How the line's intercept is found; the first two as in :func:`scipy.stats.siegelslopes`.
    rescale : {"clip", "paper"}
        Such a coordinate's values are clipped to the median +- value_range / 2; or, as published, the highest loses and
        the lowest gains a standard deviation, which lets a single client move the result anywhere.
    scale_floor : float
        Added to the residual scale tau: differences below it are not outliers.
    normalize : {"median", "minmax", "sum"}
        What a reputation weighs. "median": full from the median up, nothing one robust deviation (1.4826 times the
        median distance from it, .02 at least) below, a share in between; so at least half of the clients have an
        equal say. "minmax", as published: the least reputable gets nothing, whoever it is, and beside a single
        client that is far worse all others look alike. "sum": each its score.
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out with the worst possible
        observation, or an error.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    What it promises: it stops crude and over-trained attackers among clients with similar data. It measures
    extremeness, not malice: quiet attackers near the centre evade it. The share of values rejected on clean Gaussian
    data grows with the number of clients (0.3 % at 10, 10 % at 100); `interval_width` scaled with its square root
    keeps it level.

    What f <= floor(n / 2) - 1 clients can do, whatever they send: each coordinate of the result lies between the
    others' least and greatest value, or outside by at most a multiple of what these are apart,
    :func:`robustagg.theory.outside`, and by no more than `value_range`; proven in ``docs/guarantees.md``. Not so with
    ``rescale="paper"``: :meth:`as_published` is for reproducing the paper. ``aggregate(..., certify=True)`` adds to the
    result a bound of its distance from the coordinate-wise median, for one more pass over the updates.

    With one or two clients no regression is possible and every value is accepted. float64 is computed in float64,
    all else in float32; counts are exact. Same bits for any number of threads and any cut into blocks. Memory
    beyond the updates: a bit per value and two vectors.

    References
    ----------
    Chu et al., "Securing Federated Sensitive Topic Classification against Poisoning Attacks", NDSS 2023.
    Siegel, "Robust regression using repeated medians", Biometrika 69, 1982.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> honest = np.random.default_rng(0).normal(0, 0.01, (4, 100))
    >>> rule = ra.Reputation()
    >>> result = rule.aggregate([*honest, np.ones(100)], clients=["ada", "bob", "cem", "dan", "eve"])
    >>> float(result.weights[4]), bool(abs(result.update).max() < 0.05)
    (0.0, True)
    """

    weighs_samples = True
    by_client = True
    extras = frozenset({CERTIFY})

    value_range: float | None = 2.0
    interval_width: float = 2.0
    confidence_threshold: float = 0.1
    positive_weight: float = 0.3
    prior: float = 0.5
    prior_weight: float = 2.0
    decay: float = 0.5
    window: int | None = 10
    intercept: str = "separate"
    rescale: str = "clip"
    scale_floor: float = 1e-7
    normalize: str = "median"
    newcomer: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_parameters()
        self._ledger = ledger.Ledger(self.decay, self.window, self.newcomer)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("decay", "window", "newcomer") and hasattr(self, "_ledger"):
            raise errors.fixed_parameter(name)
        super().__setattr__(name, value)

    @classmethod
    def as_published(cls, **parameters: Any) -> Reputation:
        """The rule with the settings of the paper, whatever the defaults are here; `parameters` replaces some of them.

        Examples
        --------
        >>> import robustagg as ra
        >>> ra.Reputation.as_published(window=5).rescale
        'paper'
        """
        return cls(**{**PUBLISHED, **parameters})

    @property
    def last_round(self) -> int | None:
        """Number of the last completed round."""
        return self._ledger.round

    @property
    def remembers(self) -> bool:
        return True

    @property
    def line(self) -> Confidence:
        """Which line, and which values lie off it, as the kernels are told."""
        return _line(self.value_range, self.rescale, self.intercept, self.interval_width, self.scale_floor)

    # --- the three verbs ---

    def check(self, round: Round) -> None:
        super().check(round)
        yes_or_no(CERTIFY, round.extras.get(CERTIFY, False))

    def observe(self, block: Block, round: Round, verdict: Verdict | None) -> tuple[Judged, Detection]:
        found = kernels.active().detect(block.rows, self.line, self.confidence_threshold)
        certify = round.extras.get(CERTIFY, False)
        deviations = Deviations.of(block.rows, found, self.line.rescale) if certify else None
        return Judged(found.rejections, deviations), found

    def decide(self, evidence: Judged, round: Round) -> Verdict:
        rejected = round.spread(evidence.rejected, round.d)
        accepted = round.d - rejected
        observed = kernels.active().beta_reputation(
            accepted, rejected, self.positive_weight, self.prior, self.prior_weight
        )
        reputation = self._ledger.score(round.clients, observed, round.number)
        normalized, counts = self._normalized(round.of_admitted(reputation)), round.counts()
        weights = shares(normalized, counts)
        deviations = evidence.deviations
        return Verdict(
            weights,
            Words(_reasons, normalized, evidence.rejected, counts, round.d),
            Standing(accepted, rejected, observed, reputation),
            certificate=None if deviations is None else deviations.certificate(weights, round),
        )

    def combine(self, block: Block, note: Detection, verdict: Verdict) -> Array:
        return kernels.active().rectified_mean(
            block.rows, note.rejected, note.median, verdict.weights, self.line.rescale
        )

    def commit(self, verdict: Verdict, round: Round, vectors: Mapping[Client, Vector]) -> None:
        assert verdict.standing is not None
        self._ledger.commit(round.clients, verdict.standing.observed, round.number)

    def _normalized(self, reputation: Floats) -> Floats:
        """C.1: the scores as weights."""
        if self.normalize == "sum":
            return reputation
        if self.normalize == "minmax":
            above = reputation - reputation.min()
            most = above.max()
            return above / most if most > ROUNDING else np.ones_like(reputation)
        scores = reputation.tolist()  # of ten clients NumPy would take twice as long
        middle = _middle(scores)
        above = [score - middle for score in scores]
        spread = max(TO_SIGMA * _middle(map(abs, above)), LEAST_SPREAD)
        return np.array([1.0 if far >= 0 else max(1 + far / spread, 0.0) for far in above])

    def _check_parameters(self) -> None:
        if self.value_range is not None:
            self.value_range = number("value_range", self.value_range, "positive, or None", lambda v: v > 0)
        for name in ("interval_width", "prior_weight"):
            setattr(self, name, positive(name, getattr(self, name)))
        for name in ("decay", "scale_floor"):
            setattr(self, name, not_negative(name, getattr(self, name)))
        self.confidence_threshold = share("confidence_threshold", self.confidence_threshold)
        self.positive_weight = number("positive_weight", self.positive_weight, "between 0 and 1", lambda v: 0 < v < 1)
        self.prior = number("prior", self.prior, "at least 0 and at most 1", lambda v: 0 <= v <= 1)
        if self.window is not None:
            self.window = whole("window", self.window, 1)
            if self.window > ledger.WINDOW:
                raise errors.out_of_range("window", self.window, f"at most {ledger.WINDOW}, or None for all rounds")
        if self.newcomer is not None:
            allowed = "at least 0 and at most 1, or None"
            self.newcomer = number("newcomer", self.newcomer, allowed, lambda v: 0 <= v <= 1)
        one_of("intercept", self.intercept, INTERCEPTS)
        one_of("rescale", self.rescale, RESCALES)
        one_of("normalize", self.normalize, NORMALIZATIONS)

    # --- memory ---

    def for_worker(self, vectors: Mapping[Client, Vector]) -> Reputation:
        twin = super().for_worker(vectors)
        twin._ledger = ledger.Ledger(self.decay, self.window, self.newcomer)
        return twin

    @property
    def _reputations(self) -> ledger.Ledger:
        return self._ledger

    def _restore(self, state: Mapping[str, Any]) -> None:
        memory = state["ledger"]
        if not isinstance(memory, ledger.Ledger):
            told, memory = memory, ledger.Ledger(self.decay, self.window, self.newcomer)
            memory.load_state_dict(states.restored(told))
        meant = (self.decay, self.window, self.newcomer, state["round"])
        if (memory.decay, memory.window, memory.newcomer, memory.round) != meant:
            raise errors.bad_ledger_state("not of this rule, or of another round")
        self._ledger = memory


@lru_cache(maxsize=64)
def _line(value_range: float | None, rescale: str, intercept: str, width: float, floor: float) -> Confidence:
    return Confidence(Rescale(value_range, rescale), intercept, width, floor)


def _middle(values: Iterable[float]) -> float:
    """The median."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _reasons(normalized: Floats, rejected: NDArray[np.int64], counts: Floats | None, d: int) -> list[str]:
    samples = repeat(1) if counts is None else counts.tolist()
    words = zip(normalized.tolist(), samples, rejected.tolist(), strict=False)
    return [
        f"{'' if weight and count else NO_SAMPLES if weight else LEAST}{many} of {d} coordinates rejected"
        for weight, count, many in words
    ]
