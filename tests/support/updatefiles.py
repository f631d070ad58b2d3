"""Updates as files, for the tests of rounds over files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

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
        "histogram": rng.integers(0, 2**64, 16, np.uint64),
        "codes": np.arange(5000, dtype=np.uint8),
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


# --- memory ---------------------------------------------------------------------------------------------------------

needs_peaks = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="peak memory is read from Linux's /proc"
)

BENCH = Path(__file__).parents[2] / "bench"  # whose measure.py measures memory
SMALL, LARGE = 1000, 3 * 2**20
ALL_LARGE = 6 * 4 * LARGE  # bytes of all large files

MEASURED = """
import sys
from pathlib import Path
import robustagg as ra
from measure import peak_of

def rounds(folder, files):
{rounds}

for folder in map(Path, sys.argv[1:]):
    peak = peak_of(lambda: rounds(folder, sorted(folder.glob("client-*"))))
print(peak)
"""


def peak_over_files(tmp_path, suffix, rounds):
    """Bytes that `rounds`, Python code on `files` and `folder`, takes for six large files, after as many small ones."""
    folders = [tmp_path / "small", tmp_path / "large"]
    for folder, size in zip(folders, (SMALL, LARGE), strict=True):
        folder.mkdir()
        for i in range(6):
            hollow(folder / f"client-{i}{suffix}", size)
    command = [sys.executable, "-c", MEASURED.format(rounds=indent(rounds, "    ")), *map(str, folders)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(BENCH)}
    )
    return int(done.stdout)


def hollow(path, size):
    """A file of zeros with a hole instead of data: no room on disk."""
    with path.open("wb") as file:
        if path.suffix == ".safetensors":
            header = json.dumps({"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}).encode()
            file.write(len(header).to_bytes(8, "little") + header)
        else:
            header = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * size)
