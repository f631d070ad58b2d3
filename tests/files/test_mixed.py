"""Pre-aggregations over files: the bits of memory, a folder that is whole or not there, and mistakes that are told."""

from __future__ import annotations

import os
import resource
from functools import partial

import numpy as np
import pytest
from updatefiles import (
    ALL_LARGE,
    NAMES,
    clients,
    least_memory,
    needs_peaks,
    peak_over_files,
    read,
    same,
    write,
    write_all,
)

import robustagg as ra

MEMBERS = {
    "nnm": ra.NNM(f=1),
    "arc": ra.ARC(f=2),
    "norm-clipping": ra.NormClipping(c=150.0),
    "bucketing": ra.Bucketing(s=2),
}
each_member = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)


# --- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@each_member
def test_bits_of_memory(tmp_path, member, suffix, dtype):
    updates = clients(dtype=dtype)
    paths = write_all(tmp_path, updates, suffix)
    least = least_memory(partial(ra.preaggregate_files, member, paths, tmp_path / "mixed"))
    for k, memory in enumerate((least, 2 * least, "1 GiB")):
        result = ra.preaggregate_files(member, paths, tmp_path / f"mixed-{k}", max_memory=memory)
        expected = member(updates)
        assert len(result.update) == len(expected)
        for path, update in zip(result.update, expected, strict=True):
            same(read(path), update)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".npy"])
@each_member
def test_a_single_tensor(tmp_path, member, suffix):
    x = np.stack([update["layer.0"] for update in clients().values()])
    paths = [write(tmp_path / f"{name}.npy", row) for name, row in zip(NAMES, x, strict=True)]
    result = ra.preaggregate_files(member, paths, tmp_path / "mixed", suffix=suffix)
    for path, row in zip(result.update, member(x), strict=True):
        found = read(path)
        np.testing.assert_array_equal(found if suffix == ".npy" else found["arr_0"], row)


def test_the_files_are_the_clients_or_buckets(tmp_path):
    paths = write_all(tmp_path, clients(), ".npz")
    mixed = ra.preaggregate_files(
        ra.NNM(f=1), paths, tmp_path / "mixed", ids=["a", 7, "c/d".replace("/", "-"), "d", "é"]
    )
    assert [path.name for path in mixed.update] == ["a.npz", "7.npz", "c-d.npz", "d.npz", "é.npz"]
    assert sorted((tmp_path / "mixed").iterdir()) == sorted(mixed.update)
    buckets = ra.preaggregate_files(ra.Bucketing(s=2), paths, tmp_path / "buckets", suffix=".safetensors")
    assert [path.name for path in buckets.update] == [f"bucket-{k}.safetensors" for k in range(3)]


def test_what_follows_gets_the_bits_of_a_pipeline(tmp_path):
    paths = write_all(tmp_path, clients(), ".npz")
    mixed = ra.preaggregate_files(ra.NNM(f=1), paths, tmp_path / "mixed")
    one = ra.aggregate_files(ra.Median(), mixed.update, tmp_path / "one.npz")
    two = ra.aggregate_files(ra.Pipeline(ra.NNM(f=1), ra.Median()), paths, tmp_path / "two.npz")
    assert one.clients == two.clients == NAMES
    same(
        {k: v for k, v in read(one.update).items() if k != "half"},
        {
            k: v
            for k, v in read(two.update).items()
            if k != "half"  # the files' mixed rows are rounded to float16
        },
    )


def test_the_result_says_who_took_part(tmp_path):
    updates = clients()
    updates["cem"]["layer.0"][-1] = np.nan
    paths = write_all(tmp_path, updates, ".npz")
    paths[0].write_bytes(b"nonsense")
    result = ra.preaggregate_files(ra.NNM(f=1), paths, tmp_path / "mixed", round=5)
    assert [path.stem for path in result.update] == ["bob", "dan", "eve"]
    assert (result.rule, result.round) == ("NNM", 5)
    assert result.admitted.tolist() == [False, True, False, True, True]
    assert result.weights.sum() == pytest.approx(1)
    assert result.reasons[1] == "mixed"
    assert result.reasons[2] == "not admitted: NaN or infinite values"
    for path, update in zip(result.update, ra.NNM(f=1)([updates[k] for k in ("bob", "dan", "eve")]), strict=True):
        same(read(path), update)


def test_the_number_of_the_round_shuffles(tmp_path):
    updates = clients()
    paths = write_all(tmp_path, updates, ".npz")
    for round in (1, 2):
        result = ra.preaggregate_files(ra.Bucketing(s=2), paths, tmp_path / str(round), round=round)
        same(read(result.update[0]), ra.Bucketing(s=2)(updates, round=round)[0])


def test_progress_reaches_its_total(tmp_path):
    seen = []
    paths = write_all(tmp_path, clients(), ".safetensors")
    ra.preaggregate_files(ra.ARC(f=1), paths, tmp_path / "mixed", progress=lambda *now: seen.append(now))
    done, total = zip(*seen, strict=True)
    assert set(total) == {done[-1]}


def test_more_clients_than_open_files(tmp_path):
    updates = {f"client-{i}": {"w": np.float32([i, -i])} for i in range(80)}
    paths = write_all(tmp_path, updates, ".npz", packed=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        result = ra.preaggregate_files(ra.NormClipping(c=1e9), paths, tmp_path / "mixed")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [read(path)["w"][0] for path in result.update] == list(range(80))


@needs_peaks
@pytest.mark.parametrize("member", ["ra.NNM(f=1)", "ra.Bucketing(s=1)"])
def test_memory_stays_within_the_budget(tmp_path, member):
    memory = 32 * 2**20
    rounds = f'ra.preaggregate_files({member}, files, folder / "mixed", max_memory={memory})'
    assert peak_over_files(tmp_path, ".npy", rounds) < memory < ALL_LARGE


# --- whole or not at all --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
@each_member
def test_a_failure_leaves_nothing(tmp_path, member, fraction):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done >= fraction * total:
            raise Stop

    paths = write_all(tmp_path, clients(), ".npz")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Stop):
        ra.preaggregate_files(member, paths, tmp_path / "mixed", progress=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_the_folder_has_ordinary_permissions_and_may_be_there_if_empty(tmp_path):
    paths, out = write_all(tmp_path, clients(), ".npz"), tmp_path / "mixed"
    out.mkdir()
    mask = os.umask(0o027)
    try:
        result = ra.preaggregate_files(ra.NNM(f=1), paths, out)
    finally:
        os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in result.update} == {0o640}
    with pytest.raises(ValueError, match="mixed is there already, and not an empty folder"):
        ra.preaggregate_files(ra.NNM(f=1), paths, out)


# --- mistakes of the caller -----------------------------------------------------------------------------------------


def test_mistakes(tmp_path):
    paths, out = write_all(tmp_path, clients(3), ".npz"), tmp_path / "mixed"
    mistakes = [
        ((ra.Krum(f=1), paths, out), {}, TypeError, r"runs pre-aggregations, got Krum\(.*by aggregate_files\(\)"),
        ((ra.NNM(f=1), [], out), {}, ValueError, "at least one client"),
        ((ra.NNM(f=3), paths, out), {}, ValueError, "NNM needs more than f = 3 clients; 3 clients are admitted"),
        ((ra.NNM(f=1), paths, tmp_path / "no" / "mixed"), {}, ValueError, "there is no folder"),
        ((ra.NNM(f=1), paths, paths[0]), {}, ValueError, "is there already"),
        ((ra.NNM(f=1), paths, out), {"suffix": ".pt"}, ValueError, r"cannot write \*\.pt: its suffix must be one of"),
        ((ra.NNM(f=1), paths, out), {"suffix": ".npy"}, ValueError, "holds one tensor, and this model has 10"),
        ((ra.NNM(f=1), paths, out), {"ids": ["a", "b", "c/d"]}, ValueError, "'c/d' cannot be the name of a file"),
        ((ra.NNM(f=1), paths, out), {"ids": ["a", 7, "7"]}, ValueError, "7 and '7' would have the same name"),
        ((ra.NNM(f=1), paths, out), {"ids": ["a"]}, ValueError, "1 client ids for 3 updates"),
        ((ra.NNM(f=1), paths, out), {"max_memory": 1}, ValueError, "max_memory is 1 bytes"),
    ]
    before = sorted(tmp_path.iterdir())
    for arguments, options, kind, text in mistakes:
        with pytest.raises(kind, match=text):
            ra.preaggregate_files(*arguments, **options)
        assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(TypeError, match=r"runs rules, got NNM\(f=1\); .* by preaggregate_files\(\)"):
        ra.aggregate_files(ra.NNM(f=1), paths, tmp_path / "out.npz")
