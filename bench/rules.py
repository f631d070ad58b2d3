"""Every rule beside ByzFL's and ByzPy's: ``python bench/rules.py --out docs/rules-speed``.

All sides get the same float32 torch tensor (ByzPy the list of its rows) and the same number of threads. Answers are
compared first, then all sides are timed in turn, and medians quoted. Peak memory is what a fresh process takes during
one call beyond what it held before. A peer that is not installed is left out, and the report says so. A call that
needs more memory than there is, or takes longer than `patience`, is not repeated, and the report says which.
Writes OUT.json, OUT.png and OUT.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measure import alternate, machine, peak_of, updates
from rivals import RIVALS, Rival, byzantine, calls, peers

from robustagg import kernels

SIDES = ("robustagg", "ByzFL", "ByzPy")
TIES = 1e-4  # of the coordinates: where two values are equally near the median but for rounding, peers take the other
NO_MEMORY = "more memory than there is"


def stacked(answer: Any) -> np.ndarray:
    return (torch.stack(list(answer)) if isinstance(answer, list) else answer).numpy()


def agree(rival: Rival, n: int, sides: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of each side's first call; raises where an answer is another."""
    seconds, answers = {}, {}
    for side, call in sides.items():
        start = time.perf_counter()
        answers[side] = stacked(call())
        seconds[side] = time.perf_counter() - start
    for side, near in zip(SIDES[1:], rival.near, strict=True):
        if side in answers:
            apart = np.abs(answers[side] - answers["robustagg"]) * np.sqrt(n)
            other = np.count_nonzero(apart > near) / apart.size
            assert other <= TIES, f"{rival.name}, {n} clients: {side} is up to {apart.max():.2g} apart"
    return seconds


def timed(rival: Rival, n: int, d: int, found: dict[str, Any], patience: float) -> dict[str, Any]:
    """{side: (median, low, high) seconds}, or a word where there is no time to measure."""
    x = torch.from_numpy(updates(n, d))
    fits = 4 * d * rival.byzfl_takes(n, byzantine(n)) < available()
    sides = calls(rival, x, {peer: found[peer] for peer in found if fits or peer != "ByzFL"})
    result: dict[str, Any] = {} if fits else {"ByzFL": NO_MEMORY}
    first = agree(rival, n, sides)
    slow = [side for side in sides if first[side] > patience]
    result |= {side: (first[side],) * 3 for side in slow}
    quick = {side: call for side, call in sides.items() if side not in slow}
    result |= alternate(quick, rounds=5, least=0.01, rest=0.15)
    return result


def available() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak(name: str, side: str, n: int, d: int) -> int:
    """Bytes that one call takes beyond what this process holds, its input included; after a small call."""
    rival = next(rival for rival in RIVALS if rival.name == name)
    found = peers()
    calls(rival, torch.from_numpy(updates(n, 8192)), found)[side]()
    return peak_of(calls(rival, torch.from_numpy(updates(n, d)), found)[side])


def peak_apart(rival: Rival, side: str, n: int, d: int) -> int | None:
    command = [sys.executable, __file__, "--peak", json.dumps([rival.name, side, n, d])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else None


def measured(rivals: Sequence[Rival], found: dict[str, Any], patience: float) -> list[dict[str, Any]]:
    lines = []
    for rival in rivals:
        for n, d in rival.sizes:
            seconds = timed(rival, n, d, found, patience)
            runs = [side for side in seconds if not isinstance(seconds[side], str)]
            memory = {side: peak_apart(rival, side, n, d) for side in runs} if (n, d) == rival.sizes[-1] else {}
            lines.append({"rule": rival.name, "n": n, "d": d, "f": byzantine(n), "seconds": seconds, "peak": memory})
            print(lines[-1], flush=True)
    return lines


# --- report ---------------------------------------------------------------------------------------------------------


def ratio(line: dict[str, Any]) -> float | None:
    """The best peer's time in units of ours."""
    theirs = [t[0] for side, t in line["seconds"].items() if side != "robustagg" and not isinstance(t, str)]
    return min(theirs) / line["seconds"]["robustagg"][0] if theirs else None


def plain(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):,g}"


def cell(seconds: Any, peak: int | None) -> str:
    if seconds is None or isinstance(seconds, str):
        return seconds or ""
    return f"{plain(seconds[0] * 1e3, 3)} ms" + (f", {peak / 2**20:,.0f} MiB" if peak is not None else "")


def table(report: dict[str, Any], picture: str) -> str:
    here = report["machine"]
    text = [
        "# How fast, beside ByzFL and ByzPy",
        "",
        f"*{here['cpu']}, {threads(report)}, float32, {here['date']}; {', '.join(report['versions'])}.*",
        "",
        "Median time of a call on a torch tensor, and at the largest size the memory it takes beyond its input. Made",
        "by `python bench/rules.py`, which compares answers first; [peers.md](peers.md) says whose differ, and why.",
        "The machine was shared, with a load of {:.1f} to {:.1f}, this included: ".format(*report["load"])
        + "all sides take turns, so look at the ratios.",
        "",
        f"![Milliseconds per call]({picture})",
        "",
        "| rule | n | d | f | robustagg | ByzFL | ByzPy | best peer / robustagg |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for line in report["lines"]:
        cells = [cell(line["seconds"].get(side), line["peak"].get(side)) for side in SIDES]
        faster = ratio(line)
        text.append(
            f"| {line['rule']} | {line['n']} | {line['d']:,} | {line['f']} | {' | '.join(cells)} | "
            f"{'' if faster is None else f'{plain(faster, 2)}x'} |"
        )
    return "\n".join([*text, ""])


def threads(report: dict[str, Any]) -> str:
    return f"{report['threads']} thread{'s' * (report['threads'] > 1)}"


def draw(report: dict[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [line for line in report["lines"] if line["d"] != 65536 or line["n"] != 80]
    figure = Figure(figsize=(10, 0.27 * len(lines) + 1.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for k, line in enumerate(lines):
        for side, color, marker in zip(SIDES, ("tab:blue", "tab:orange", "tab:green"), "osd", strict=True):
            seconds = line["seconds"].get(side)
            if seconds is not None and not isinstance(seconds, str):
                axes.plot(seconds[0] * 1e3, -k, marker, color=color, label=side)
    axes.set(xscale="log", xlabel="milliseconds, median of a call")
    axes.set_yticks([-k for k in range(len(lines))], [f"{e['rule']}  {e['n']} x {e['d']:,}" for e in lines], fontsize=8)
    axes.grid(alpha=0.3)
    named = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # one marker for each side
    axes.legend(named.values(), named.keys(), frameon=False, loc="upper right")
    axes.set_title(f"{report['machine']['cpu']}, {threads(report)}, float32", fontsize=10)
    figure.savefig(path, dpi=120)


def versions(found: dict[str, Any]) -> list[str]:
    from importlib.metadata import version

    names = ["robustagg", *(side.lower() for side in found), "torch"]
    absent = [f"{side} not installed" for side in SIDES[1:] if side not in found]
    return [f"{name} {version(name)}" for name in names] + absent


def main(
    out: Path = Path("rules"),
    rule: Annotated[
        list[str] | None, typer.Option(help="Measure these again, and keep the others of OUT.json.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds; what takes longer is called once.")] = 5.0,
    peak_of: Annotated[str | None, typer.Option("--peak", hidden=True)] = None,
) -> None:
    torch.set_num_threads(kernels.num_threads())
    if peak_of is not None:
        print(peak(*json.loads(peak_of)))
        return
    found = peers()
    report: dict[str, Any] = {"machine": machine(), "threads": kernels.num_threads(), "versions": versions(found)}
    chosen = [rival for rival in RIVALS if not rule or rival.name in rule]
    names = [rival.name for rival in RIVALS]
    before = json.loads(out.with_suffix(".json").read_text()) if rule else {"lines": [], "load": []}
    kept = [line for line in before["lines"] if line["rule"] not in rule]
    loads = [*before["load"], os.getloadavg()[0]]
    report["lines"] = sorted(kept + measured(chosen, found, patience), key=lambda line: names.index(line["rule"]))
    loads.append(os.getloadavg()[0])
    report["load"] = [min(loads), max(loads)]
    out.with_suffix(".json").write_text(json.dumps(report, indent=1))
    out.with_suffix(".md").write_text(table(report, out.with_suffix(".png").name), "utf-8")
    draw(report, out.with_suffix(".png"))


if __name__ == "__main__":
    typer.run(main)
