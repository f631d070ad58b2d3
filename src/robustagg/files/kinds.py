"""What a file is, told by its first bytes: for those whose name says something else."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from typing import IO, cast

from robustagg import errors
from robustagg.files.storage import Limited, Readable

START = 64  # bytes that tell
DIRECTORY = 2**20  # of an archive's directory, at most
MAGIC = {
    b"\x93NUMPY": ("an array in NumPy's .npy format", (".npy",)),
    b"\x89HDF\r\n": ("HDF5, as Keras writes", (".h5", ".hdf5")),
    b"\x1f\x8b": ("compressed by gzip", ()),
    b"BZh": ("compressed by bzip2", ()),
    b"\xfd7zXZ": ("compressed by xz", ()),
    b"\x28\xb5\x2f\xfd": ("compressed by zstandard", ()),
    b"GGUF": ("a GGUF model", ()),
    b"version https://git-lfs": ("a pointer of Git LFS to a file that was not fetched", ()),
    b"\x80\x02": ("a pickle", (".pt", ".pth", ".bin")),
    b"\x80\x03": ("a pickle", ()),
    b"\x80\x04": ("a pickle", ()),
    b"\x80\x05": ("a pickle", ()),
}
PICKLE_OF_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch.save before archives


def told(file: Readable, suffix: str) -> str | None:
    """What the file is, in words, if that is known and not what the suffix says."""
    with suppress(errors.Unreadable), file.open() as handle:
        start = handle.read(0, min(file.size, START))
        if not start:
            return "an empty one"
        if start.startswith(b"PK\3\4"):
            what, suffixes = _archive(file)
        elif start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= file.size:
            what, suffixes = "a safetensors file", (".safetensors",)
        elif start.startswith(PICKLE_OF_TORCH):
            what, suffixes = "a pickle of PyTorch's (torch.save)", (".pt", ".pth", ".bin")
        else:
            what, suffixes = next((known for magic, known in MAGIC.items() if start.startswith(magic)), _other(start))
        return None if suffix in suffixes else what or None
    return None


def _archive(file: Readable) -> tuple[str, tuple[str, ...]]:
    names: list[str] = []
    with suppress(Exception), file.open() as handle:
        limited = Limited(handle, file.size, DIRECTORY)
        with zipfile.ZipFile(cast(IO[bytes], limited)) as archive:
            names = archive.namelist()
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "a zip archive of PyTorch's (torch.save)", (".pt", ".pth", ".bin")
    if "model.weights.h5" in names:
        return "a Keras archive", (".keras",)
    if names and all(name.endswith(".npy") for name in names):
        return "a .npz archive of NumPy's", (".npz",)
    return "a zip archive", (".npz", ".pt", ".pth", ".bin", ".keras")


def _other(start: bytes) -> tuple[str, tuple[str, ...]]:
    if start[:1] == b"\x08" and b"\x12" in start[1:4]:
        return "an ONNX model, or another protocol buffer", ()
    if len(start) == START and not any(start):
        return "one that begins with zeros, as after a crash", ()
    text = start.lstrip()
    if text[:1] in (b"{", b"[") and text.isascii():
        return "JSON text", ()
    if len(start) > 8 and all(32 <= sign < 127 or sign in b"\t\r\n" for sign in start):
        return "text", ()
    return "", ()
