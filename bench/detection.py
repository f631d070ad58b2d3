"""Detection beside everything else that could do it: ``python bench/detection.py --out docs/images/detection``.

For each n: the authors' method in torch (bench/authors.py), scipy.stats.siegelslopes (the line alone), robustagg's
NumPy, Numba and native backends. Answers are compared first; then all sides are timed in turn, and medians quoted in
ns per coordinate, beside the time that reading the values once would take. Writes OUT.json, OUT.png and OUT.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import authors
import matplotlib as mpl
import numpy as np
import torch
import typer
from measure import KINDS, alternate, bandwidth, machine, updates
from rich.console import Console
from rich.table import Table
from scipy import stats

import robustagg as ra
from robustagg import kernels
from robustagg.kernels import _native

SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000)
AUTHORS_BYTES = 2**26  # of one of their (n, n, d) temporaries: large enough to hide the cost of a call
INTERCEPTS = ("median_point", "hierarchical", "separate")


def detection(backend: str, rows: list[np.ndarray], intercept: str) -> Callable[[], kernels.Detection]:
    line = ra.Reputation(intercept=intercept).line

    def call() -> kernels.Detection:
        with ra.use_backend(backend):
            return kernels.active().detect(rows, line, 0.1)

    return call


def rejected(note: kernels.Detection, d: int) -> np.ndarray:
    return np.unpackbits(note.rejected, axis=1, count=d, bitorder="little").astype(bool)


def check(y: np.ndarray, intercept: str, backend: str) -> None:
    """The backend and the specification agree wherever rounding does not decide."""
    rows, rule = list(y), ra.Reputation(intercept=intercept)
    ours, theirs = (rejected(detection(name, rows, intercept)(), y.shape[1]) for name in (backend, "numpy"))
    with ra.use_backend("numpy"):
        undecided = np.abs(kernels.active().confidence(rows, rule.line) - rule.confidence_threshold) < 1e-3
    wrong = (ours != theirs) & ~undecided
    assert not wrong.any(), f"{backend}, {intercept}: {wrong.sum()} wrong decisions"


def compare(n: int, budget: int, published: Path | None) -> dict[str, Any]:
    """All sides at one n: {side: (median, low, high) in ns per coordinate}."""
    d = max(2048, budget // n)
    rows = list(updates(n, d))
    small = min(2**16, AUTHORS_BYTES // (4 * n * n))
    tensor = torch.from_numpy(updates(n, small))
    sides: dict[str, tuple[int, Callable[[], Any]]] = {
        f"native, {intercept}": (d, detection("native", rows, intercept)) for intercept in INTERCEPTS
    }
    if n <= 200:
        sides["numba, separate"] = (d, detection("numba", rows, "separate"))
        sides["numpy, separate"] = (64, detection("numpy", [row[:64] for row in rows], "separate"))
    if n <= 500:
        sides["authors' method, torch"] = (small, lambda: authors.detect(tensor))
    if n <= 200 and published:
        theirs = authors.published(published)
        sides["authors' own code"] = (small, lambda: theirs(tensor))
    column = np.sort(rows[0][:n]).astype(np.float64)
    sides["scipy siegelslopes, line alone"] = (1, lambda: stats.siegelslopes(column))
    for intercept in INTERCEPTS:
        check(updates(n, 64), intercept, "native")
    if n <= 500:
        anew = authors.detect(tensor).numpy()
        ours = rejected(detection("numpy", list(tensor.numpy()), "median_point")(), small)
        assert (anew != ours).mean() < 1e-3, "the authors' method decides otherwise"
    times = alternate({name: call for name, (_, call) in sides.items()}, rounds=5, rest=0.05)
    return {name: [t / sides[name][0] * 1e9 for t in times[name]] for name in sides}


def kinds(n: int, budget: int) -> dict[str, float]:
    """Native detection on awkward data, as a multiple of the Gaussian time."""
    d = max(2048, budget // n)
    for kind in KINDS:
        check(updates(n, 64, kind), "separate", "native")
    calls = {kind: detection("native", list(updates(n, d, kind)), "separate") for kind in KINDS}
    times = alternate(calls, rounds=5)
    return {kind: times[kind].median / times["gaussian"].median for kind in KINDS}


def variants(n: int, budget: int) -> dict[str, float]:
    """Native detection under other instruction sets and of other dtypes, as a multiple of float32's best."""
    y = updates(n, max(2048, budget // n))
    sets = _native.usable_isas()
    rows = {isa: list(y) for isa in sets} | {dtype: list(y.astype(dtype)) for dtype in ("float64", "float16")}

    def call(variant: str) -> Callable[[], Any]:
        detect = detection("native", rows[variant], "separate")

        def timed() -> None:
            _native.set_isa(variant if variant in sets else sets[0])
            detect()

        return timed

    times = alternate({variant: call(variant) for variant in rows}, rounds=5)
    _native.set_isa(sets[0])
    return {variant: times[variant].median / times[sets[0]].median for variant in rows}


def draw(report: dict[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    sides = dict.fromkeys(name for times in report["detection"].values() for name in times)
    colors = mpl.colormaps["tab10"].colors
    for color, name in zip(colors, sides, strict=False):
        points = [(int(n), times[name]) for n, times in report["detection"].items() if name in times]
        ns, values = zip(*points, strict=True)
        median, low, high = zip(*values, strict=True)
        axes.plot(ns, median, "o-", color=color, label=name, linewidth=2 if name.startswith("native") else 1.2)
        axes.fill_between(ns, low, high, color=color, alpha=0.2, linewidth=0)
    ns = [int(n) for n in report["detection"]]
    floor = [4e9 * n / report["read_bandwidth"] for n in ns]
    axes.plot(ns, floor, "k--", linewidth=1, label=f"reading once, {report['read_bandwidth'] / 1e9:.0f} GB/s")
    axes.set(xscale="log", yscale="log", xlabel="clients n", ylabel="ns per coordinate (median; band: min to max)")
    axes.set_xticks(ns, [str(n) for n in ns])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(
        f"Detection, float32, {report['threads']} threads, {report['machine']['cpu']}, {report['machine']['date']}"
    )
    figure.savefig(path, dpi=120)


def show(report: dict[str, Any]) -> None:
    console = Console(width=130)
    table = Table(title="ns per coordinate, float32, medians")
    sides = list(dict.fromkeys(name for times in report["detection"].values() for name in times))
    table.add_column("n", justify="right")
    for name in sides:
        table.add_column(name, justify="right")
    for n, times in report["detection"].items():
        table.add_row(str(n), *(f"{times[name][0]:,.3g}" if name in times else "" for name in sides))
    console.print(table)
    for part, title in (("kinds", "awkward data"), ("variants", "instruction sets and dtypes")):
        ratios = report[part]
        table = Table("n", *ratios[str(SIZES[0])], title=f"native, separate: {title}, as a multiple of the time above")
        for n, line in ratios.items():
            table.add_row(str(n), *(f"{ratio:.2f}" for ratio in line.values()))
        console.print(table)
    console.print(f"1 thread / {report['threads']} threads:", {n: round(r, 2) for n, r in report["scaling"].items()})


def page(report: dict[str, Any]) -> str:
    """The figures as Markdown tables."""
    sides = list(dict.fromkeys(name for times in report["detection"].values() for name in times))
    lines = [f"| n | {' | '.join(sides)} | reading once |", f"|{' ---: |' * (len(sides) + 2)}"]
    for n, times in report["detection"].items():
        cells = [f"{times[name][0]:,.3g}" if name in times else "" for name in sides]
        lines.append(f"| {n} | {' | '.join(cells)} | {4e9 * int(n) / report['read_bandwidth']:,.3g} |")
    scaling = f"1 thread / {report['threads']} threads"
    names = list(report["variants"][str(SIZES[0])])
    lines += ["", f"| n | {' | '.join([*KINDS, *names])} | {scaling} |"]
    lines += [f"|{' ---: |' * (len(KINDS) + len(names) + 2)}"]
    for n, ratios in report["kinds"].items():
        cells = [f"{ratio:.2f}" for ratio in (*ratios.values(), *report["variants"][n].values())]
        lines.append(f"| {n} | {' | '.join(cells)} | {report['scaling'][n]:.2f} |")
    return "\n".join(lines) + "\n"


def main(
    out: Path = Path("detection"),
    budget: Annotated[int, typer.Option(help="n * d of a timed call")] = 2**22,
    published: Annotated[Path | None, typer.Option(help="A copy of the authors' file, see bench/authors.py")] = None,
) -> None:
    threads = kernels.num_threads()
    report: dict[str, Any] = {"machine": machine(), "threads": threads, "read_bandwidth": bandwidth(threads)}
    report["detection"] = {str(n): compare(n, budget, published) for n in SIZES}
    report["kinds"] = {str(n): kinds(n, budget) for n in SIZES}
    report["variants"] = {str(n): variants(n, budget) for n in SIZES}
    report["scaling"] = {str(n): scaling(n, budget, threads) for n in SIZES}
    out.with_suffix(".json").write_text(json.dumps(report, indent=1))
    out.with_suffix(".md").write_text(page(report))
    draw(report, out.with_suffix(".png"))
    show(report)


def scaling(n: int, budget: int, threads: int) -> float:
    """How many times faster all threads are than one."""
    call = detection("native", list(updates(n, max(2048, budget // n))), "separate")

    def with_threads(count: int) -> Callable[[], Any]:
        def timed() -> None:
            ra.set_num_threads(count)
            call()

        return timed

    times = alternate({"one": with_threads(1), "all": with_threads(threads)}, rounds=5)
    ra.set_num_threads(None)
    return times["one"].median / times["all"].median


if __name__ == "__main__":
    typer.run(main)
