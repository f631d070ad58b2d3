"""The one table of rules that tests and benchmarks share: how each is made, what it is, what laws it obeys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import definitions
import numpy as np

import robustagg as ra
from robustagg.testing import Claims


@dataclass(frozen=True)
class Case:
    """A rule and what must hold of it."""

    name: str
    make: Callable[[int], ra.Rule]
    """The rule that withstands f clients."""
    least: Callable[[int], int] = lambda f: 2 * f + 1
    """Clients it needs to withstand f."""
    definition: Callable[[np.ndarray, int], np.ndarray] | None = None
    """The result of (n, d) float64 rows, written down independently."""
    peer: str | None = None
    """The same rule in ByzFL, as a call on `byzfl` and f."""

    extras: Callable[[np.ndarray], dict[str, Any]] = lambda x: {}
    """Further arguments of a round of these updates."""
    refuses: bool = True
    """It refuses rounds with fewer."""
    permutation: bool = True
    """The order of the clients does not matter (but for ties)."""
    shift: bool = True
    """All updates moved by a vector: the result moves with them."""
    scale: bool = True
    """All updates times a positive number: so is the result."""
    identical: bool = True
    """Of equal updates the result is that update."""
    selects: bool = False
    """The result is one of the updates, bit for bit."""
    box: Callable[[int, int, np.ndarray], np.ndarray | float] | None = None
    """Each coordinate of the result lies between the least and the greatest honest value, whatever f attackers send, or
    outside by at most box(n, f, how far these two are apart)."""
    bound: Callable[[int, int], float] | None = None
    """c(n, f): the result is no further from the honest mean than c times the honest diameter."""
    mean_at_zero: bool = False
    """With f = 0 it is the mean."""
    picks: bool = False
    """Its weights are zero for whom it does not trust, and equal for the others."""
    counts: bool = False
    """It weighs by sample counts."""

    def __str__(self) -> str:
        return self.name

    @property
    def claims(self) -> Claims:
        """What the public laws hold it to."""
        return Claims(**{field.name: getattr(self, field.name) for field in fields(Claims)})


def kappa(value: Callable[[int, int], float]) -> Callable[[int, int], float]:
    """The bound of a rule that is (f, kappa)-robust (Allouah et al. 2023): a mean square is at most diameter^2 / 2."""
    return lambda n, f: float(np.sqrt(value(n, f) / 2))


def ratio(n: int, f: int) -> float:
    return 1 + f / (n - 2 * f)


def around_the_line(n: int, f: int, r: np.ndarray) -> np.ndarray:
    """How far outside the honest values one that Reputation accepts may lie: as much as a search has found.

    Tested for so few clients and the default Z / delta; what is proven, theory.outside, is looser, as it has to hold
    for any: see docs/guarantees.md.
    """
    near = 20 * np.sqrt(2 / n) * (1.4826 * (1 + 5 / (n - 1)) * r + 1e-7)
    return np.minimum(near, 2.0) if f <= 1 <= n - 4 else np.full_like(r, 2.0)


CASES = [
    Case(
        "Reputation",
        lambda f: ra.Reputation(),
        refuses=False,
        scale=False,
        counts=True,
        box=around_the_line,
    ),
    Case(
        "Mean",
        lambda f: ra.Mean(),
        lambda f: 1,
        lambda x, f: x.mean(axis=0),
        "Average()",
        counts=True,
        mean_at_zero=True,
    ),
    Case(
        "Median",
        lambda f: ra.Median(),
        refuses=False,
        definition=lambda x, f: np.median(x, axis=0),
        peer="Median()",
        counts=True,
        box=lambda n, f, r: 0.0,
        bound=kappa(lambda n, f: 4 * ratio(n, f) ** 2),
    ),
    Case(
        "TrimmedMean",
        lambda f: ra.TrimmedMean(f=f),
        definition=lambda x, f: np.sort(x, axis=0)[f : len(x) - f].mean(axis=0),
        peer="TrMean(f)",
        box=lambda n, f, r: 0.0,
        bound=kappa(lambda n, f: 6 * f / (n - 2 * f) * ratio(n, f)),
        mean_at_zero=True,
    ),
    Case(
        "MeaMed",
        lambda f: ra.MeaMed(f),
        definition=definitions.meamed,
        peer="Meamed(f)",
        box=lambda n, f, r: r,
        mean_at_zero=True,
    ),
    Case(
        "FLAME",
        lambda f: ra.FLAME(noise=0),
        lambda f: 1,
        definitions.flame,
        shift=False,
        counts=True,
    ),
    Case(
        "FLAME with noise",
        lambda f: ra.FLAME(noise=0.1, on="rows"),
        lambda f: 1,
        shift=False,
        identical=False,
        counts=True,
    ),
    Case(
        "ClippedClustering",
        lambda f: ra.ClippedClustering(),
        lambda f: 1,
        definitions.clipped_clustering,
        shift=False,
        counts=True,
    ),
    Case("FoundationFL", lambda f: ra.FoundationFL(), lambda f: 1, definitions.foundation),
    Case(
        "FoundationFL, trimmed mean",
        lambda f: ra.FoundationFL("trimmed-mean"),
        lambda f: 1,
        lambda x, f: definitions.foundation(x, f, 0.2),
    ),
    Case(
        "Synthesis, Krum",
        lambda f: ra.Pipeline(ra.Synthesis(), ra.Krum(f)),
        lambda f: 2 * f + 3,
        lambda x, f: definitions.krum(definitions.synthesis(x), f),
        refuses=False,  # copies count
        permutation=False,  # copies tie
    ),
    Case("FLDetector", lambda f: ra.FLDetector(window=2), lambda f: 1, shift=False, counts=True),
    Case(
        "Suspicion",
        lambda f: ra.Suspicion(f=f),
        definition=definitions.suspicion,
        shift=False,
        counts=True,
    ),
    Case("RLR", lambda f: ra.RLR(f + 1), lambda f: f + 1, definitions.rlr, refuses=False, shift=False, counts=True),
    Case("SignGuard", lambda f: ra.SignGuard(share=1), lambda f: 1, shift=False, counts=True),
    Case("SignGuard-sim", lambda f: ra.SignGuard(variant="sim"), lambda f: 1, shift=False, counts=True),
    Case(
        "MultiMetrics",
        lambda f: ra.MultiMetrics(),
        lambda f: 1,
        definitions.multi_metrics,
        shift=False,
        picks=True,
        counts=True,
    ),
    Case(
        "LFighter",
        lambda f: ra.LFighter(),
        lambda f: 1,
        lambda x, f: definitions.lfighter(x, x)[1],
        shift=False,
        picks=True,
        counts=True,
    ),
    Case("LASA", lambda f: ra.LASA(), lambda f: 1, lambda x, f: definitions.lasa([x]), shift=False, counts=True),
    Case("RepeatedMedian", lambda f: ra.RepeatedMedian(), definition=definitions.repeated_median, refuses=False),
    Case("ResidualReweighting", lambda f: ra.ResidualReweighting(), scale=False, refuses=False, counts=True),
    Case(
        "FoolsGold",
        lambda f: ra.FoolsGold(memory=False),
        lambda f: 1,
        lambda x, f: definitions.foolsgold(x) @ x / definitions.foolsgold(x).sum(),
        shift=False,
    ),
    Case(
        "Krum",
        lambda f: ra.Krum(f),
        lambda f: 2 * f + 3,
        definitions.krum,
        selects=True,
        picks=True,
        counts=True,
        bound=kappa(lambda n, f: 6 * ratio(n, f)),
    ),
    Case(
        "Krum-byzfl",
        lambda f: ra.Krum(f, variant="byzfl"),
        lambda f: 2 * f + 1,
        definitions.krum_byzfl,
        "Krum(f)",
        selects=True,
        permutation=False,  # of equal scores the first
        picks=True,
        counts=True,
        bound=kappa(lambda n, f: 6 * ratio(n, f)),
    ),
    Case("MultiKrum", lambda f: ra.MultiKrum(f), lambda f: 2 * f + 3, definitions.multi_krum, picks=True, counts=True),
    Case(
        "MultiKrum-byzfl",
        lambda f: ra.MultiKrum(f, variant="byzfl"),
        definition=definitions.multi_krum_byzfl,
        peer="MultiKrum(f)",
        permutation=False,  # of equal scores the first
        picks=True,
        counts=True,
        mean_at_zero=True,
    ),
    Case("Bulyan", lambda f: ra.Bulyan(f), lambda f: 4 * f + 3, definitions.bulyan, mean_at_zero=True),
    Case(
        "MDA",
        lambda f: ra.MDA(f),
        definition=definitions.mda,
        peer="MDA(f)",
        permutation=False,  # of several subsets of least diameter, the first
        picks=True,
        counts=True,
        mean_at_zero=True,
        bound=lambda n, f: 2 * f / (n - f),
    ),
    Case("SMEA", lambda f: ra.SMEA(f), definition=definitions.smea, picks=True, counts=True, mean_at_zero=True),
    Case(
        "GeometricMedian",
        lambda f: ra.GeometricMedian(),
        refuses=False,
        counts=True,
        bound=kappa(lambda n, f: 4 * ratio(n, f) ** 2),
    ),
    Case(
        "GeometricMedian-byzfl",
        lambda f: ra.GeometricMedian(nu=0.1, max_iter=3, tol=0, variant="byzfl"),
        refuses=False,
        definition=definitions.geometric_median_byzfl,
        peer="GeometricMedian()",
        shift=False,
        scale=False,
        counts=True,
    ),
    Case(
        "CenteredClipping",
        lambda f: ra.CenteredClipping(tau=2.0),
        refuses=False,
        identical=False,  # pulls everything towards its centre
        definition=definitions.centered_clipping,
        peer="CenteredClipping(tau=2.0)",
        shift=False,
        scale=False,
    ),
    Case(
        "MoNNA",
        lambda f: ra.MoNNA(f),
        definition=definitions.monna,
        peer="MoNNA(f)",
        permutation=False,  # the first client is the trusted one
        picks=True,
        counts=True,
        mean_at_zero=True,
    ),
    Case(
        "CGE", lambda f: ra.CGE(f), definition=definitions.cge, shift=False, picks=True, counts=True, mean_at_zero=True
    ),
    Case("Aksel", lambda f: ra.Aksel(f), definition=definitions.aksel, picks=True, counts=True, mean_at_zero=True),
    Case("Medoid", lambda f: ra.Medoid(), definition=definitions.medoid, selects=True, picks=True, refuses=False),
    Case("CAF", lambda f: ra.CAF(f), definition=definitions.caf, mean_at_zero=True),
    Case("DnC", lambda f: ra.DnC(f), definition=definitions.dnc, picks=True, counts=True, mean_at_zero=True),
    Case(
        "NNM, Krum",
        lambda f: ra.Pipeline(ra.NNM(f), ra.Krum(f)),
        lambda f: 2 * f + 3,
        lambda x, f: definitions.krum(definitions.nnm(x, f), f),
        permutation=False,  # mixed rows are often equal, and then scores are
        counts=True,
        bound=kappa(lambda n, f: 8 * f / (n - f) * (1 + 6 * ratio(n, f))),
    ),
    Case(
        "NNM, Median",
        lambda f: ra.Pipeline(ra.NNM(f), ra.Median()),
        refuses=False,
        definition=lambda x, f: np.median(definitions.nnm(x, f), axis=0),
        counts=True,
        mean_at_zero=True,
        bound=kappa(lambda n, f: 8 * f / (n - f) * (1 + 4 * ratio(n, f) ** 2)),
    ),
    Case(
        "ARC, TrimmedMean",
        lambda f: ra.Pipeline(ra.ARC(f), ra.TrimmedMean(f=f)),
        definition=lambda x, f: np.sort(definitions.arc(x, f), axis=0)[f : len(x) - f].mean(axis=0),
        shift=False,
        mean_at_zero=True,
    ),
]

ASKING = [
    Case(
        "FLTrust",
        lambda f: ra.FLTrust(),
        lambda f: 1,
        extras=lambda x: {"server_update": np.ones_like(x[0])},
        shift=False,
        scale=False,  # cut to the length of the server's
        identical=False,
    ),
    Case(
        "AlignIns",
        lambda f: ra.AlignIns(),
        lambda f: 1,
        lambda x, f: definitions.align_ins(x, np.ones_like(x[0])),
        extras=lambda x: {"global_model": np.ones_like(x[0])},
        shift=False,
        counts=True,
    ),
]
"""Cases of rules that ask for more than the updates."""


def cases(**flags: Any) -> list[Case]:
    """The cases of which something is said: ``cases(shift=True)``, ``cases(definition=any)``."""

    def told(case: Case, name: str, value: Any) -> bool:
        return getattr(case, name) is not None if value is any else getattr(case, name) == value

    return [case for case in CASES if all(told(case, name, value) for name, value in flags.items())]
