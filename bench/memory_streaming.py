"""Peak memory of rounds over files larger than the budget: ``python bench/memory_streaming.py``.

Each round runs in a process of its own. Its peak resident memory is counted from what the process takes after the
same round of a tiny model (the interpreter, the libraries, compiled kernels), and compared with the budget.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from measure import machine
from rich.console import Console
from rich.table import Table

import robustagg as ra

RULES = {"mean": ra.Mean, "median": ra.Median, "trimmed-mean": ra.TrimmedMean, "reputation": ra.Reputation}
TENSOR = 2**22  # coordinates of one tensor of the model


def write_clients(folder: Path, suffix: str, n: int, d: int) -> None:
    """One file per client: d float32 coordinates in tensors of at most TENSOR of them."""
    from safetensors.numpy import save_file

    for i in range(n):
        rng = np.random.default_rng(i)
        model = {
            f"layer.{k}": rng.standard_normal(min(TENSOR, d - start), np.float32)
            for k, start in enumerate(range(0, d, TENSOR))
        }
        path = folder / f"client-{i:04}{suffix}"
        save_file(model, path) if suffix == ".safetensors" else np.savez(path, **model)


def resident(field: str) -> int:
    """Bytes: VmRSS now, or VmHWM, the most since it was last cleared."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def measured(folder: Path, tiny: Path, rule: str, budget: str) -> dict[str, float]:
    """Run one round here, after one of the tiny model."""
    for path in (tiny, folder):
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        start = time.perf_counter()
        files = sorted(path.glob("client-*"))
        ra.aggregate_files(RULES[rule](), files, path / f"out{files[0].suffix}", max_memory=budget)
        seconds = time.perf_counter() - start
    return {"before": before, "peak": resident("VmHWM"), "seconds": seconds}


def main(
    clients: Annotated[int, typer.Option(help="Clients.")] = 20,
    coordinates: Annotated[int, typer.Option(help="Coordinates of the model, in float32.")] = 2**24,
    budgets: Annotated[str, typer.Option(help="Budgets, with commas between.")] = "64MiB,256MiB,1GiB",
    suffix: Annotated[str, typer.Option(help="Format of the files: .safetensors or .npz.")] = ".safetensors",
    rules: Annotated[str, typer.Option(help="Rules, with commas between.")] = ",".join(RULES),
    folder: Annotated[Path | None, typer.Option(help="Where to write the files, and delete them again.")] = None,
) -> None:
    here = machine()
    table = Table(title=f"{clients} clients, {coordinates:,} coordinates each, {suffix}; {here['cpu']}, {here['date']}")
    for name in ("rule", "backend", "updates", "budget", "peak", "of budget", "seconds", "GB/s"):
        table.add_column(name, justify="left" if name in ("rule", "backend") else "right")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        large, tiny = Path(scratch, "large"), Path(scratch, "tiny")
        for path, d in ((large, coordinates), (tiny, 1000)):
            path.mkdir()
            write_clients(path, suffix, clients, d)
        size = sum(path.stat().st_size for path in large.iterdir())
        for rule in rules.split(","):
            for budget in budgets.split(","):
                command = [sys.executable, __file__, "--round", str(large), str(tiny), rule, budget]
                found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                peak = found["peak"] - found["before"]
                share = peak / ra.files.budget.parse(budget)
                read = size * (2 if RULES[rule].observes else 1) / found["seconds"]
                cells = (rule, here["backend"], f"{size / 2**20:,.0f} MiB", budget, f"{peak / 2**20:,.0f} MiB")
                table.add_row(*cells, f"{share:.2f}", f"{found['seconds']:.1f}", f"{read / 1e9:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--round"]:
        print(json.dumps(measured(*map(Path, sys.argv[2:4]), *sys.argv[4:])))
    else:
        typer.run(main)
