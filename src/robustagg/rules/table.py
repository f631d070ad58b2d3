"""The one table of rules: the command line, the simulation and the documentation offer what stands here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import starmap
from typing import Any, TypeAlias

from robustagg import errors
from robustagg.rules.alignment import AlignIns
from robustagg.rules.base import Rule
from robustagg.rules.clipping import CenteredClipping
from robustagg.rules.component import Component, condition, imported
from robustagg.rules.coordinatewise import Mean, Median, TrimmedMean
from robustagg.rules.cosine import FLAME, ClippedClustering
from robustagg.rules.fldetector import FLDetector
from robustagg.rules.foolsgold import FoolsGold
from robustagg.rules.geometric import GeometricMedian
from robustagg.rules.krum import Bulyan, Krum, MultiKrum
from robustagg.rules.layers import LASA
from robustagg.rules.lfighter import LFighter
from robustagg.rules.medians import MeaMed, RepeatedMedian
from robustagg.rules.metrics import MultiMetrics
from robustagg.rules.mixing.base import PreAggregation
from robustagg.rules.mixing.pipeline import Pipeline
from robustagg.rules.mixing.preaggregations import ARC, NNM, Bucketing, NormClipping
from robustagg.rules.mixing.synthesis import FoundationFL, Synthesis
from robustagg.rules.nearest import CGE, Aksel, Medoid, MoNNA
from robustagg.rules.reputation import Reputation
from robustagg.rules.residual import ResidualReweighting
from robustagg.rules.signs import RLR, SignGuard
from robustagg.rules.spectral import CAF, DnC
from robustagg.rules.subsets import MDA, SMEA
from robustagg.rules.suspicion import Suspicion
from robustagg.rules.trust import FLTrust
from robustagg.rules.written import read, written


@dataclass(frozen=True)
class Entry:
    """A rule, or a pre-aggregation, and what there is to know before choosing it."""

    name: str
    """On the command line."""
    kind: type[Rule[Any]] | type[PreAggregation]
    source: str
    breakdown: str
    """Share of Byzantine clients that cannot carry the result away; "-" where nothing is proven."""
    cost: str
    """Of the decision; n clients, d coordinates."""
    state: str = ""
    """What it remembers from round to round."""
    asks: str = ""
    """What each call must give besides the updates."""
    given: Callable[[int, int], dict[str, Any]] = lambda n, f: {}
    """Parameters without a default for n clients of whom f attack, besides f itself."""

    @property
    def condition(self) -> str:
        """What it needs, in words."""
        return "n >= 1" if self.kind.needs is None else condition(self.kind.needs)

    @property
    def passes(self) -> int:
        """How often every update is read."""
        return 1 + (self.kind.measures is not None if issubclass(self.kind, PreAggregation) else self._some.readings)

    @property
    def weighs_samples(self) -> bool:
        """Whether `sample_counts` mean something to it."""
        return issubclass(self.kind, Rule) and self._some.weighs_samples

    @property
    def _some(self) -> Rule[Any]:
        """One of its kind."""
        assert issubclass(self.kind, Rule)
        return self.kind(**(self.given(1, 0) if self.kind.needs is None else {"f": 0}))

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
            "differences": vars(self.kind).get("differences") is True,
            "remembers": self.state,
            "asks for": self.asks,
            "source": self.source,
        }


SORTS, LINES, PAIRS = "n log n per coordinate", "n^2 per coordinate", "n^2 d"

RULES = (
    Entry("reputation", Reputation, "Chu et al., NDSS 2023", "-", LINES, "reputations, in a ledger"),
    Entry("mean", Mean, "McMahan et al., AISTATS 2017", "0", "n d"),
    Entry("median", Median, "Yin et al., ICML 2018", "1/2", SORTS),
    Entry("trimmed-mean", TrimmedMean, "Yin et al., ICML 2018", "f/n", SORTS),
    Entry("meamed", MeaMed, "Xie et al., 2018", "1/2", SORTS),
    Entry("repeated-median", RepeatedMedian, "Siegel, 1982", "(n-2)/2n", LINES),
    Entry("residual", ResidualReweighting, "Fu et al., 2019", "(n-2)/2n", LINES),
    Entry("krum", Krum, "Blanchard et al., NIPS 2017", "(n-3)/2n", PAIRS),
    Entry("multi-krum", MultiKrum, "Blanchard et al., NIPS 2017", "(n-3)/2n", PAIRS),
    Entry("bulyan", Bulyan, "El Mhamdi et al., ICML 2018", "(n-3)/4n", PAIRS + " + n^3"),
    Entry("mda", MDA, "El Mhamdi et al., 2020", "1/2", PAIRS + " + 1.47^f"),
    Entry("smea", SMEA, "Allouah et al., 2023", "1/2", PAIRS + " + C(n, f) at worst"),
    Entry("geometric-median", GeometricMedian, "Pillutla et al., 2022", "1/2", PAIRS),
    Entry("centered-clipping", CenteredClipping, "Karimireddy et al., ICML 2021", "1/2", "n d", "its last result"),
    Entry("monna", MoNNA, "Farhadkhani et al., ICML 2023", "1/2", "n d"),
    Entry("aksel", Aksel, "Boussetta et al., OPODIS 2020", "1/2", SORTS),
    Entry("medoid", Medoid, "Xie et al., 2018", "-", PAIRS),
    Entry("cge", CGE, "Gupta et al., 2021", "-", "n d"),
    Entry("caf", CAF, "Allouah et al., 2025", "1/2", PAIRS + " + f n^3"),
    Entry("dnc", DnC, "Shejwalkar and Houmansadr, NDSS 2021", "-", "n d + n^3"),
    Entry("foolsgold", FoolsGold, "Fung et al., RAID 2020", "-", PAIRS, "a history of each client"),
    Entry("flame", FLAME, "Nguyen et al., USENIX Security 2022", "-", PAIRS),
    Entry("clipped-clustering", ClippedClustering, "Li et al., 2023", "-", PAIRS, "the lengths of all updates"),
    Entry(
        "fl-detector",
        FLDetector,
        "Zhang et al., KDD 2022",
        "-",
        PAIRS,
        "updates of each client, its last results",
    ),
    Entry("foundation-fl", FoundationFL, "Fang et al., NDSS 2025", "-", SORTS),
    Entry("rlr", RLR, "Ozdayi et al., AAAI 2021", "-", "n d", given=lambda n, f: {"theta": RLR.threshold(0.4, n)}),
    Entry("sign-guard", SignGuard, "Xu et al., ICDCS 2022", "-", "n d"),
    Entry("multi-metrics", MultiMetrics, "Huang et al., ICCV 2023", "-", PAIRS),
    Entry("lfighter", LFighter, "Jebreel et al., 2024", "-", "n^2 d of two neurons"),
    Entry("lasa", LASA, "Xu et al., WACV 2025", "-", "n d"),
    Entry("align-ins", AlignIns, "Xu et al., CVPR 2025", "-", "n d", asks="global_model"),
    Entry("suspicion", Suspicion, "this library", "-", "n d + n^2 of 2 %", "what was seen of clients and pairs"),
    Entry("fltrust", FLTrust, "Cao et al., NDSS 2021", "-", "n d", asks="server_update"),
)

UNAIDED = {entry.name: entry for entry in RULES if not entry.asks}
"""The rules that need nothing but the updates, by name."""


def entry_of(name: str) -> Entry:
    """The rule of this name: one of :data:`UNAIDED`, or a user's own as ``module:Class``, whose module is imported."""
    if ":" not in name:
        if name in {entry.name for entry in PREAGGREGATIONS}:
            raise errors.rule_missing(name)
        if name not in UNAIDED:
            raise errors.not_one_of("the rule", name, [*UNAIDED, "module:Class"])
        return UNAIDED[name]
    kind = imported(name)
    if not issubclass(kind, Rule):
        raise errors.not_a_rule(name)
    return Entry(name, kind, "", "-", "-")


PREAGGREGATIONS = (
    Entry("nnm", NNM, "Allouah et al., AISTATS 2023", "of the rule", PAIRS),
    Entry("bucketing", Bucketing, "Karimireddy et al., ICLR 2022", "1/s of the rule's", "n d"),
    Entry("norm-clipping", NormClipping, "", "of the rule", "n d"),
    Entry("synthesis", Synthesis, "Fang et al., NDSS 2025", "-", "n d"),
    Entry("arc", ARC, "Allouah et al., ICLR 2025", "of the rule", "n d"),
)


# --- from a name and JSON -------------------------------------------------------------------------------------------

Spec: TypeAlias = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
"""What :func:`rule` makes rules of."""

NAMED: dict[str, type[Component]] = {entry.name: entry.kind for entry in (*RULES, *PREAGGREGATIONS)}


def rule(spec: Spec, **parameters: Any) -> Rule[Any]:
    """The rule of a name and parameters, as a configuration file has them.

    Parameters
    ----------
    spec : str, mapping or sequence
        A name of ``robustagg rules``, or a rule of your own as ``module:Class``; ``{"rule": name, parameter: value}``;
        or several of these, pre-aggregations and last a rule, for a :class:`Pipeline`. One line of text says it too:
        ``"nnm(f=2) + reputation(decay=0)"``.
    **parameters
        The rule's parameters.

    Returns
    -------
    Rule

    Raises
    ------
    ValueError
        If there is no such rule, it has no such parameter, or it needs one that is not given.

    Examples
    --------
    >>> import robustagg as ra
    >>> ra.rule("krum", f=2)
    Krum(nonfinite='reject', f=2, variant='paper')
    >>> ra.rule([{"rule": "nnm", "f": 2}, "median"])
    Pipeline(NNM(f=2), Median(nonfinite='reject'))
    >>> ra.rule("nnm(f=2) + median")
    Pipeline(NNM(f=2), Median(nonfinite='reject'))
    """
    members = described(spec)
    if len(members) > 1 or not isinstance(spec, (str, Mapping)):
        return Pipeline(*(made_of(name, own) for name, own in members), **parameters)
    name, own = members[0]
    made = made_of(name, {**own, **parameters})
    if isinstance(made, PreAggregation):
        raise errors.rule_missing(name)
    if not isinstance(made, Rule):
        raise errors.not_a_rule(spec)
    return made


def rule_against(spec: Spec, n: int, f: int) -> Rule[Any]:
    """The rule for n clients of whom f attack: an f that is not given becomes this one, or as much as n allows."""
    full = [{"rule": name, **_withstanding(name, n, f), **own} for name, own in described(spec)]
    return rule(full if len(full) > 1 else full[0])


def line(spec: Spec) -> str:
    """A specification as one line of text.

    >>> line([{"rule": "nnm", "f": 2}, "median"])
    'nnm(f=2) + median'
    >>> line("  krum( f=2 )")
    'krum(f=2)'
    """
    return " + ".join(starmap(written, described(spec)))


def described(spec: Spec) -> list[tuple[Any, dict[str, Any]]]:
    """Name and parameters of every member of a specification."""
    if isinstance(spec, str):
        return read(spec)
    if isinstance(spec, Mapping):
        own = dict(spec)
        return [(own.pop("rule", None), own)]
    if not isinstance(spec, Sequence):
        raise errors.not_a_rule(spec)
    return [member for part in spec for member in described(part)]


def _withstanding(name: Any, n: int, f: int) -> dict[str, Any]:
    """The f of a kind that has one, and what else has no default."""
    needs = kind_named(name).needs
    if needs is None:
        return next((entry.given(n, f) for entry in RULES if entry.name == name), {})
    a, b = needs
    return {"f": max(0, min(f, (n - b) // a))}


def kind_named(name: Any) -> type[Component]:
    """The class of this name, a user's own included."""
    kind = imported(name) if isinstance(name, str) and ":" in name else NAMED.get(name)
    if kind is None:
        raise errors.not_one_of("the rule", name, [*NAMED, "module:Class"])
    return kind


def made_of(name: Any, parameters: Mapping[str, Any]) -> Component:
    """The rule or pre-aggregation of this name that has these parameters."""
    kind = kind_named(name)
    known = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    needed = [name for name, default in known.items() if default is MISSING]
    for parameter in parameters.keys() - known.keys():
        raise errors.unknown_parameter(name, parameter, known | dict.fromkeys(needed, "..."))
    for parameter in set(needed) - parameters.keys():
        raise errors.parameter_needed(name, parameter)
    return kind(**parameters)
