"""Rounds whose workers write through NFS clients of their own, each with a cache of its own.

ROBUSTAGG_NFS names two mounts or more of one export, with colons between: ``mount -t nfs4 -o vers=4.2,nosharecache
SERVER:/ /mnt/a``, and so on. Every process sees one of them as the same folder, for which it must be root. Mounts of
one machine are one client to the server, from which it recalls no delegations: let it give none (fs.leases-enable=0).
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from executors import Pooled
from safetensors.numpy import save_file

import robustagg as ra

MOUNTS = os.environ.get("ROBUSTAGG_NFS", "").split(":")
if len(MOUNTS) < 2:
    pytest.skip("needs mounts of NFS, which ROBUSTAGG_NFS names", allow_module_level=True)

NEW_NAMESPACE = 0x20000
FOLDER = Path("/tmp/robustagg-nfs")
RULES = {
    "mean": ra.Mean,
    "median": ra.Median,
    "reputation": ra.Reputation,
    "pipeline": lambda: ra.Pipeline(ra.NNM(f=1), ra.Reputation()),
    "centered-clipping": ra.CenteredClipping,
}


def enter(mount):
    """See a mount as FOLDER, which other processes do not."""
    assert ctypes.CDLL(None).unshare(NEW_NAMESPACE) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", mount, FOLDER], check=True)


def begin(count):
    with count.get_lock():
        count.value += 1
        enter(MOUNTS[1 + count.value % (len(MOUNTS) - 1)])


@pytest.fixture(scope="module")
def executor():
    FOLDER.mkdir(exist_ok=True)
    enter(MOUNTS[0])
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawning, begin, (spawning.Value("i", 0),)) as pool:
        yield Pooled(pool)


def send(folder, k, shift=0.0):
    rng = np.random.default_rng(k)
    model = {"w": rng.normal(shift, 0.1, 300_011).astype(np.float32), "b": rng.normal(size=7).astype(np.float16)}
    save_file({**model, "steps": np.array(k, np.int64)}, folder / f"client-{k}.safetensors")


def rounds(rule, folder, out, executor=None):
    """Two rounds, the second of which remembers the first."""
    files = sorted(folder.glob("client-*"))
    told = [ra.aggregate_files(rule, files, out, max_memory="2 MiB", executor=executor).to_dict() for _ in range(2)]
    return [{key: value for key, value in one.items() if key != "update"} for one in told], out.read_bytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("name", RULES)
def test_the_bytes_of_one_machine_and_nothing_left(name, suffix, executor, tmp_path):
    for k in range(6):
        send(tmp_path, k, k == 5)
    expected = rounds(RULES[name](), tmp_path, tmp_path / f"out{suffix}")
    for again in range(4):
        for k in range(6):  # a moment ago, by another machine
            send(Path(MOUNTS[-1]), k, k == 5)
        out = FOLDER / f"out-{again}{suffix}"
        assert rounds(RULES[name](), FOLDER, out, executor) == expected
        for mount in MOUNTS:
            assert Path(mount, out.name).read_bytes() == expected[1]
        out.unlink()
    gc.collect()
    assert not [entry.name for entry in FOLDER.iterdir() if entry.name.startswith(".")]


class Replacing(Pooled):
    """Another machine replaces a client's file when one of the first tasks is done."""

    def each(self, work, common, tasks):
        for done in super().each(work, common, tasks):
            if work.__name__ == "observe" and not self.replaced:
                self.replaced = True
                send(Path(MOUNTS[-1]), 2, 3.0)
            yield done

    replaced = False


def test_a_file_that_another_machine_replaces_costs_its_client_the_round(executor, tmp_path):
    for k in range(6):
        send(FOLDER, k, k == 5)
        if k != 2:
            send(tmp_path, k, k == 5)
    out = FOLDER / "out.safetensors"
    replacing = Replacing(executor._pool)
    result = ra.aggregate_files(ra.Krum(f=1), FOLDER.glob("client-*"), out, max_memory="2 MiB", executor=replacing)
    ra.aggregate_files(ra.Krum(f=1), tmp_path.glob("client-*"), tmp_path / out.name)
    assert dict(zip(result.clients, result.admitted, strict=True)) == {f"client-{k}": k != 2 for k in range(6)}
    assert out.read_bytes() == (tmp_path / out.name).read_bytes()
