"""Rounds whose work is done elsewhere: the bits of the same round here, in any order, and with work done twice."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from cases import ASKING, CASES
from executors import Frozen, InTurn, Pooled
from updatefiles import clients, write_all

import robustagg as ra
from robustagg.files.storage import File

MEMORY = "5 MiB"
TILE = 8192
PIPELINES = {
    "nnm + reputation": lambda: ra.Pipeline(ra.NNM(f=1), ra.Reputation()),
    "nnm + fools-gold": lambda: ra.Pipeline(ra.NNM(f=1), ra.FoolsGold()),
    "bucketing + median": lambda: ra.Pipeline(ra.Bucketing(2), ra.Median()),
}


def told(result):
    return {key: value for key, value in result.to_dict().items() if key != "update"}


def assert_same(make, paths, folder, executor, **arguments):
    """A round here and there, two where the first is remembered: the same file, and the same words to everyone."""
    here, there = make(), make()
    for _ in range(1 + here.remembers):
        outs = [folder / "here.safetensors", folder / "there.safetensors"]
        one = ra.aggregate_files(here, paths, outs[0], max_memory=MEMORY, **arguments)
        other = ra.aggregate_files(there, paths, outs[1], max_memory=MEMORY, executor=executor, **arguments)
        assert told(one) == told(other)
        assert outs[0].read_bytes() == outs[1].read_bytes()
    assert here.state_dict().keys() == there.state_dict().keys()
    assert not [name for name in os.listdir(folder) if name.startswith(".")]
    return other


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Seven clients' models of three blocks, and the rows that they are."""
    folder = tmp_path_factory.mktemp("plain")
    rows = np.random.default_rng(0).normal(size=(7, 4 * TILE + 5)).astype(np.float32)
    return save(folder, rows), rows


def save(folder, rows):
    for i, row in enumerate(rows):
        np.save(folder / f"{i}.npy", row)
    return sorted(folder.glob("*.npy"))


@pytest.mark.parametrize("kind", [InTurn, Frozen])
@pytest.mark.parametrize("case", [*CASES, *ASKING], ids=str)
def test_every_rule(case, kind, plain, tmp_path):
    """In any order, what is lost done again, and every note combined twice."""
    paths, rows = plain
    extras = {name: {"arr_0": tensor} for name, tensor in case.extras(rows).items()}
    assert_same(lambda: case.make(1), paths, tmp_path, kind(), ids=range(7), **extras)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name, plain, tmp_path):
    for executor in (InTurn(1), Frozen()):
        assert_same(PIPELINES[name], plain[0], tmp_path, executor)


@pytest.mark.parametrize("rule", [ra.Median, ra.Reputation, ra.CenteredClipping], ids=lambda rule: rule.__name__)
def test_pools(rule, plain, tmp_path):
    with ThreadPoolExecutor(2) as threads:
        assert_same(rule, plain[0], tmp_path, Pooled(threads))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        assert_same(rule, plain[0], tmp_path, Pooled(processes))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_models_with_everything(suffix, packed, tmp_path):
    """Integers, scalars, empty tensors, halves; files that can only be read front to back are copied first."""
    paths = write_all(tmp_path, clients(), suffix, packed)
    for rule in (ra.Mean, ra.Reputation):
        assert_same(rule, paths, tmp_path, InTurn(2))


def test_differences_from_a_file(tmp_path):
    *paths, reference = write_all(tmp_path, clients(), ".safetensors")
    assert_same(lambda: ra.Krum(f=0), paths, tmp_path, InTurn(3), reference=reference)


# --- who is left out ------------------------------------------------------------------------------------------------


class Counting(InTurn):
    """Counts passes."""

    passes = 0

    def each(self, *arguments):
        self.passes += 1
        return super().each(*arguments)


@pytest.mark.parametrize(("rule", "passes"), [(ra.Median, 2), (lambda: ra.Krum(f=1), 3)], ids=["median", "krum"])
def test_whoever_sends_a_nan_costs_the_pass_that_finds_it(rule, passes, tmp_path):
    rows = np.random.default_rng(1).normal(size=(6, 3 * TILE)).astype(np.float32)
    rows[2, 2 * TILE + 3], rows[4, 5] = np.nan, np.inf
    paths, executor = save(tmp_path, rows), Counting()
    result = assert_same(rule, paths, tmp_path, executor)
    assert result.admitted.tolist() == [True, True, False, True, False, True]
    assert executor.passes == passes


def test_what_all_share_comes_back(tmp_path):
    rows = np.random.default_rng(1).normal(size=(6, 3 * TILE)).astype(np.float32)
    rows[:, [7, TILE + 1]] = -np.inf
    for rule in (ra.Median, ra.Reputation):
        assert assert_same(rule, save(tmp_path, rows), tmp_path, InTurn(4)).admitted.all()


def test_a_file_that_changes_between_two_passes(plain, tmp_path):
    """Its size and times are as they were; only its bytes tell."""
    paths = [shutil.copy(path, tmp_path) for path in plain[0]]

    class Changing(InTurn):
        def each(self, work, common, tasks):
            if work.__name__ == "combine":
                before = os.stat(paths[3])
                with open(paths[3], "r+b") as file:
                    file.seek(-8, os.SEEK_END)
                    file.write(b"\0\0\0\0")
                os.utime(paths[3], ns=(before.st_atime_ns, before.st_mtime_ns))
            yield from super().each(work, common, tasks)

    result = ra.aggregate_files(
        ra.Reputation(), paths, tmp_path / "out.npy", max_memory=MEMORY, executor=Changing(again=0)
    )
    assert result.admitted.tolist() == [True, True, True, False, True, True, True]
    assert "changed" in result.reasons[3]


def test_a_file_is_known_on_another_machine(tmp_path):
    """There it has another device, inode and time of change."""
    path = tmp_path / "here.npy"
    np.save(path, np.zeros(3))
    here = File(str(path))
    there = pickle.loads(pickle.dumps(here))
    shutil.copy2(path, tmp_path / "copy.npy")
    (tmp_path / "copy.npy").replace(path)
    with there.open() as handle:
        assert handle.read(1, 5) == b"NUMPY"
    with pytest.raises(Exception, match="changed"), here.open():
        pass


def test_what_a_network_says_of_a_file_may_be_of_a_while_ago(tmp_path, monkeypatch):
    """What counts is what it says to whoever opens it."""
    paths = save(tmp_path, np.ones((3, 5), np.float32))
    stale, stat = {os.fspath(path): os.stat(path) for path in paths}, os.stat
    for path in paths:
        np.save(path, np.full(9, 2.0, np.float32))
    monkeypatch.setattr(os, "stat", lambda path, **more: stale.get(path) or stat(path, **more))
    result = ra.aggregate_files(ra.Median(), list(map(str, paths)), tmp_path / "out.npy")
    assert result.admitted.all()
    assert np.load(tmp_path / "out.npy").tolist() == [2.0] * 9


def test_whoever_writes_stretches_of_one_file_waits_for_the_disk(plain, tmp_path, monkeypatch):
    """So that NFS writes no bytes but theirs, to the result's file and to that of what is remembered."""
    together, opened, open_it = [], [], os.open

    def watched(path, flags, *mode, **more):
        descriptor = open_it(path, flags, *mode, **more)
        if tmp_path in Path(path).parents and flags & (os.O_WRONLY | os.O_RDWR) and Path(path).name != "lock":
            opened.append(Path(path).suffix)
            together.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DSYNC))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    executor = InTurn(again=0)
    ra.aggregate_files(ra.CenteredClipping(), plain[0], tmp_path / "out.npy", max_memory=MEMORY, executor=executor)
    assert opened.count(".npy") >= 3  # who begins it, and two workers
    assert all(one for one, suffix in zip(together, opened, strict=True) if suffix == ".npy")
    named = [one for one, suffix in zip(together, opened, strict=True) if not suffix]
    assert named.count(True) >= 2  # workers; who made it wrote before they came


def test_progress_is_told_by_partition(plain, tmp_path):
    told = []
    ra.aggregate_files(
        ra.Reputation(),
        plain[0],
        tmp_path / "out.npy",
        max_memory=MEMORY,
        executor=InTurn(),
        progress=lambda done, total: told.append((done, total)),
    )
    done, totals = zip(*told, strict=True)
    assert len(done) >= 4
    assert list(done) == sorted(done)
    assert done[-1] == totals[0] == totals[-1] == 2 * plain[1].nbytes


@pytest.mark.parametrize("fortran", [False, True])
def test_an_archive_is_written_at_the_end(fortran, tmp_path):
    """A piece has no place in it that is known beforehand; nor has one of a tensor in Fortran order."""
    for k in range(5):
        rng = np.random.default_rng(k)
        wide = rng.normal(size=(300, 200)).astype(np.float32)
        model = {"wide": np.asfortranarray(wide) if fortran else wide, "steps": np.int64(k), "b": rng.normal(size=9)}
        np.savez(tmp_path / f"{k}.npz", half=rng.normal(size=2 * TILE).astype(np.float16), empty=np.empty(0), **model)
    paths, out = sorted(tmp_path.glob("?.npz")), [tmp_path / "here.npz", tmp_path / "there.npz"]
    for path, executor in zip(out, (None, InTurn(5)), strict=True):
        ra.aggregate_files(ra.Reputation(), paths, path, max_memory=MEMORY, executor=executor)
    assert out[0].read_bytes() == out[1].read_bytes()
    assert np.load(out[1])["wide"].flags.f_contiguous == fortran
    assert len(list(tmp_path.iterdir())) == 7


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_worker_that_fails_leaves_no_trace(plain, tmp_path):
    class Failing(InTurn):
        def each(self, work, common, tasks):
            found = super().each(work, common._replace(version="0.0"), tasks)
            return found if work.__name__ == "combine" else super().each(work, common, tasks)

    rule = ra.Reputation()
    with pytest.raises(ImportError, match=r"a worker has robustagg .*, whoever sent the work 0\.0"):
        ra.aggregate_files(rule, plain[0], tmp_path / "out.npy", executor=Failing())
    assert rule.last_round is None
    assert not list(tmp_path.iterdir())


def test_what_a_worker_gets_is_not_the_ledger():
    rule = ra.Pipeline(ra.NNM(f=1), ra.Reputation())
    many = [f"client-{i}" for i in range(2000)]
    rule.aggregate(np.zeros((2000, 2)), clients=many)
    sent = rule.for_worker({})
    assert len(pickle.dumps(sent)) < 10_000 < len(pickle.dumps(rule))
    assert sent.parameters == rule.parameters


@pytest.mark.parametrize("executor", ["auto", 3, InTurn])
def test_what_is_no_executor(executor, plain, tmp_path):
    with pytest.raises(TypeError, match=r"executor must be one, such as robustagg.engine.ray.Ray\(address\), got"):
        ra.aggregate_files(ra.Mean(), plain[0], tmp_path / "out.npy", executor=executor)
    assert not list(tmp_path.iterdir())
