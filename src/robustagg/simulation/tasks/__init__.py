"""What the clients learn: ``digits``, ``mnist:PATH``, ``topics:FOLDER``, ``csv:PATH``, ``images:PATH``, own arrays."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from robustagg import errors
from robustagg.simulation.tasks.base import Recipe, Samples, Task, arrays
from robustagg.simulation.tasks.digits import digits, mnist
from robustagg.simulation.tasks.images import images
from robustagg.simulation.tasks.split import SPLITS, split
from robustagg.simulation.tasks.texts import table, topics

__all__ = ["SPLITS", "TASKS", "Recipe", "Samples", "Task", "arrays", "check", "digest", "load", "split"]

TASKS = ("digits", "mnist:PATH", "topics:FOLDER", "csv:PATH", "images:PATH")
"""What `load` knows."""
PIECE = 1 << 20  # bytes of a file that are read at a time


def check(task: str) -> None:
    """Raise unless there is such a task, and data where it says."""
    name, colon, path = task.partition(":") if isinstance(task, str) else (task, "", "")
    if name not in {known.partition(":")[0] for known in TASKS} or (name == "digits") == bool(path):
        raise errors.not_one_of("the task", task, TASKS)
    if colon and not Path(path).exists():
        raise errors.no_data(path)


def load(task: str, seed: int) -> Task:
    """The task of this name; the seed draws the test samples where the data name none."""
    check(task)
    name, _, path = task.partition(":")
    return _load(name, path, seed if name in ("digits", "csv", "images") else 0, _files(path))


def digest(task: str) -> str:
    """Of the names and bytes of all files that the task reads; empty where it reads none."""
    path = task.partition(":")[2]
    return _digest(path, _files(path)) if path else ""


@lru_cache(maxsize=4)
def _digest(path: str, files: tuple[Any, ...]) -> str:
    found = hashlib.sha256()
    for file, _, size in files:
        if file.is_file():
            found.update(f"{os.path.relpath(file, path)} {size} ".encode(errors="surrogateescape"))
            with file.open("rb") as stream:
                while piece := stream.read(PIECE):
                    found.update(piece)
    return found.hexdigest()[:16]


def _files(path: str) -> tuple[Any, ...]:
    """The files at a path, each with its time and size: another tuple where one has changed."""
    files = sorted(Path(path).rglob("*")) if path and Path(path).is_dir() else [Path(path)] * bool(path)
    return tuple((file, (status := file.stat()).st_mtime_ns, status.st_size) for file in files)


@lru_cache(maxsize=4)  # a grid asks for the same again and again
def _load(name: str, path: str, seed: int, files: tuple[Any, ...]) -> Task:
    if name == "digits":
        return digits(seed)
    if name in ("csv", "images"):
        return {"csv": table, "images": images}[name](Path(path), seed)
    return {"mnist": mnist, "topics": topics}[name](Path(path))
