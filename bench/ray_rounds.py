"""A round on a Ray cluster beside the same round in one process: ``python bench/ray_rounds.py``.

One machine gains nothing: it has the same processors and the same disk. What is measured are rates, and bytes that move
between processes; from them follows what a round costs that no machine can hold, on 1, 8 and 64 machines.
"""

from __future__ import annotations

import json
import pickle
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import ray
import typer
from measure import machine
from memory_streaming import write_clients
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

import robustagg as ra
from robustagg.engine.ray import Ray

RULES: dict[str, Callable[[int], ra.Rule]] = {
    "mean": lambda f: ra.Mean(),
    "median": lambda f: ra.Median(),
    "krum": lambda f: ra.Krum(f=f),
    "reputation": lambda f: ra.Reputation(),
}
CLIENTS, COORDINATES, BYTES = 100, 7 * 10**9, 2  # what is worked out: bfloat16


class Weighed(Ray):
    """Ray, and how many bytes its tasks are sent, give back, and leave where they are."""

    moved = dict.fromkeys(("sent", "brief", "kept"), 0)

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        self.moved["sent"] += len(pickle.dumps(common)) + sum(len(pickle.dumps(task[0])) for task in tasks)
        for k, brief, kept in super().each(work, common, tasks):
            self.moved["brief"] += len(pickle.dumps(brief))
            self.moved["kept"] += len(pickle.dumps(self._ray.get(kept)))
            yield k, brief, kept


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of this process's processors."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, busy


def measured(name: str, files: list[Path], refs: list[Any], folder: Path, memory: str) -> dict[str, Any]:
    """One rule's round here, on Ray, and on Ray with everything weighed."""
    outs = [folder / f"{side}.safetensors" for side in ("here", "ray")]
    make, nbytes = RULES[name], sum(path.stat().st_size for path in files)

    def held(out: Path, executor: Ray | None) -> None:
        ra.aggregate_files(make(len(files) // 5), files, out, max_memory=memory, executor=executor)

    held(outs[1], Ray())  # workers start, files are in the cache
    here, busy = timed(lambda: held(outs[0], None))
    there, _ = timed(lambda: held(outs[1], Ray()))
    assert outs[0].read_bytes() == outs[1].read_bytes()
    weighed = Weighed()
    held(outs[1], weighed)
    by_reference(make(len(files) // 5), refs)
    stored, _ = timed(lambda: by_reference(make(len(files) // 5), refs))
    passes = 1 + make(1).observes
    moved = dict(weighed.moved)
    weighed.moved.update(dict.fromkeys(moved, 0))
    return {
        "rule": name,
        "here": here,
        "ray": there,
        "references": stored,
        "busy": busy,
        "passes": passes,
        "bytes": nbytes,
        **moved,
    }


def by_reference(rule: ra.Rule, refs: list[Any]) -> Any:
    """The same round of updates in the object store, until its result is there."""
    update = rule.aggregate(refs, executor=Ray()).update
    return ray.wait([update])


def worked_out(found: dict[str, Any], n: int, machines: int, cores: int, network: float, storage: float) -> Any:
    """Minutes of the large round, and what limits it: processors, each machine's network, or the storage of all."""
    read = found["passes"] * CLIENTS * COORDINATES * BYTES
    values = found["passes"] * CLIENTS * COORDINATES
    each = found["busy"] / (found["passes"] * found["bytes"] / 4)  # seconds of a processor per value, at n clients
    limits = {
        "processors": values * each / (machines * cores),
        "network": read / (machines * network * 1e9),
        "storage": read / (storage * 1e9),
    }
    limit = max(limits, key=lambda name: limits[name])
    return limits[limit] / 60, limit


def main(
    n: Annotated[int, typer.Option(help="Clients.")] = 100,
    d: Annotated[int, typer.Option(help="Coordinates of each, float32.")] = 2**20,
    memory: Annotated[str, typer.Option(help="What a task may take.")] = "64 MiB",
    cores: Annotated[int, typer.Option(help="Processors of a machine that is worked out.")] = 32,
    network: Annotated[float, typer.Option(help="GB/s that a machine reads over its network.")] = 3.0,
    storage: Annotated[float, typer.Option(help="GB/s of the storage that all share.")] = 40.0,
    processors: Annotated[int, typer.Option(help="Of the cluster that is started here.")] = 2,
    write: Annotated[Path | None, typer.Option(help="Write what was measured to this file.")] = None,
) -> None:
    """Measure, check that both files are the same, and work out."""
    console = Console()
    console.print(machine(), soft_wrap=True)
    ray.init("local", num_cpus=processors, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (clients := folder / "clients").mkdir()
        write_clients(clients, ".safetensors", n, d)
        files = sorted(clients.iterdir())
        refs = [ray.put(load_file(path)) for path in files]
        found = [measured(rule, files, refs, folder, memory) for rule in RULES]
    ray.shutdown()
    table = Table(
        "rule", "here, s", "Ray, s", "references, s", "processor, s", "read, MB", "sent, MB", "brief, MB", "notes, MB"
    )
    for row in found:
        sizes = [row["passes"] * row["bytes"], row["sent"], row["brief"], row["kept"]]
        seconds = [row["here"], row["ray"], row["references"], row["busy"]]
        table.add_row(row["rule"], *(f"{s:.2f}" for s in seconds), *(f"{size / 1e6:.2f}" for size in sizes))
    console.print(table)
    far = Table("rule", *(f"{m} machine{'s' * (m > 1)}" for m in (1, 8, 64)))
    for row in found:
        costs = [worked_out(row, n, m, cores, network, storage) for m in (1, 8, 64)]
        far.add_row(row["rule"], *(f"{minutes:.1f} min, {limit}" for minutes, limit in costs))
    console.print(f"{CLIENTS} clients x {COORDINATES:.0e} bfloat16, {cores} processors, {network} and {storage} GB/s:")
    console.print(far)
    if write is not None:
        write.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
