"""Files that lie, break, explode or change: their clients are left out with the reason, and nothing else happens."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

import robustagg as ra

HONEST = {f"honest-{i}": {"b": np.arange(6.0) * i, "w": np.full((2, 3), i, np.float32)} for i in range(3)}
CRACKED = Path("cracked")  # what a pickle would write if it were loaded, in the current folder


# --- forgeries ------------------------------------------------------------------------------------------------------


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin=0, end=48, dtype="F64", shape=(6,)):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def npy(array, **changes):
    """The bytes of a .npy file, its header changed."""
    header = np.lib.format.header_data_from_array_1_0(array) | changes
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


def npz(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def honest_npz(method=zipfile.ZIP_STORED, **changes):
    members = {"b.npy": npy(HONEST["honest-1"]["b"]), "w.npy": npy(HONEST["honest-1"]["w"])} | changes
    return npz(members.items(), method)


class Pickled:
    def __reduce__(self):
        return Path.touch, (CRACKED,)


def pickled_npy():
    stream = io.BytesIO()
    np.save(stream, np.array([Pickled()], object), allow_pickle=True)
    return stream.getvalue()


def claim(data, old, new):
    """Change every occurrence of a little-endian 32-bit number, in an archive's directory and in its headers."""
    return data.replace(struct.pack("<I", old), struct.pack("<I", new))


def bomb():
    """A member that inflates to 64 MiB, although it says it holds the honest 48 bytes and a header."""
    honest = npy(HONEST["honest-1"]["b"])
    data = npz([("b.npy", honest + bytes(2**26)), ("w.npy", npy(HONEST["honest-1"]["w"]))], zipfile.ZIP_DEFLATED)
    return claim(data, len(honest) + 2**26, len(honest))


def crowded(count):
    """An archive whose directory claims very many members."""
    one = npz([("b.npy", b"")])
    directory = one[one.index(b"PK\1\2") : one.index(b"PK\5\6")]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory) * count, 0, 0)
    return directory * count + end


GOOD = {"b": entry(24, 72), "w": entry(0, 24, "F32", (2, 3))}
SAFETENSORS = {
    "empty": (b"", "an empty one"),
    "seven bytes": (b"\1\0\0\0\0\0\0", "the file ends at byte 7"),
    "no header": (safetensors(b""), "damaged header"),
    "header beyond the end": (safetensors(b"{}", length=100), "a header of 100 bytes in a file of 10"),
    "absurd header": (safetensors(b"{}", length=2**64 - 1), "a header of 18446744073709551615 bytes"),
    "long header": (safetensors(b" " * 2**25), "where 16777216 are allowed"),
    "no JSON": (safetensors(b"{]"), "damaged header"),
    "not UTF-8": (safetensors(b'{"\xff":1}'), "damaged header"),
    "deep JSON": (safetensors(b"[" * 10**6), "damaged header"),
    "an array": (safetensors([1]), "damaged header (not an object)"),
    "a huge number": (safetensors(b'{"b":' + b"9" * 10**5 + b"}"), "damaged header"),
    "no entry": (safetensors({"b": 3}), "no dtype, shape and data_offsets for 'b'"),
    "half an entry": (safetensors({"b": {"dtype": "F32"}}), "no dtype, shape and data_offsets"),
    "unknown dtype": (safetensors({"b": entry(dtype="F4")}), "dtype 'F4', which cannot be aggregated"),
    "dtype of no kind": (safetensors({"b": entry(dtype=["F64"])}), "cannot be aggregated"),
    "complex": (safetensors({"b": entry(dtype="C64")}), "dtype 'C64'"),
    "negative shape": (safetensors({"b": entry(shape=(-2, -3))}), "impossible shape [-2, -3]"),
    "shape of booleans": (safetensors({"b": entry(shape=(True, 6))}), "impossible shape"),
    "shape of floats": (safetensors({"b": entry(shape=(6.0,))}), "impossible shape"),
    "no shape": (safetensors({"b": entry(shape=None)}), "impossible shape"),
    "huge shape": (safetensors({"b": entry(shape=(2**62, 2**62))}), "impossible shape"),
    "deep shape": (safetensors({"b": entry(shape=(1,) * 65)}), "impossible shape"),
    "overlap": (safetensors(GOOD | {"b": entry(0, 48)}, bytes(72)), "begins at byte 0 of the data"),
    "gap": (safetensors(GOOD | {"b": entry(32, 80)}, bytes(80)), "begins at byte 32"),
    "negative place": (safetensors({"b": entry(-48, 0)}), "begins at byte -48"),
    "backwards": (safetensors({"b": entry(48, 0)}), "takes 48 bytes by its shape and dtype, and -48 in the file"),
    "place of floats": (safetensors({"b": entry(0.0, 48.0)}), "bad data_offsets"),
    "wrong size": (safetensors({"b": entry(0, 40)}, bytes(40)), "takes 48 bytes by its shape and dtype, and 40"),
    "truncated": (safetensors(GOOD, bytes(71)), "describes 72 bytes of data, and 71 follow"),
    "more data": (safetensors(GOOD, bytes(73)), "describes 72 bytes of data, and 73 follow"),
    "twice": (safetensors(b'{"b":1,"b":2}'), "'b' appears twice"),
    "nameless": (safetensors({"": entry()}, bytes(48)), "tensor name ''"),
    "a path": (safetensors({"../b": entry()}, bytes(48)), "not safe as a path"),
    "an absolute path": (safetensors({"/b": entry()}, bytes(48)), "not safe as a path"),
    "a line": (safetensors({"b\n": entry()}, bytes(48)), "not safe as a path"),
    "half a character": (safetensors({"\ud800": entry()}, bytes(48)), "not safe as a path"),
    "another name": (safetensors({"c": entry(), "w": GOOD["w"]} | {"w": entry(48, 72, "F32", (2, 3))}, bytes(72)),
                     "lacks 'b', adds 'c'"),
    "another shape": (safetensors(GOOD | {"w": entry(0, 24, "F32", (3, 2))}, bytes(72)), "shape (3, 2), where"),
    "another dtype": (safetensors(GOOD | {"b": entry(24, 72, "I64")}, bytes(72)), "dtype int64, where"),
}  # fmt: skip
B, W = npy(HONEST["honest-1"]["b"]), npy(HONEST["honest-1"]["w"])
DEFLATED = honest_npz(zipfile.ZIP_DEFLATED)
NPZ = {
    "empty": (b"", "an empty one"),
    "no archive": (b"PK\3\4" * 50, "damaged header"),
    "a pickle": (pickle.dumps(Pickled()), "not a .npz file but a pickle"),
    "a pickle inside": (honest_npz(**{"b.npy": pickled_npy()}), "pickled Python objects, which are never loaded"),
    "a bare pickle inside": (honest_npz(**{"b.npy": pickle.dumps(Pickled())}), "not an array"),
    "another file inside": (honest_npz(**{"readme.txt": b"hello"}), "holds 'readme.txt', which is not an array"),
    "a path": (honest_npz(**{"../b.npy": B}), "not safe as a path"),
    "twice": (npz([("b.npy", B), ("c.npy", B)]).replace(b"c.npy", b"b.npy"), "'b' appears twice"),
    "empty member": (honest_npz(**{"b.npy": b""}), "not an array"),
    "lying shape": (honest_npz(**{"b.npy": npy(np.arange(6.0), shape=(7,))}), "takes 56 bytes by its shape"),
    "negative shape": (honest_npz(**{"b.npy": npy(np.arange(6.0), shape=(-6,))}), "impossible shape (-6,)"),
    "structured": (honest_npz(**{"b.npy": npy(np.zeros(3, "f4,f4"))}), "cannot be aggregated"),
    "complex": (honest_npz(**{"b.npy": npy(np.zeros(3, complex))}), "dtype '<c16', which cannot be aggregated"),
    "dates": (honest_npz(**{"b.npy": npy(np.zeros(3, "M8[s]"))}), "cannot be aggregated"),
    "deep header": (honest_npz(**{"b.npy": b"\x93NUMPY\1\0\x10\x27" + b"(" * 10_000}), "damaged header"),
    "code for a header": (
        honest_npz(**{"b.npy": b"\x93NUMPY\1\0\x40\0" + b"__import__('pathlib').Path('cracked').touch()".ljust(64)}),
        "damaged header",
    ),
    "endless header": (honest_npz(**{"b.npy": b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1)}), "a header of 42949"),
    "minus signs": (honest_npz(**{"b.npy": b"\x93NUMPY\1\0\x10\x27" + b"-" * 10_000}), "damaged header"),
    "a sum for a shape": (honest_npz(**{"b.npy": B.replace(b"(6,), }  ", b"(3+3,), }")}), "damaged header"),
    "bzip2": (honest_npz(zipfile.ZIP_BZIP2), "compressed by a method that NumPy does not use"),
    "encrypted": (honest_npz().replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0"), "is encrypted"),
    "outside": (claim(honest_npz(), len(B), len(B) + 10**6), "lies outside of its place"),
    "truncated": (honest_npz()[:-40], "damaged header"),
    "crowded": (crowded(400_000), "bytes, where 1048576 are allowed"),
    "bit of data": (honest_npz().replace(b"\0\xf0?", b"\0\xf1?", 1), "wrong checksum"),
    "bit of deflated data": (DEFLATED[:60] + bytes([DEFLATED[60] ^ 255]) + DEFLATED[61:], "not admitted"),
    "short": (claim(DEFLATED, len(B), len(B) + 8), "'b' has fewer bytes than its header says"),
    "bomb": (bomb(), "'b' has more bytes than its header says"),
}
NPY = {
    "empty": (b"", "an empty one"),
    "a pickle": (pickled_npy(), "pickled Python objects"),
    "magic alone": (b"\x93NUMPY", "not an array"),
    "version": (b"\x93NUMPY\t\0" + B[8:], "not an array"),
    "truncated": (B[:-1], "takes 48 bytes by its shape and dtype, and 47 in the file"),
    "more data": (B + b"\0", "and 49 in the file"),
    "lying shape": (npy(np.arange(6.0), shape=(2**40,)), "takes 8796093022208 bytes"),
    "no shape": (npy(np.arange(6.0)).replace(b"'shape'", b"'shope'"), "damaged header"),
    "no order": (npy(np.arange(6.0), fortran_order=7), "fortran_order is neither True nor False"),
    "strings": (npy(np.array(["abc"])), "cannot be aggregated"),
    "of 16 bytes": (npy(np.zeros(3, np.longdouble)), "cannot be aggregated"),
    "wrong dtype": (npy(np.arange(6)), "dtype int64, where most clients sent float64"),
    "nested dtype": (npy(np.arange(6.0), descr=[("a", "<f8")]), "cannot be aggregated"),
}


# --- what becomes of them -------------------------------------------------------------------------------------------


def write_honest(folder, suffix):
    paths = []
    for name, update in HONEST.items():
        paths.append(folder / f"{name}{suffix}")
        with paths[-1].open("wb") as file:
            if suffix == ".safetensors":
                file.write(save(update))
            elif suffix == ".npz":
                np.savez(file, **update)
            else:
                np.save(file, update["b"])
    return paths


def read(path):
    if path.suffix == ".safetensors":
        return load_file(path)
    return dict(np.load(path)) if path.suffix == ".npz" else {"b": np.load(path)}


def left_out(folder, suffix, data, reason, monkeypatch):
    """Aggregate with a forged file among honest ones: the honest decide, the forger is named, memory spared."""
    monkeypatch.chdir(folder)
    honest = write_honest(folder, suffix)
    forged = folder / f"mallory{suffix}"
    forged.write_bytes(data)
    out = folder / f"out{suffix}"
    expected = read(ra.aggregate_files(ra.Median(), honest, out).update)
    tracemalloc.start()
    result = ra.aggregate_files(ra.Median(), [forged, *honest], out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not CRACKED.exists()
    assert result.admitted.tolist() == [False, True, True, True]
    assert result.weights[0] == 0
    found = read(out)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert result.reasons[0].startswith("not admitted: ")
    assert len(result.reasons[0]) < 400
    assert any(part in result.reasons[0] for part in reason.split("|")), result.reasons[0]
    assert peak < 2**25
    with pytest.raises(ValueError, match=r"client 'mallory', file .*mallory.*: ") as told:
        ra.aggregate_files(ra.Median(), [*honest, forged], out, strict=True)
    assert str(told.value).endswith(result.reasons[0].removeprefix("not admitted: "))


@pytest.mark.parametrize("forgery", SAFETENSORS)
def test_safetensors(tmp_path, monkeypatch, forgery):
    left_out(tmp_path, ".safetensors", *SAFETENSORS[forgery], monkeypatch)


@pytest.mark.parametrize("forgery", NPZ)
def test_npz(tmp_path, monkeypatch, forgery):
    left_out(tmp_path, ".npz", *NPZ[forgery], monkeypatch)


@pytest.mark.parametrize("forgery", NPY)
def test_npy(tmp_path, monkeypatch, forgery):
    left_out(tmp_path, ".npy", *NPY[forgery], monkeypatch)


def test_what_is_no_file(tmp_path):
    honest = write_honest(tmp_path, ".npz")
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "circle.npz").symlink_to(tmp_path / "circle.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    (tmp_path / "update.pkl").write_bytes(pickle.dumps(1))
    reasons = {
        "pipe.npz": "not a regular file",
        "folder.npz": "a folder of 0 files that could be the model",
        "zero.npz": "not a regular file",
        "circle.npz": "cannot be read: Too many levels of symbolic links",
        "gone.npz": "cannot be read: No such file or directory",
        "null\0.npz": "cannot be read: ",
        "update.pkl": "unknown format '.pkl'",
    }
    paths = [tmp_path / name for name in reasons]
    result = ra.aggregate_files(ra.Median(), [*paths, *honest], tmp_path / "out.npz")
    for found, reason in zip(result.reasons, reasons.values(), strict=False):
        assert found.startswith(f"not admitted: {reason}")


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is readable for the superuser")
def test_a_file_without_permission(tmp_path):
    honest = write_honest(tmp_path, ".npz")
    honest[0].chmod(0)
    result = ra.aggregate_files(ra.Median(), honest, tmp_path / "out.npz")
    assert result.reasons[0] == "not admitted: cannot be read: Permission denied"


def test_the_most_common_structure_is_the_model(tmp_path):
    def write(name, **tensors):
        np.savez(tmp_path / f"{name}.npz", **tensors)
        return tmp_path / f"{name}.npz"

    one, two = write("one", w=np.ones(3)), write("two", w=np.ones(4))
    three, four = write("three", w=np.ones(4)), write("four", w=np.ones(3, np.float32))
    result = ra.aggregate_files(ra.Mean(), [one, two, three, four], tmp_path / "out.npz")
    assert result.admitted.tolist() == [False, True, True, False]
    assert result.reasons[0] == "not admitted: tensor 'w' has shape (3,), where most clients sent (4,)"
    result = ra.aggregate_files(ra.Mean(), [four, two, one], tmp_path / "out.npz")
    assert result.admitted.tolist() == [True, False, False]  # as many of each: the first
    with pytest.raises(ValueError, match=r"client 'three', file .*three\.npz: tensor 'w' has shape"):
        ra.aggregate_files(ra.Mean(), [one, three, four], tmp_path / "out.npz", strict=True)


# --- files that change or break in the middle -----------------------------------------------------------------------


def truncate(path):
    os.truncate(path, path.stat().st_size - 10)


def rewrite(path):
    path.write_bytes(path.read_bytes())


def replace(path):
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [truncate, rewrite, replace, Path.unlink, pipe])
@pytest.mark.parametrize("when", [0.0, 0.6])
@pytest.mark.parametrize("rule", [ra.Mean, ra.Reputation])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_file_that_changes_during_the_round(tmp_path, change, when, rule, suffix):
    rng = np.random.default_rng(0)
    updates = {name: {"w": rng.normal(size=40_000), "steps": np.arange(3)} for name in ("ada", "bob", "cem", "dan")}
    paths = []
    for name, update in updates.items():
        paths.append(tmp_path / f"{name}{suffix}")
        paths[-1].write_bytes(save(update)) if suffix == ".safetensors" else np.savez(paths[-1], **update)
    changed = []

    def progress(done, total):
        assert done <= total
        if done >= when * total and not changed:
            changed.append(change(paths[1]))

    def run(**options):
        arguments = {"sample_counts": [4, 3, 2, 1], "max_memory": "8 MiB"} | options
        return ra.aggregate_files(memory, paths, tmp_path / f"out{suffix}", **arguments)

    memory = rule()
    result = run(progress=progress)
    assert result.admitted.tolist() == [True, False, True, True]
    assert result.reasons[1].startswith("not admitted: ")
    del updates["bob"]
    expected = rule().aggregate(updates, sample_counts=[4, 2, 1])
    found = read(result.update)
    for name, tensor in expected.update.items():
        assert found[name].tobytes() == tensor.tobytes()
    assert sorted(tmp_path.glob(".*")) == []


def test_a_file_that_changes_is_an_error_where_nobody_may_be_left_out(tmp_path):
    paths = write_honest(tmp_path, ".npz")
    with pytest.raises(ValueError, match=r"client 'honest-2', file .*: the file changed while it was in use"):
        ra.aggregate_files(
            ra.Reputation(), paths, tmp_path / "out.npz", strict=True, progress=lambda *now: rewrite(paths[2])
        )
    assert sorted(tmp_path.iterdir()) == sorted(paths)


# --- noise ----------------------------------------------------------------------------------------------------------


def noisy(data, rng):
    """A file after an accident: some bytes changed, some left out, some put in, or the end missing."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data)))
        kind = rng.integers(5)
        if kind < 2:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(9)))
        elif kind == 3:
            data[at : at + 8] = struct.pack("<Q", (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)[rng.integers(6)])
        elif len(data) > 8:
            del data[max(8, at) :]
    return bytes(data)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "deflated npz", "npy"])
def test_noise_never_escapes(tmp_path, kind):
    suffix = "." + kind.split()[-1]
    honest = write_honest(tmp_path, suffix)
    data = DEFLATED if kind.startswith("deflated") else honest[1].read_bytes()
    mallory, out = tmp_path / f"mallory{suffix}", tmp_path / f"out{suffix}"
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    refused = 0
    for _ in range(400):
        mallory.write_bytes(noisy(data, rng))
        result = ra.aggregate_files(ra.Mean(), [*honest, mallory], out)
        assert result.admitted[:3].all()
        refused += not result.admitted[3]
    assert refused > 100
