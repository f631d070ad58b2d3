"""Models in parts, in folders, and in other libraries' files; hostile ones are left out with the reason."""

from __future__ import annotations

import io
import json
import mmap
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from updatefiles import read

import robustagg as ra

VALUES = {"w2": np.float32([1, 2]), "b": np.float32(3), "a/c": np.zeros((2, 0), np.float32)}


def sharded(folder: Path, scale: float, **changes) -> Path:
    folder.mkdir()
    parts = {"model-1.safetensors": ["w2"], "model-2.safetensors": ["b", "a/c"]}
    for name, keys in parts.items():
        save_file({key: np.asarray(VALUES[key] * scale) for key in keys}, folder / name, metadata={"format": "np"})
    where = {key: name for name, keys in parts.items() for key in keys} | changes
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


@pytest.mark.parametrize("index", ["", "model.safetensors.index.json"])
def test_a_model_in_parts(tmp_path, index):
    paths = [sharded(tmp_path / f"site-{i}", i) / index for i in range(3)]
    result = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.safetensors")
    assert result.clients == ("site-0", "site-1", "site-2")
    found = load_file(result.update)
    assert all(np.array_equal(found[name], values) for name, values in VALUES.items())
    with pytest.raises(ValueError, match="one of the clients' files"):
        ra.aggregate_files(ra.Mean(), [tmp_path / "site-0"], tmp_path / "site-0" / "out.npz")
    with pytest.raises(ValueError, match="one of the clients' files"):
        ra.aggregate_files(ra.Mean(), paths, tmp_path / "site-1" / "model-2.safetensors")
    sharded(tmp_path / "hostile", 1, w2="model.safetensors.index.json", b="./model.safetensors.index.json")
    whole = tmp_path / "hostile" / "model.safetensors.index.json"  # it names itself, and is looked at once
    result = ra.aggregate_files(ra.Mean(), [*paths, whole], tmp_path / "out.npz")
    assert result.admitted.tolist() == [True, True, True, False]
    whole = tmp_path / "site-2" / "model.safetensors.index.json"
    with pytest.raises(ValueError, match="one of the clients' files"):
        ra.aggregate_files(ra.Mean(), paths[:2], tmp_path / "site-2" / "model-1.safetensors", reference=whole)


@pytest.mark.parametrize("index", ["", "pytorch_model.bin.index.json"])
def test_a_model_in_parts_that_torch_saved(tmp_path, index):
    torch = pytest.importorskip("torch", reason="its files are read by torch")
    for i in range(3):
        folder = tmp_path / f"site-{i}"
        folder.mkdir()
        where = {"w2": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}
        for key, name in where.items():
            torch.save({key: torch.from_numpy(np.asarray(VALUES[key] * i))}, folder / name)
        torch.save({"lr": 0.1}, folder / "training_args.bin")
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    paths = [tmp_path / f"site-{i}" / index for i in range(3)]
    result = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.safetensors", strict=True)
    assert result.clients == ("site-0", "site-1", "site-2")
    found = load_file(result.update)
    assert all(np.array_equal(found[name], VALUES[name]) for name in where)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "pytorch_model.bin"])
def test_a_model_of_a_known_name_beside_other_files(tmp_path, name):
    torch = pytest.importorskip("torch", reason="its files are read by torch")
    for i in range(3):
        (tmp_path / f"site-{i}").mkdir()
        torch.save({"lr": 0.1}, tmp_path / f"site-{i}" / "training_args.bin")
        model = tmp_path / f"site-{i}" / name
        if name.endswith(".bin"):
            torch.save({"w": torch.tensor([float(i)])}, model)
        else:
            save_file({"w": np.float32([i])}, model)
    for paths in (sorted(tmp_path.glob("site-*")), sorted(tmp_path.glob(f"site-*/{name}"))):
        result = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz", strict=True)
        assert result.clients == ("site-0", "site-1", "site-2")
        assert read(result.update)["w"] == 1


HOSTILE = {
    "out of the folder": ({"w2": "../site-0/model-1.safetensors"}, "leads out of its folder"),
    "absolute": ({"w2": "/etc/passwd"}, "leads out of its folder"),
    "missing": ({"w2": "model-3.safetensors"}, "cannot be read: No such file"),
    "itself": ({"w2": "model.safetensors.index.json"}, "is none of .safetensors, .bin"),
    "a tensor too many": ({"more": "model-1.safetensors"}, "'more' is not as the index has it"),
    "another part": ({"w2": "model-2.safetensors"}, "is not as the index has it"),
    "no text": ({"w2": 1}, "no weight_map"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_indexes(tmp_path, case):
    changes, reason = HOSTILE[case]
    paths = [sharded(tmp_path / f"site-{i}", i) for i in range(3)] + [sharded(tmp_path / "eve", 9, **changes)]
    result = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.safetensors")
    assert result.admitted.tolist() == [True, True, True, False]
    assert reason in result.reasons[3]


def test_a_folder_of_links_to_elsewhere(tmp_path):
    """Such as a snapshot in Hugging Face's cache."""
    paths = []
    for i in range(3):
        save_file({"w": np.float32([i])}, tmp_path / f"blob-{i}")
        (tmp_path / f"site-{i}").mkdir()
        paths.append(tmp_path / f"site-{i}" / "model.safetensors")
        paths[-1].symlink_to(f"../blob-{i}")
    assert ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz").admitted.all()
    with pytest.raises(ValueError, match=r"not admitted: 'model.safetensors' leads out of its folder, .*cp -rL"):
        ra.aggregate_files(ra.Mean(), [path.parent for path in paths], tmp_path / "out.npz")


def test_metadata_of_parts_is_in_the_order_of_the_first(tmp_path):
    """Whatever the seed of Python's hashes, the same round has the same bytes."""
    said = {name: f"value of {name}" for name in "qwertyuiopasdfgh"}
    for i in range(2):
        folder = sharded(tmp_path / f"site-{i}", i)
        for k, name in enumerate(("model-1.safetensors", "model-2.safetensors")):
            path = folder / name
            save_file(load_file(path), path, metadata=said if k == 0 else {"x": "y"} | dict(reversed(said.items())))
    out = tmp_path / "out.safetensors"
    ra.aggregate_files(ra.Mean(), sorted(tmp_path.glob("site-*")), out)
    first = (tmp_path / "site-0" / "model-1.safetensors").read_bytes()

    def metadata(data):
        return list(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"].items())

    assert metadata(out.read_bytes()) == metadata(first)


def test_a_mapping_says_who_sent_what(tmp_path):
    paths = {7: tmp_path / "x.npy", "b": tmp_path / "y.npy"}
    for path in paths.values():
        np.save(path, np.ones(2))
    assert ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npy").clients == (7, "b")


def test_order_and_metadata_of_the_senders(tmp_path):
    names = ("w2", "w10", "b", "a")
    for i in range(3):
        save_file(
            dict.fromkeys(names, np.ones(2)), tmp_path / f"{i}.safetensors", metadata={"format": "pt", "by": str(i)}
        )
        np.savez(tmp_path / f"{i}.npz", **dict.fromkeys(names, np.ones(2)))
    ra.aggregate_files(ra.Median(), sorted(tmp_path.glob("?.safetensors")), tmp_path / "out.safetensors")
    raw = (tmp_path / "out.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["__metadata__"] == {"format": "pt"}
    ra.aggregate_files(ra.Median(), sorted(tmp_path.glob("?.npz")), tmp_path / "out.npz")
    assert np.load(tmp_path / "out.npz").files == list(names)


def test_bfloat16_in_numpys_formats_is_numbers(tmp_path):
    torch = pytest.importorskip("torch", reason="safetensors writes bfloat16 from torch")
    from safetensors.torch import save_file as save

    for i in range(3):
        save({"w": torch.tensor([1.5, -2.0 * i], dtype=torch.bfloat16)}, tmp_path / f"{i}.safetensors")
    found = read(ra.aggregate_files(ra.Median(), sorted(tmp_path.glob("?.safetensors")), tmp_path / "out.npz").update)
    assert found["w"].dtype == np.float32
    assert found["w"].tolist() == [1.5, -2.0]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("cracked",)


@pytest.mark.parametrize("size", [0, 1])
def test_torch_whose_only_value_has_any_step(size, tmp_path):
    """A vector of one value, or none, is contiguous with a stride of zero."""
    torch = pytest.importorskip("torch", reason="its files are read by torch")
    odd = torch.ones(()).expand(1) if size else torch.from_numpy(np.empty(0))
    assert odd.stride() == (0,)
    for i in range(3):
        torch.save({"w": torch.full((2, 3), float(i)), "odd": odd}, tmp_path / f"c{i}.pt")
    result = ra.aggregate_files(ra.Median(), sorted(tmp_path.glob("*.pt")), tmp_path / "out.safetensors")
    assert result.admitted.all()
    assert load_file(result.update)["odd"].tolist() == odd.tolist()


def test_torch_and_what_is_dressed_up_as_it(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="its files are read by torch")
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        torch.save({"w": torch.full((2, 3), float(i)).T, "n": torch.tensor(i), "state": None}, tmp_path / f"c{i}.pt")
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "epoch.pt")
    torch.save({"w": torch.zeros(1).expand(10**12), "n": torch.tensor(1)}, tmp_path / "huge.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pt")
    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap()))
    paths = [tmp_path / f"{name}.pt" for name in ("c0", "c1", "c2", "epoch", "huge", "module", "trap")]
    result = ra.aggregate_files(ra.Median(), paths, tmp_path / "out.npz")
    assert result.admitted.tolist() == [True] * 3 + [False] * 4
    assert "'epoch', which is no tensor" in result.reasons[3]
    assert "take more than the" in result.reasons[4]
    assert result.reasons[5].endswith("holds more than tensors: save the model's state_dict() alone")
    assert not Path("cracked").exists()
    assert np.array_equal(read(result.update)["w"], np.ones((3, 2), np.float32))
    (tmp_path / "c0.pt").rename(tmp_path / "c0.safetensors")
    with pytest.raises(ValueError, match=r"not a \.safetensors file but a zip archive of PyTorch's"):
        ra.aggregate_files(ra.Median(), [tmp_path / "c0.safetensors"], tmp_path / "out.npz")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_keras_optimizer_does_not_vote(suffix, tmp_path):
    """A compiled model's moments are in its file; one client has none."""
    h5py = pytest.importorskip("h5py", reason="HDF5 is read by h5py")
    for i in range(4):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            file["layers/optimizer/vars/0"] = np.full(2, i, np.float32)
            if i:
                file["optimizer/vars/0"] = np.int64(100 * i)
                file["optimizer_weights/m/0"] = np.full(2, 1e9, np.float32)
        data = stream.getvalue()
        if suffix == ".keras":
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr("model.weights.h5", data)
            data = stream.getvalue()
        (tmp_path / f"c{i}{suffix}").write_bytes(data)
    result = ra.aggregate_files(ra.Mean(), sorted(tmp_path.glob(f"*{suffix}")), tmp_path / "out.npz")
    assert result.admitted.all()
    found = read(result.update)
    assert list(found) == ["layers/optimizer/vars/0"]
    assert found["layers/optimizer/vars/0"].tolist() == [1.5, 1.5]


def damaged(paths, **damages):
    """What is said of a file after each damage, which changes its bytes."""
    sound, told = paths[-1].read_bytes(), {}
    for name, damage in damages.items():
        paths[-1].write_bytes(damage(sound))
        result = ra.aggregate_files(ra.Mean(), paths, paths[0].with_name("out.npz"))
        assert result.admitted.tolist() == [True] * (len(paths) - 1) + [False]
        told[name] = result.reasons[-1].removeprefix("not admitted: ")
    return told


def test_torch_damaged(tmp_path):
    torch = pytest.importorskip("torch", reason="its files are read by torch")
    paths = [tmp_path / f"c{i}.pt" for i in range(3)]
    for path in paths:
        torch.save({"w": torch.arange(20_000.0)}, path)

    def saved(value):
        torch.save(value, tmp_path / "other.pt")
        return (tmp_path / "other.pt").read_bytes()

    told = damaged(
        paths,
        short=lambda data: data[: len(data) // 2],
        zeros=lambda data: bytes(len(data)),
        values=lambda data: data[:20_000] + bytes(400) + data[20_400:],
        noise=lambda data: b"\1\2\3\xff" * 100,
        number=lambda data: saved(5),
        nothing=lambda data: saved(None),
        nested=lambda data: saved({"a": {"w": torch.ones(2)}, "a.w": torch.ones(2)}),
        numbered=lambda data: saved({0: torch.ones(2), "0": torch.ones(2)}),
    )
    assert told == {
        "short": "cannot be read: the archive is cut short or damaged (File is not a zip file)",
        "zeros": "not a .pt file but one that begins with zeros, as after a crash",
        "values": "cannot be read: the archive is cut short or damaged (Bad CRC-32 for file 'c2/data/0')",
        "noise": "cannot be read: it begins neither like an archive nor like a pickle of torch.save's",
        "number": "cannot be read: it holds one int, and no tensors: save the model's state_dict() alone",
        "nothing": "cannot be read: it holds one NoneType, and no tensors: save the model's state_dict() alone",
        "nested": "cannot be read: two of its tensors would both be called 'a.w'",
        "numbered": "cannot be read: two of its tensors would both be called '0'",
    }


def test_torch_without_checksums(tmp_path):
    torch = pytest.importorskip("torch", reason="its files are read by torch")
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("this torch always computes them")
    torch.serialization.set_crc32_options(False)
    try:
        for i in range(3):
            torch.save({"w": torch.full((2,), float(i))}, tmp_path / f"c{i}.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert ra.aggregate_files(ra.Mean(), sorted(tmp_path.glob("*.pt")), tmp_path / "out.npz").admitted.all()


def test_hdf5_damaged(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 is read by h5py")
    paths = [tmp_path / f"c{i}.h5" for i in range(3)]
    for path in paths:
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=np.random.default_rng(0).normal(size=2000), compression="gzip")
    told = damaged(
        paths,
        values=lambda data: data[: len(data) // 2] + bytes(8) + data[len(data) // 2 + 8 :],
        zeros=lambda data: bytes(len(data)),
    )
    assert told == {
        "values": "its header is sound, but its data is damaged",
        "zeros": "not a .h5 file but one that begins with zeros, as after a crash",
    }


def test_hdf5_and_links_in_it(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 is read by h5py")
    for i in range(4):
        with h5py.File(tmp_path / f"c{i}.weights.h5", "w") as file:
            file["layers/dense/vars/0"] = np.full((2, 2), i, np.float32)
            if i == 3:
                file["layers/link"] = h5py.ExternalLink("/etc/passwd", "/")
    result = ra.aggregate_files(ra.Mean(), sorted(tmp_path.glob("*.h5")), tmp_path / "out.npz")
    assert result.clients == ("c0", "c1", "c2", "c3")
    assert "a link to somewhere else" in result.reasons[3]
    assert read(result.update)["layers/dense/vars/0"].tolist() == [[1, 1], [1, 1]]


def test_bytes_that_change_behind_the_file_systems_back(tmp_path):
    """A store through a shared mapping that is open already: size, inode and all times may stay."""
    for i in range(5):
        np.save(tmp_path / f"c{i}.npy", np.full(20000, 1.0 + i / 100))
    paths = sorted(tmp_path.glob("*.npy"))
    expected = ra.aggregate_files(ra.Reputation(), paths[:4], tmp_path / "expected.npy")
    with paths[4].open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[200:208] = mapped[200:208]  # from here on the page is writable, and stores set no times
        before = paths[4].stat()

        def change(done, total):
            if done * 2 >= total:
                mapped[200:208] = np.float64(1e30).tobytes()

        result = ra.aggregate_files(ra.Reputation(), paths, tmp_path / "out.npy", progress=change)
    assert paths[4].stat() == before
    assert result.reasons[4] == "not admitted: the file changed while it was in use"
    assert np.array_equal(np.load(result.update), np.load(expected.update))


def test_passes_that_see_other_bytes(tmp_path):
    from robustagg.files.seals import Seals

    rows = np.random.default_rng(0).normal(size=(3, 50001)).astype(np.float16)
    seals = Seals()
    for pass_ in range(3):
        seals.begin([4, 7, 9])
        rows[1, -1] += pass_ == 2
        seals.add(rows[:, :30000])
        seals.add(rows[:, 30000:])
        assert seals.changed() == ([7] if pass_ == 2 else [])
