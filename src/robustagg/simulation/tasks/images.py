"""Images in a folder or an archive per class."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.simulation.tasks.base import Recipe, Task, arrays, square
from robustagg.simulation.tasks.trees import walk

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def images(path: Path, seed: int) -> Task:
    """Images, each in a folder or archive that is named for its class, as pixels in [0, 1], channels first.

    All get the size of the first. Those below a folder ``test`` are for the test, else a quarter of all. Labels are
    flipped from cat to dog where there are such (Chu et al., 2023).
    """
    try:
        from PIL import Image
    except ImportError as cause:
        raise errors.optional_package("pillow", "sim") from cause
    found: dict[bool, tuple[list[NDArray[Any]], list[str]]] = {False: ([], []), True: ([], [])}
    size: tuple[int, int] | None = None
    for names, content in walk(path):
        if len(names) > 1 and names[-1].lower().endswith(SUFFIXES):
            try:
                picture = _colours(Image, content)
            except OSError:  # of Pillow's
                raise errors.not_an_image(path, "/".join(names)) from None
            size = size or picture.size
            pixels, labels = found["test" in names[:-2]]
            pixels.append(np.asarray(picture if picture.size == size else picture.resize(size)))
            labels.append(names[-2])
    if size is None:
        raise errors.no_images(path, SUFFIXES)
    if not found[False][0]:
        raise errors.only_test_images(path)
    (x, y), (x_test, y_test) = found.values()
    image = (3, size[1], size[0])
    pets = {"source": "cat", "target": "dog"} if {"cat", "dog"} <= set(y) else {}
    classes = sorted({*y, *y_test})
    parts: dict[str, Any] = {name: classes.index(label) for name, label in pets.items()}
    parts |= {"image": image, "recipe": Recipe("cnn", 0.05, 32), "trigger": square(image, usual=4)}
    if y_test:
        parts["test"] = (_scaled(x_test), y_test)
    return arrays(_scaled(x), y, title=path.stem, seed=seed, **parts)


def _colours(library: Any, content: bytes) -> Any:
    """The picture in 8 bits a colour; Pillow would clip 16 bits of grey."""
    picture = library.open(io.BytesIO(content))
    if picture.mode.startswith("I"):
        grey = np.asarray(picture) // 257  # 65535 becomes 255
        picture = library.fromarray(grey.astype(np.uint8))
    return picture.convert("RGB")


def _scaled(pixels: list[NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(np.stack(pixels).transpose(0, 3, 1, 2) / np.float32(255), np.float32)
