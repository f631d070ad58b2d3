"""The one table of rules: the command line, the simulation and the documentation offer what stands here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from robustagg.rules.base import Rule
from robustagg.rules.coordinatewise import Mean, Median, TrimmedMean
from robustagg.rules.foolsgold import FoolsGold
from robustagg.rules.geometric import CenteredClipping, GeometricMedian
from robustagg.rules.krum import Bulyan, Krum, MultiKrum
from robustagg.rules.medians import MeaMed, RepeatedMedian
from robustagg.rules.mixing.base import PreAggregation
from robustagg.rules.mixing.preaggregations import ARC, NNM, Bucketing, NormClipping
from robustagg.rules.nearest import CGE, Aksel, Medoid, MoNNA
from robustagg.rules.reputation import Reputation
from robustagg.rules.residual import ResidualReweighting
from robustagg.rules.spectral import CAF, DnC
from robustagg.rules.subsets import MDA, SMEA
from robustagg.rules.trust import FLTrust

Needs: TypeAlias = tuple[int, int] | None


@dataclass(frozen=True)
class Entry:
    """A rule, or a pre-aggregation, and what there is to know before choosing it."""

    name: str
    """On the command line."""
    kind: type[Rule] | type[PreAggregation]
    source: str
    needs: Needs
    """(a, b): n >= a f + b clients for its parameter f; None where it has no f."""
    breakdown: str
    """Share of Byzantine clients that cannot carry the result away; "-" where nothing is proven."""
    cost: str
    """Of the decision; n clients, d coordinates."""
    state: str = ""
    """What it remembers from round to round."""
    asks: str = ""
    """What each call must give besides the updates."""

    @property
    def condition(self) -> str:
        """What it needs, in words."""
        if self.needs is None:
            return "n >= 1"
        a, b = self.needs
        return f"n > {_times(a)}" if b == 1 else f"n >= {_times(a)} + {b}"

    @property
    def passes(self) -> int:
        """How often every update is read."""
        looks = self.kind.observes if issubclass(self.kind, Rule) else self.kind.measures is not None
        return 1 + looks

    @property
    def weighs_samples(self) -> bool:
        """Whether `sample_counts` mean something to it."""
        return issubclass(self.kind, Rule) and self.kind.weighs_samples

    def facts(self) -> dict[str, Any]:
        """What the command line and the documentation say of it, ready for :func:`json.dumps`."""
        return {
            "name": self.name,
            "class": self.kind.__name__,
            "needs": self.condition,
            "breakdown point": self.breakdown,
            "cost": self.cost,
            "passes": self.passes,
            "sample counts": self.weighs_samples,
            "remembers": self.state,
            "asks for": self.asks,
            "source": self.source,
        }

    def against(self, n: int, f: int) -> Rule:
        """The rule for n clients of whom f attack, or as many of them as it can withstand."""
        assert issubclass(self.kind, Rule)
        if self.needs is None:
            return self.kind()
        a, b = self.needs
        return self.kind(f=max(0, min(f, (n - b) // a)))  # type: ignore[call-arg]


def _times(a: int) -> str:
    return f"{a if a > 1 else ''}f"


SORTS, LINES, PAIRS = "n log n per coordinate", "n^2 per coordinate", "n^2 d"

RULES = (
    Entry("reputation", Reputation, "Chu et al., NDSS 2023", None, "-", LINES, "reputations, in a ledger"),
    Entry("mean", Mean, "McMahan et al., AISTATS 2017", None, "0", "n d"),
    Entry("median", Median, "Yin et al., ICML 2018", None, "1/2", SORTS),
    Entry("trimmed-mean", TrimmedMean, "Yin et al., ICML 2018", (2, 1), "f/n", SORTS),
    Entry("meamed", MeaMed, "Xie et al., 2018", (2, 1), "1/2", SORTS),
    Entry("repeated-median", RepeatedMedian, "Siegel, 1982", None, "1/2", LINES),
    Entry("residual", ResidualReweighting, "Fu et al., 2019", None, "1/2", LINES),
    Entry("krum", Krum, "Blanchard et al., NIPS 2017", (2, 3), "(n-3)/2n", PAIRS),
    Entry("multi-krum", MultiKrum, "Blanchard et al., NIPS 2017", (2, 3), "(n-3)/2n", PAIRS),
    Entry("bulyan", Bulyan, "El Mhamdi et al., ICML 2018", (4, 3), "(n-3)/4n", PAIRS + " + n^3"),
    Entry("mda", MDA, "El Mhamdi et al., 2020", (2, 1), "1/2", PAIRS + " + 1.47^f"),
    Entry("smea", SMEA, "Allouah et al., 2023", (2, 1), "1/2", PAIRS + " + C(n, f) at worst"),
    Entry("geometric-median", GeometricMedian, "Pillutla et al., 2022", None, "1/2", PAIRS),
    Entry(
        "centered-clipping", CenteredClipping, "Karimireddy et al., ICML 2021", None, "1/2", "n d", "its last result"
    ),
    Entry("monna", MoNNA, "Farhadkhani et al., ICML 2023", (2, 1), "1/2", "n d"),
    Entry("aksel", Aksel, "Boussetta et al., OPODIS 2020", (2, 1), "1/2", SORTS),
    Entry("medoid", Medoid, "Xie et al., 2018", None, "-", PAIRS),
    Entry("cge", CGE, "Gupta et al., 2021", (2, 1), "-", "n d"),
    Entry("caf", CAF, "Allouah et al., 2025", (2, 1), "1/2", PAIRS + " + f n^3"),
    Entry("dnc", DnC, "Shejwalkar and Houmansadr, NDSS 2021", (2, 1), "-", "n d + n^3"),
    Entry("foolsgold", FoolsGold, "Fung et al., RAID 2020", None, "-", PAIRS, "a history of each client"),
    Entry("fltrust", FLTrust, "Cao et al., NDSS 2021", None, "-", "n d", asks="server_update"),
)

PREAGGREGATIONS = (
    Entry("nnm", NNM, "Allouah et al., AISTATS 2023", (1, 1), "of the rule", PAIRS),
    Entry("bucketing", Bucketing, "Karimireddy et al., ICLR 2022", None, "1/s of the rule's", "n d"),
    Entry("norm-clipping", NormClipping, "", None, "of the rule", "n d"),
    Entry("arc", ARC, "Allouah et al., ICLR 2025", (1, 1), "of the rule", "n d"),
)
