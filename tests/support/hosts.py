"""What the tests of all hosts share: the examples as their users change them, a model, and bad clients."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import robustagg as ra

EXAMPLES = Path(__file__).parents[2] / "examples"


def changed(host: str, folder: Path) -> Path:
    """The example's folder, copied, with its diff applied."""
    app = folder / "app"
    shutil.copytree(EXAMPLES / host, app, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["patch", "-p1", "-i", "robust.diff"], cwd=app, check=True, stdout=subprocess.DEVNULL)
    return app


MODEL = {"b": np.zeros(2), "steps": np.array(0), "w": np.zeros((3, 2), np.float32)}


def trained(seed: int) -> dict[str, np.ndarray]:
    """What an honest client has made of MODEL."""
    drawn = np.random.default_rng(seed)
    return {name: np.asarray(drawn.normal(1, 0.1, a.shape), a.dtype) for name, a in MODEL.items()}


def average(clients: Iterable[int]) -> dict[str, np.ndarray]:
    """What becomes of honest clients' models alone."""
    return ra.Mean().aggregate([trained(client) for client in clients]).update


BAD: dict[str, Callable[[], dict[str, Any]]] = {
    "lacks a tensor": lambda: {"w": MODEL["w"]},
    "another shape": lambda: {**trained(6), "w": np.zeros(3, np.float32)},
    "another dtype": lambda: {**trained(6), "b": np.zeros(2, np.float32)},
    "NaN": lambda: {**trained(6), "b": np.array([np.nan, 0])},
    "infinity": lambda: {**trained(6), "w": np.full((3, 2), np.inf, np.float32)},
    "words": lambda: {**trained(6), "b": "none of your business"},
    "pickled objects": lambda: {**trained(6), "b": np.array([object(), None])},
}
"""What a hostile client may send in place of a model."""


def module(path: Path) -> ModuleType:
    """A file of an example, imported under its own name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
