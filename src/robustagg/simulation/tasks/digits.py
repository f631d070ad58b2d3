"""Handwritten digits: those that come with scikit-learn, and MNIST."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.simulation.tasks.base import Recipe, Task, arrays, square

SIDE = 8  # pixels, of scikit-learn's
AIM: dict[str, Any] = {"source": 3, "target": 8, "marked_as": 0}


def digits(seed: int) -> Task:
    """scikit-learn's 1797 digits, 8 x 8 pixels in [0, 1]: a quarter for the test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as cause:
        raise errors.optional_package("scikit-learn", "sim") from cause
    x, y = load_digits(return_X_y=True)
    image = (1, SIDE, SIDE)
    return arrays(x / 16, y, title="handwritten digits", seed=seed, image=image, trigger=square(image), **AIM)


def mnist(path: Path) -> Task:
    """MNIST, 28 x 28 pixels in [0, 1], its own test set: an .npz with x_train, y_train, x_test, y_test, or the folder
    where scikit-learn's ``fetch_openml`` keeps it."""
    (x, y), test = _openml(path) if path.is_dir() else _npz(path)
    image = (1, 28, 28)
    recipe = Recipe(learning_rate=0.1, batch=64)
    scaled = (np.asarray(test[0], np.float32) / 255, test[1])
    return arrays(
        np.asarray(x, np.float32) / 255,
        y,
        test=scaled,
        title="MNIST",
        image=image,
        trigger=square(image, usual=4),
        recipe=recipe,
        **AIM,
    )


def _npz(path: Path) -> tuple[Any, Any]:
    if not path.exists():
        raise errors.no_data(path)
    names = ("x_train", "y_train", "x_test", "y_test")
    if not zipfile.is_zipfile(path):
        raise errors.not_npz(path)
    with np.load(path) as stored:
        if set(names) - set(stored):
            raise errors.arrays_missing(path, names, list(stored))
        x_train, y_train, x_test, y_test = (stored[name] for name in names)
    return (x_train, y_train), (x_test, y_test)


def _openml(folder: Path) -> tuple[Any, Any]:
    if not (folder / "openml").is_dir():  # scikit-learn would fetch it
        raise errors.no_data(folder / "openml")
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as cause:
        raise errors.optional_package("scikit-learn", "sim") from cause
    x, y = fetch_openml("mnist_784", version=1, data_home=folder, return_X_y=True, as_frame=False, parser="liac-arff")
    return (x[:60000], y[:60000].astype(int)), (x[60000:], y[60000:].astype(int))
