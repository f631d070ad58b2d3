"""A Ray cluster of two nodes on this machine, which can be killed in parts, under hard time limits."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray.cluster_utils import Cluster

from robustagg.engine.ray import Ray

NODE: dict[str, Any] = {"num_cpus": 1, "memory": 2**30, "object_store_memory": 10**8, "include_dashboard": False}
HEALTH = {"RAY_health_check_timeout_ms": "60000", "RAY_health_check_period_ms": "1000"}
"""A node that is killed refuses to answer, five times; one that is slow, on a busy machine, has a minute."""

GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
for pid in filter(str.isdecimal, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if int(pid) != os.getpid() and sys.argv[1].encode() in file.read():
                os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Once its parent has ended, or says so: kills what was started in a folder, and deletes that."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """A block that ends after so many seconds, or all of us do: a call into Ray may hang where no signal reaches it."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def cluster_of_two() -> Iterator[Cluster]:
    """One processor each; what they leave in their folder goes with them."""
    folder = tempfile.mkdtemp(prefix="ra-")
    Path(folder, "ray").mkdir()  # where Ray says which cluster is there, and makes no folder for it
    guard = subprocess.Popen([sys.executable, "-c", GUARD, folder], stdin=subprocess.PIPE)
    cluster = Cluster()
    try:
        with patch.dict(os.environ, RAY_TMPDIR=folder, **HEALTH):
            with limit(120):
                for _ in range(2):
                    cluster.add_node(temp_dir=folder, **NODE)
                ray.init(address=cluster.address, log_to_driver=False)
            yield cluster
    finally:
        with limit(60):
            ray.shutdown()
            guard.communicate(timeout=30)


class Sabotaged(Ray):
    """Ray, some of whose workers are killed once, in the middle of a partition, when they come to this block."""

    def __init__(self, folder: Path, verb: str, block: int = 2) -> None:
        super().__init__()
        self._folder, self._verb, self._block = folder, verb, block

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        return super().each(killing(work, self._folder, self._verb, self._block), common, tasks)

    @property
    def killed(self) -> int:
        return len(list(self._folder.iterdir()))


def killing(work: Callable[..., Any], folder: Path, verb: str, at: int) -> Callable[..., Any]:
    """The work, which in three partitions kills its process when it comes to block `at` for the first time."""

    def sabotaged(common: Any, partition: Any, *more: Any) -> Any:
        seen, method = 0, getattr(common.rule, verb)

        def dying(*arguments: Any) -> Any:
            nonlocal seen
            seen += 1
            marker = folder / f"{verb}-{partition.start}"
            if seen == at and not marker.exists() and len(list(folder.iterdir())) < 3:
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments)

        setattr(common.rule, verb, dying)
        return work(common, partition, *more)

    sabotaged.__name__ = work.__name__
    return sabotaged


class Interrupted(Ray):
    """Ray, of which the first to end a task of that name, near a client's update, is killed before it can say so."""

    def __init__(self, folder: Path, work: str) -> None:
        super().__init__()
        self._folder, self._work = folder, work

    def there(self, work: Callable[..., Any], common: Any, tasks: Any, count: int) -> Any:
        given = dying_once(work, self._folder) if work.__name__ == self._work else work
        return super().there(given, common, tasks, count)


def dying_once(work: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """The work, which kills its process once it is done, the first time that it is."""

    def sabotaged(*arguments: Any) -> Any:
        done, marker = work(*arguments), folder / work.__name__
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    sabotaged.__name__ = work.__name__
    return sabotaged


class Stopped(Ray):
    """Ray, of which a caller presses Ctrl-C so many seconds into a pass."""

    after = 0.0

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, self.after)
        try:
            yield from super().each(work, common, tasks)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Losing(Ray):
    """Ray, of which a node is killed once so many partitions are done in a pass of that name."""

    def __init__(self, cluster: Cluster, work: str, after: int) -> None:
        super().__init__()
        self._cluster, self._work, self._after = cluster, work, after

    def each(self, work: Callable[..., Any], common: Any, tasks: Any) -> Iterator[tuple[int, Any, Any]]:
        for count, done in enumerate(super().each(work, common, tasks), 1):
            yield done
            if work.__name__ == self._work and count == self._after and self._cluster.worker_nodes:
                self._cluster.remove_node(next(iter(self._cluster.worker_nodes)), allow_graceful=False)
