"""Rounds over files: the bits of the same round in memory, whatever the format, the budget and the order of tensors."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from executors import InTurn
from updatefiles import (
    ALL_LARGE,
    NAMES,
    SUFFIXES,
    WIDE,
    clients,
    model,
    needs_peaks,
    peak_over_files,
    read,
    same,
    write,
    write_all,
)

import robustagg as ra
from robustagg import errors
from robustagg.files import budget, float8, layout
from robustagg.files.notes import SpilledNotes
from robustagg.files.tensors import Tensor

RULES = {
    "mean": ra.Mean,
    "median": ra.Median,
    "trimmed-mean": lambda: ra.TrimmedMean(f=1),
    "reputation": ra.Reputation,
}


def same_decision(streamed, whole):
    assert streamed.to_dict() == whole.to_dict()


@pytest.fixture(params=RULES)
def rule(request):
    return RULES[request.param]


# --- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_bits_of_memory(tmp_path, rule, suffix, dtype):
    updates = clients(dtype=dtype)
    out = tmp_path / f"out{suffix}"
    streamed = ra.aggregate_files(rule(), write_all(tmp_path, updates, suffix), out)
    whole = rule().aggregate(updates)
    assert streamed.update == out
    same(read(out), whole.update)
    same_decision(streamed, whole)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_bits_do_not_depend_on_the_budget(tmp_path, rule, suffix):
    paths = write_all(tmp_path, clients(), suffix, packed=True)
    outputs = set()
    for memory in (6 * 2**20, "7 MiB", "20MB", "0.5 GiB", 2**33):
        ra.aggregate_files(rule(), paths, tmp_path / f"out{suffix}", max_memory=memory)
        outputs.add((tmp_path / f"out{suffix}").read_bytes())
    assert len(outputs) == 1


def test_formats_may_be_mixed(tmp_path, rule):
    updates = clients()
    paths = [
        write(tmp_path / f"{name}{suffix}", update, packed)
        for (name, update), suffix, packed in zip(
            updates.items(),
            (".npz", ".safetensors", ".npz", ".safetensors", ".NPZ"),
            (True, False, False, False, True),
            strict=True,
        )
    ]
    for suffix in (".safetensors", ".npz"):
        ra.aggregate_files(rule(), paths, tmp_path / f"out{suffix}")
        same(read(tmp_path / f"out{suffix}"), rule().aggregate(updates).update)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_single_tensor(tmp_path, rule, suffix):
    updates = {name: update["layer.1/weight"] for name, update in clients().items()}
    result = ra.aggregate_files(rule(), write_all(tmp_path, updates, ".npy"), tmp_path / f"out{suffix}")
    found = read(result.update)
    found = found if suffix == ".npy" else found["arr_0"]
    same({"it": found}, {"it": rule().aggregate(updates).update})


EQUALS = {
    "zeros": [[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0], [-0.0, 1.0], [-0.0, 2.0]],
    "negative zeros": [[-0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 2.0]],
    "NaNs": [[np.nan, 1.0], [-np.nan, 1.0], [np.nan, 1.0], [-np.nan, 1.0], [0.0, 1.0]],
}


@pytest.mark.parametrize("case", EQUALS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equal_are_numbers_and_not_bits(tmp_path, case, dtype):
    updates = {
        name: {"w": np.full(2, i, dtype), "mask": np.array(mask, dtype)}
        for i, (name, mask) in enumerate(zip(NAMES, EQUALS[case], strict=True))
    }
    policy = ra.Policy(buffers={"mask": "equal"})
    expected = ra.Mean().aggregate(updates, policy=policy)
    paths = write_all(tmp_path, updates, ".npz")
    result = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", policy=policy)
    assert result.admitted.tolist() == expected.admitted.tolist() == [True] * 4 + [False]
    same(read(result.update), expected.update)


def test_bfloat16(tmp_path, rule):
    torch = pytest.importorskip("torch", reason="safetensors writes bfloat16 from torch")
    from safetensors import torch as safetensors

    updates = {
        name: {"w": torch.from_numpy(update["layer.0"]).to(torch.bfloat16), "b": torch.from_numpy(update["bias"])}
        for name, update in clients().items()
    }
    paths = []
    for name, update in updates.items():
        paths.append(tmp_path / f"{name}.safetensors")
        safetensors.save_file(update, paths[-1])
    out = ra.aggregate_files(rule(), paths, tmp_path / "out.safetensors").update
    found, expected = safetensors.load_file(out), rule().aggregate(updates).update
    assert found["w"].dtype == torch.bfloat16
    assert torch.equal(found["w"].view(torch.int16), expected["w"].view(torch.int16))
    assert torch.equal(found["b"], expected["b"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_float8(tmp_path, rule, suffix):
    """In memory and from files alike computed in float32, beside float32 itself, and rounded at the end."""
    torch = pytest.importorskip("torch", reason="safetensors writes float8 from torch")
    from safetensors import torch as safetensors

    save, updates, paths = {".safetensors": safetensors.save_file, ".pt": torch.save}[suffix], {}, []
    for k in range(5):
        row = torch.from_numpy(np.random.default_rng(k).normal(0, 10.0**k, (3, 20_000)).astype(np.float32))
        coded = {"a": row[0].to(torch.float8_e4m3fn), "c": row[1].clamp(-5e4, 5e4).to(torch.float8_e5m2)}
        updates[f"{k}"] = {**coded, "b": row[2], "d": coded["a"][:7].clone(), "n": torch.tensor([k])}
        paths.append(tmp_path / f"{k}{suffix}")
        save(updates[f"{k}"], paths[-1])
    expected = rule().aggregate(updates).update
    for executor in (None, InTurn()):
        made = ra.aggregate_files(rule(), paths, tmp_path / "out.safetensors", max_memory="6 MiB", executor=executor)
        found = safetensors.load_file(made.update)
        assert found.keys() == expected.keys()
        assert all(found[name].dtype == tensor.dtype for name, tensor in expected.items())
        assert all(torch.equal(found[name].float(), tensor.float()) for name, tensor in expected.items())
    wide = read(ra.aggregate_files(rule(), paths, tmp_path / "out.npz").update)
    assert all(np.array_equal(wide[name], tensor.float().numpy()) for name, tensor in expected.items())


@pytest.mark.parametrize("name", sorted(float8.TABLES))
def test_codes_of_float8(name):
    """Those of ml_dtypes, every one of them, and everything between them."""
    dtype = getattr(pytest.importorskip("ml_dtypes", reason="knows float8 for itself"), name)
    codes = np.arange(256, dtype=np.uint8)
    known = codes.view(dtype).astype(np.float32)
    np.testing.assert_array_equal(float8.decoded(codes, name), known)
    finite = np.sort(known[np.isfinite(known)])
    ties = (finite[1:] + finite[:-1]) / 2
    values = np.concatenate([finite, ties, np.nextafter(ties, 1e30), np.nextafter(ties, -1e30), [-0.0]])
    values = np.clip(values, finite[0], finite[-1]).astype(np.float32)
    rounded = np.concatenate([values.astype(dtype), np.array([finite[-1], finite[0], np.inf, np.nan], dtype)])
    values = np.concatenate([values, [3e38, -3e38, np.inf, np.nan]]).astype(np.float32)
    assert float8.encoded(values, name).tolist() == rounded.view(np.uint8).tolist()


def test_big_endian_and_fortran_order(tmp_path, rule):
    updates = {
        name: {"w": np.asfortranarray(update["layer.1/weight"]), "b": update["bias"].astype(">f4")}
        for name, update in clients().items()
    }
    paths = write_all(tmp_path, updates, ".npz")
    found = read(ra.aggregate_files(rule(), paths, tmp_path / "out.npz").update)
    expected = rule().aggregate(updates).update
    assert np.array_equal(found["w"], expected["w"])
    assert np.array_equal(found["b"], expected["b"])
    assert found["w"].flags.f_contiguous
    assert not found["w"].flags.c_contiguous
    found = read(ra.aggregate_files(rule(), paths, tmp_path / "out.safetensors").update)
    assert np.array_equal(found["w"], expected["w"])
    updates["dan"]["w"] = np.ascontiguousarray(updates["dan"]["w"])  # one of five in C order: of the same structure
    paths = write_all(tmp_path, updates, ".npz")
    result = ra.aggregate_files(rule(), paths, tmp_path / "out.npz", max_memory="7 MiB")
    assert result.admitted.all()
    found = read(result.update)["w"]
    assert np.array_equal(found, expected["w"])
    assert found.flags.f_contiguous


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_tensor_per_coordinate(tmp_path, rule, suffix):
    updates = {
        name: {f"w{k}": value for k, value in enumerate(np.float32(update["half"][:300]))}
        for name, update in clients().items()
    }
    updates = {name: {k: np.asarray(v) for k, v in update.items()} for name, update in updates.items()}
    out = tmp_path / f"out{suffix}"
    same_decision(
        ra.aggregate_files(rule(), write_all(tmp_path, updates, suffix), out), whole := rule().aggregate(updates)
    )
    same(read(out), whole.update)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_model_without_coordinates(tmp_path, rule, suffix):
    for name, tensors in (("nothing", {}), ("empty", {"w": np.empty((0, 3))})):
        (folder := tmp_path / name).mkdir()
        updates = dict.fromkeys(NAMES, tensors)
        result = ra.aggregate_files(rule(), write_all(folder, updates, suffix), folder / f"out{suffix}")
        same(read(result.update), rule().aggregate(updates).update)


def test_rounds_of_reputation(tmp_path):
    streamed, whole = ra.Reputation(), ra.Reputation()
    for round in (3, 4, 9):
        updates = {name: model(seed * round) for seed, name in enumerate(NAMES)}
        counts = {name: 10 * seed + 1 for seed, name in enumerate(NAMES)}
        paths = write_all(tmp_path, updates, ".safetensors")
        found = ra.aggregate_files(
            streamed, paths, tmp_path / "out.safetensors", ids=NAMES, sample_counts=counts, round=round
        )
        expected = whole.aggregate(updates, sample_counts=counts, round=round)
        same_decision(found, expected)
        same(read(found.update), expected.update)


def test_headers_that_the_budget_has_no_room_for_are_not_the_clients_fault(tmp_path):
    def written(name, suffix):
        return write(tmp_path / f"{name}{suffix}", {f"layer.{k}.weight": np.zeros(1, np.float32) for k in range(1200)})

    many, few = [written(k, ".npz") for k in range(3)], [written(k, ".safetensors") for k in (3, 4)]
    with pytest.raises(ValueError, match=r"of 3 clients' files are longer than max_memory allows: .* (\d\.\d) times"):
        ra.aggregate_files(ra.Mean(), [*many, *few], tmp_path / "out.npz", max_memory="64MB")
    result = ra.aggregate_files(ra.Mean(), [*many[:1], *few], tmp_path / "out.npz", max_memory="64MB")
    assert "are allowed by max_memory" in result.reasons[0]
    assert ra.aggregate_files(ra.Mean(), [*many, *few], tmp_path / "out.npz", max_memory="128MB").admitted.all()


def test_an_output_that_is_a_loop_of_links_is_written_in_its_place(tmp_path):
    paths = write_all(tmp_path, clients(3), ".npz")
    loop = tmp_path / "loop.npz"
    loop.symlink_to(loop)
    ra.aggregate_files(ra.Mean(), paths, loop)
    same(read(loop), read(ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz").update))


def test_a_client_with_nan_is_left_out(tmp_path, rule):
    updates = clients()
    updates["cem"]["layer.0"][WIDE - 1] = np.nan
    result = ra.aggregate_files(rule(), write_all(tmp_path, updates, ".npz"), tmp_path / "out.npz")
    whole = rule().aggregate(updates)
    same_decision(result, whole)
    same(read(result.update), whole.update)


class Anchored(ra.Mean):
    """A rule that wants a reference vector: the mean of all clients and the reference."""

    def references(self, round):
        return {"server": self.server}

    def combine(self, block, note, verdict):
        return np.mean([row.astype(np.float64) for row in block.rows], axis=0).astype(np.float32)


def test_reference_vectors(tmp_path):
    updates = {name: {"w": update["layer.0"], "b": update["bias"]} for name, update in clients().items()}
    paths = write_all(tmp_path, updates, ".safetensors")
    rule = Anchored()
    rule.server = {"w": model(9)["layer.0"], "b": model(9)["bias"]}
    same(read(ra.aggregate_files(rule, paths, tmp_path / "out.safetensors").update), rule(updates))
    rule.server = {"w": model(9)["layer.0"]}
    with pytest.raises(ValueError, match="'server'"):
        ra.aggregate_files(rule, paths, tmp_path / "out.safetensors")


def test_more_clients_than_open_files(tmp_path):
    updates = {f"client-{i}": {"w": np.float32([i, -i])} for i in range(80)}
    paths = write_all(tmp_path, updates, ".npz", packed=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        result = ra.aggregate_files(ra.Median(), paths, tmp_path / "out.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read(result.update)["w"].tolist() == [39.5, -39.5]


# --- whole or not at all --------------------------------------------------------------------------------------------


class Stop(Exception):
    """Stands for whatever can go wrong."""


def stop_after(fraction):
    def progress(done, total):
        if done >= fraction * total:
            raise Stop

    return progress


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.9])
def test_a_failure_leaves_everything_as_it_was(tmp_path, suffix, fraction):
    paths = write_all(tmp_path, clients(), suffix)
    out = tmp_path / f"out{suffix}"
    out.write_text("the last round")
    rule = ra.Reputation()
    ra.aggregate_files(rule, paths, tmp_path / f"other{suffix}")
    before, files = rule.state_dict(), sorted(tmp_path.iterdir())
    with pytest.raises(Stop):
        ra.aggregate_files(rule, paths, out, max_memory="6MiB", progress=stop_after(fraction))
    assert sorted(tmp_path.iterdir()) == files
    assert out.read_text() == "the last round"
    assert repr(rule.state_dict()) == repr(before)


KILLED = """
import os, signal, sys
import robustagg as ra

def progress(done, total):
    if done >= 0.8 * total:
        os.kill(os.getpid(), signal.SIGKILL)

ra.aggregate_files(ra.Reputation(), sys.argv[2:], sys.argv[1], progress=progress)
"""


def test_killed_in_the_middle(tmp_path):
    paths = write_all(tmp_path, clients(), ".safetensors")
    out = tmp_path / "out.safetensors"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out), *map(str, paths)])
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert [path for path in tmp_path.glob(".*") if path.suffix != ".partial"] == []


def test_a_full_disk(tmp_path):
    paths = write_all(tmp_path, clients(), ".npz")
    before = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match=r"."):
            ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(tmp_path.iterdir()) == before


def test_output_has_ordinary_permissions(tmp_path):
    paths = write_all(tmp_path, clients(), ".npz")
    mask = os.umask(0o027)
    try:
        out = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz").update
    finally:
        os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o640


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_all(tmp_path, clients(), ".npz")
    result = ra.aggregate_files(ra.Mean(), sorted(Path().glob("*.npz")), "out.npz")
    assert result.clients == NAMES
    assert result.update == Path("out.npz")
    assert read(result.update).keys() == model(0).keys()


# --- progress, notes, budget ----------------------------------------------------------------------------------------


def test_progress_reaches_its_total(tmp_path, rule):
    seen = []
    paths = write_all(tmp_path, clients(), ".safetensors")
    ra.aggregate_files(rule(), paths, tmp_path / "out.safetensors", progress=lambda *now: seen.append(now))
    done, total = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert set(total) == {done[-1]}


class Note(NamedTuple):
    bits: np.ndarray
    median: np.ndarray


@pytest.mark.parametrize("memory", [0, 1500, 10**6])
def test_notes_come_back_from_disk(tmp_path, memory):
    given = [Note(np.arange(k, dtype=np.uint8), np.full((2, k), k / 3)) for k in (100, 0, 300)]
    given += [None, np.arange(5.0), (np.ones(3), np.zeros((2, 2)))]
    notes = SpilledNotes(memory, tmp_path)
    for note in given:
        notes.append(note)
    for _ in range(2):
        found = list(notes)
        assert [type(note) for note in found] == [type(note) for note in given]
        for note, expected in zip(found, given, strict=True):
            np.testing.assert_equal(note, expected)
    notes.close()
    assert list(tmp_path.iterdir()) == []


def test_pieces_fit_tiles_and_cover_the_model():
    tensors = [Tensor(str(k), "float32", (size,)) for k, size in enumerate((5, 0, 8192, 30000, 1, 1, 16384, 9000))]
    tensors += [Tensor("i", "int64", (9,)), Tensor("j", "float64", (3,))]
    for width in (8192, 16384, 2**20):
        cut = [c.tolist() for c in layout.cuts(tensors, width)]
        sizes = [sum(stop - start for _, start, stop in pieces) for pieces in cut]
        assert sizes[-1] == 3
        assert all(size == width for size in sizes[:-2])  # multiples of a tile; the rest of the run, the other dtype
        assert sizes[-2] <= width
        assert all(len({tensors[k].dtype for k, _, _ in pieces}) == 1 for pieces in cut)
        whole = [piece for pieces in cut for piece in pieces]
        covered = [(k, i) for k, start, stop in whole for i in range(start, stop)]
        assert covered == [(k, i) for k, t in enumerate(tensors) if t.votes for i in range(t.size)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, 1),
        ("1", 1),
        ("512MiB", 2**29),
        ("1 GiB", 2**30),
        ("1.5 gb", 15 * 10**8),
        ("64k", 64000),
        (" 2 T ", 2 * 10**12),
    ],
)
def test_sizes(size, expected):
    assert budget.parse(size) == expected


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "", "MiB", "1 MiBB", "-1MiB", "1 XB", "1 iB", None, "nan"])
def test_no_sizes(size):
    with pytest.raises(ValueError, match="max_memory must be"):
        budget.parse(size)


def test_too_small_a_budget_says_the_least(tmp_path):
    paths = write_all(tmp_path, clients(), ".npz")
    with pytest.raises(ValueError, match=r"max_memory is 1000 bytes; .* 5 clients needs \d+") as told:
        ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", max_memory=1000)
    least = int(str(told.value).split()[-1])
    ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", max_memory=least)
    with pytest.raises(ValueError, match=f"needs {least}"):
        ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", max_memory=least - 1)


@needs_peaks
@pytest.mark.parametrize("name", ["Mean", "Median", "TrimmedMean", "Reputation"])
def test_memory_stays_within_the_budget(tmp_path, name):
    memory = 24 * 2**20
    rounds = f'ra.aggregate_files(ra.{name}(), files, folder / "out.safetensors", max_memory={memory})'
    assert peak_over_files(tmp_path, ".safetensors", rounds) < memory < ALL_LARGE


# --- mistakes of the caller -----------------------------------------------------------------------------------------


def test_mistakes(tmp_path):
    one = write(tmp_path / "one.npz", {"w": np.ones(3), "b": np.ones(2)})
    (tmp_path / "other").mkdir()
    twin = write(tmp_path / "other" / "one.npz", {"w": np.ones(3), "b": np.ones(2)})
    integers = write(tmp_path / "integers.npz", {"w": np.ones(3, int)})
    out = tmp_path / "out.npz"
    mistakes = [
        (([], out), {}, ValueError, "at least one client"),
        ((str(one), out), {}, TypeError, "list of paths"),
        (([one, twin], out), {}, ValueError, r"would both be client 'one'; say who sent what with ids="),
        (([one, one], out), {}, ValueError, r"would both be client 'one'"),
        (([one, twin], out), {"ids": ["a"]}, ValueError, "1 client ids for 2 updates"),
        (([one, twin], out), {"ids": ["a", "a"]}, ValueError, "'a' is given twice"),
        (([one], tmp_path / "out.pt"), {}, ValueError, r"suffix must be one of \.safetensors, \.npz, \.npy"),
        (([one], tmp_path / "no" / "out.npz"), {}, ValueError, "no folder"),
        (([one], one), {}, ValueError, "one of the clients' files"),
        (([one], tmp_path / "out.npy"), {}, ValueError, "holds one tensor, and this model has 2"),
        (([integers], out), {}, TypeError, "'integers': the update holds integers only"),
        (([one], out), {"sample_counts": {"two": 1}}, ValueError, "no sample count for client 'one'"),
        (([one], out), {"round": -1}, TypeError, "round must be"),
        (([tmp_path / "none.npz"], out), {}, ValueError, "no client's update can be used: client 'none'"),
    ]
    for arguments, options, kind, text in mistakes:
        with pytest.raises(kind, match=text):
            ra.aggregate_files(ra.Mean(), *arguments, **options)
    assert not out.exists()
    assert ra.aggregate_files(ra.Mean(), [one, twin], out, ids=["a", 7]).clients == ("a", 7)


def test_signals_are_no_errors_for_users():
    assert not issubclass(errors.Unusable, (ValueError, OSError))
    assert not issubclass(errors.Unreadable, (ValueError, OSError))
