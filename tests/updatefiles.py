"""Updates as files, for the tests of rounds over files."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save

SUFFIXES = (".safetensors", ".npz", ".npy")
WIDE = 3 * 8192 + 100  # coordinates: more than a block under a small budget
NAMES = ("ada", "bob", "cem", "dan", "eve")


def model(seed, dtype="float32", wide=WIDE):
    """An update with everything that models have: layers, a scalar, an empty tensor, counters, masks."""
    rng = np.random.default_rng(seed)

    def values(*shape):
        return np.asarray(rng.normal(size=shape).astype(dtype))

    return {
        "layer.1/weight": values(3, 70, 41),
        "layer.0": values(wide),
        "bias": values(7),
        "temperature": values(),
        "unused": values(0, 3),
        "half": rng.normal(size=9000).astype(np.float16),
        "steps": np.array(seed * 10, np.int64),
        "mask": rng.random(9) < 0.5,
        "histogram": rng.integers(0, 2**64, 5000, np.uint64),
    }


def clients(n=5, dtype="float32"):
    return {name: model(seed, dtype) for seed, name in enumerate(NAMES[:n])}


def write(path, tensors, packed=False):
    with path.open("wb") as file:
        if path.suffix == ".safetensors":
            file.write(save(tensors))
        elif path.suffix.lower() == ".npz":
            (np.savez_compressed if packed else np.savez)(file, **tensors)
        else:
            np.save(file, tensors)
    return path


def write_all(folder, updates, suffix, packed=False):
    return [write(folder / f"{name}{suffix}", update, packed) for name, update in updates.items()]


def read(path):
    if path.suffix == ".safetensors":
        return load_file(path)
    found = np.load(path, allow_pickle=False)
    return dict(found) if path.suffix == ".npz" else found


def same(found, expected):
    """Equal names, shapes, dtypes and bits."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].shape == tensor.shape, name
        assert found[name].dtype == tensor.dtype, name
        assert found[name].tobytes() == tensor.tobytes(), name


def least_memory(run):
    """The least budget of a call that takes `max_memory`, which its error says: blocks are of one tile then."""
    with pytest.raises(ValueError, match=r"max_memory is 1 bytes; .* needs") as told:
        run(max_memory=1)
    return int(str(told.value).split()[-1])
