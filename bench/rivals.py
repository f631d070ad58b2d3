"""The same rule here, in ByzFL and in ByzPy: how each side is made and called. What is not installed is absent."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

import robustagg as ra

SIZES = ((64, 65536), (80, 65536), (196, 4096), (100, 10**6))  # the first three are those of ByzPy's own table
FEW = ((16, 65536),)  # for rules whose peers enumerate all subsets

LOWER = 5.0  # ByzPy's median of an even count is the lower of the two in the middle
ROUGH = 5.0  # both peers estimate eigenvalues by a few power iterations, and choose or weigh other clients for it

Maker = Callable[[Any, int, int], Any]


@dataclass(frozen=True)
class Rival:
    """A rule, made by each side for n clients of whom f attack; the peers' makers get the peer."""

    name: str
    ours: Callable[[int, int], Any]
    byzfl: Maker | None = None
    byzpy: Maker | None = None
    near: tuple[float, float] = (1e-4, 1e-4)
    """How far ByzFL's and ByzPy's answers may be from ours, in standard deviations of the mean."""
    sizes: Sequence[tuple[int, int]] = SIZES
    byzfl_takes: Callable[[int, int], float] = lambda n, f: 4 * n
    """Numbers per coordinate that ByzFL may take."""


RIVALS = (
    Rival("Mean", lambda n, f: ra.Mean(), lambda b, n, f: b.Average()),
    Rival(
        "Median",
        lambda n, f: ra.Median(),
        lambda b, n, f: b.Median(),
        lambda b, n, f: b.CoordinateWiseMedian(),
        near=(1e-4, LOWER),
    ),
    Rival(
        "TrimmedMean",
        lambda n, f: ra.TrimmedMean(f=f),
        lambda b, n, f: b.TrMean(f),
        lambda b, n, f: b.CoordinateWiseTrimmedMean(f),
    ),
    Rival(
        "MeaMed",
        lambda n, f: ra.MeaMed(f),
        lambda b, n, f: b.Meamed(f),
        lambda b, n, f: b.MeanOfMedians(f),
        near=(1e-4, LOWER),
    ),
    Rival("Krum", lambda n, f: ra.Krum(f, variant="byzfl"), lambda b, n, f: b.Krum(f), lambda b, n, f: b.Krum(f)),
    Rival(
        "MultiKrum",
        lambda n, f: ra.MultiKrum(f, variant="byzfl"),
        lambda b, n, f: b.MultiKrum(f),
        lambda b, n, f: b.MultiKrum(f, n - f),
    ),
    Rival(
        "GeometricMedian, 3 steps",
        lambda n, f: ra.GeometricMedian(nu=0.1, max_iter=3, tol=0, variant="byzfl"),
        lambda b, n, f: b.GeometricMedian(),
    ),
    Rival(
        "GeometricMedian, converged",
        lambda n, f: ra.GeometricMedian(),
        byzpy=lambda b, n, f: b.GeometricMedian(),
        near=(0, 1e-2),
    ),
    Rival(
        "CenteredClipping",
        lambda n, f: ra.CenteredClipping(tau=10.0),
        lambda b, n, f: b.CenteredClipping(tau=10.0),
        lambda b, n, f: b.CenteredClipping(c_tau=10.0, M=1, init="zero"),
    ),
    Rival("MoNNA", lambda n, f: ra.MoNNA(f), lambda b, n, f: b.MoNNA(f), lambda b, n, f: b.MoNNA(f)),
    Rival("CGE", lambda n, f: ra.CGE(f), byzpy=lambda b, n, f: b.ComparativeGradientElimination(f)),
    Rival("CAF", lambda n, f: ra.CAF(f), lambda b, n, f: b.CAF(f), lambda b, n, f: b.CAF(f), near=(ROUGH, ROUGH)),
    Rival(
        "NNM",
        lambda n, f: ra.NNM(f),
        lambda b, n, f: b.NNM(f),
        lambda b, n, f: b.NearestNeighborMixing(f),
        byzfl_takes=lambda n, f: 2 * n * (n - f),
    ),
    Rival(
        "MDA",
        lambda n, f: ra.MDA(f),
        lambda b, n, f: b.MDA(f),
        lambda b, n, f: b.MinimumDiameterAveraging(f),
        sizes=FEW,
    ),
    Rival(
        "SMEA",
        lambda n, f: ra.SMEA(f),
        lambda b, n, f: b.SMEA(f),
        lambda b, n, f: b.SMEA(f),
        near=(ROUGH, ROUGH),
        sizes=FEW,
    ),
)

BYZPY = {
    "byzpy.aggregators.coordinate_wise": ("median", "trimmed_mean", "mean_of_medians"),
    "byzpy.aggregators.geometric_wise": ("krum", "geometric_median", "minimum_diameter_average", "monna", "smea"),
    "byzpy.aggregators.norm_wise": ("caf", "center_clipping", "comparative_gradient_elimination"),
    "byzpy.pre_aggregators": ("nnm",),
}


def byzantine(n: int) -> int:
    """The f of n clients here."""
    return n // 4 if n < 20 else n // 10


def peers() -> dict[str, Any]:
    """What is installed, by name."""
    found: dict[str, Any] = {}
    try:
        found["ByzFL"] = importlib.import_module("byzfl")
    except ImportError as why:
        print(f"ByzFL is left out: {why}")
    try:
        modules = [importlib.import_module(f"{package}.{name}") for package in BYZPY for name in BYZPY[package]]
        found["ByzPy"] = SimpleNamespace(**{k: v for module in modules for k, v in vars(module).items()})
    except ImportError as why:
        print(f"ByzPy is left out: {why}")
    return found


def calls(rival: Rival, x: torch.Tensor, found: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """A call of each side that has the rule, on the rows of x."""
    n, f = len(x), byzantine(len(x))
    ours = rival.ours(n, f)
    sides: dict[str, Callable[[], Any]] = {"robustagg": lambda: _fresh(ours)(x)}
    if rival.byzfl and "ByzFL" in found:
        first = rival.byzfl(found["ByzFL"], n, f)
        sides["ByzFL"] = lambda: first(x)
    if rival.byzpy and "ByzPy" in found:
        second, rows = rival.byzpy(found["ByzPy"], n, f), list(x)
        call = second.pre_aggregate if hasattr(second, "pre_aggregate") else second.aggregate
        sides["ByzPy"] = lambda: call(rows)
    return sides


def _fresh(rule: Any) -> Any:
    """The rule without what it remembers of the call before, which the peers do not have."""
    return type(rule)(**rule.parameters) if isinstance(rule, ra.CenteredClipping) else rule
