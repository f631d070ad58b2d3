"""NumPy's formats: .npy, one array, and .npz, a zip archive of them.

The headers are parsed here, and pickles therefore never loaded; the archive's directory is parsed by :mod:`zipfile`.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import IO, Any, BinaryIO, NamedTuple, cast

import numpy as np

from robustagg import errors
from robustagg.files import float8
from robustagg.files.members import Member
from robustagg.files.storage import Handle, Limited, Readable
from robustagg.files.tensors import DEFLATED, PLACE, PLAIN, STORED, Contents, Model, Tensor, checked, in_order
from robustagg.kernels.interface import Array

MAGIC = b"\x93NUMPY"
PREFIX = 12  # magic, version and the longer kind of header length
HEADER_LIMIT = 10_000  # as numpy.load has it
LOCAL_HEADER = 30  # bytes of a zip member's own header, without name and extra field
DIRECTORY = 16  # a directory of members may be this many times shorter than another header: each has one of its own
SINGLE = "arr_0"  # the name of an array without one, as numpy.savez has it
# three entries in any order, with the values that a plain array's header has, or a structured one's list
ENTRY = r"""['"](descr|fortran_order|shape)['"]\s*:\s*('[^'\\]*'|"[^"\\]*"|\[[^{}]*\]|\w+|\([-\dL,\s]*\))\s*"""
HEADER = re.compile(rf"\s*\{{\s*{ENTRY},\s*{ENTRY},\s*{ENTRY},?\s*\}}\s*", re.ASCII)
METHODS = {zipfile.ZIP_STORED: STORED, zipfile.ZIP_DEFLATED: DEFLATED}


class Header(NamedTuple):
    """What an array's header says."""

    tensor: Tensor
    swapped: bool
    size: int
    """Bytes of the header itself."""


def contents(file: Readable, limit: int) -> Contents:
    """Of a .npy file: the header, once it is known to agree with the file's length."""
    with file.open() as handle:
        header = _header(SINGLE, handle.read(0, min(file.size, PREFIX + HEADER_LIMIT)), file.size)
    return in_order([(header.tensor, (PLAIN, header.swapped, header.size, 0, 0, 0))])


def archive_contents(file: Readable, limit: int) -> Contents:
    """Of a .npz file: its members' headers; an archive whose directory has more than `limit` bytes is refused."""
    with file.open() as handle:
        with zipfile.ZipFile(cast(IO[bytes], Limited(handle, file.size, limit // DIRECTORY))) as archive:
            members, end = archive.infolist(), archive.start_dir
        begins = sorted(member.header_offset for member in members)
        ends = dict(zip(begins, [*begins, end][1:], strict=True))
        return in_order([_member(handle, member, ends[member.header_offset]) for member in members])


def _member(handle: Handle, member: zipfile.ZipInfo, end: int) -> tuple[Tensor, tuple[Any, ...]]:
    """A member's tensor and place; its bytes must lie before `end`."""
    name, suffix = member.filename[:-4], member.filename[-4:]
    if suffix != ".npy" or member.orig_filename != member.filename:
        raise errors.foreign_member(member.filename)
    if member.flag_bits & 1 or member.compress_type not in METHODS:
        raise errors.unreadable_member(name)
    local = handle.read(member.header_offset, LOCAL_HEADER)
    offset = member.header_offset + LOCAL_HEADER + int.from_bytes(local[26:28], "little")
    offset += int.from_bytes(local[28:30], "little")
    if local[:4] != b"PK\3\4" or offset + member.compress_size > end:
        raise errors.misplaced_member(name)
    kind = METHODS[member.compress_type]
    if kind == STORED and member.compress_size != member.file_size:
        raise errors.lying_size(name, member.file_size, member.compress_size)
    place = np.array((kind, False, offset, member.compress_size, 0, member.CRC, 0), PLACE)
    start = bytearray(min(member.file_size, PREFIX + HEADER_LIMIT))
    Member(name, place[()]).read_into(handle, memoryview(start))
    header = _header(name, bytes(start), member.file_size)
    return header.tensor, (kind, header.swapped, offset, member.compress_size, header.size, member.CRC)


def _header(name: str, start: bytes, total: int) -> Header:
    """Parse the header at the start of an array file of `total` bytes."""
    if start[:6] != MAGIC or len(start) < PREFIX or start[6] not in (1, 2, 3):
        raise errors.not_an_array(name)
    begin = 10 if start[6] == 1 else PREFIX
    size = begin + int.from_bytes(start[8:begin], "little")
    if size > len(start):
        raise errors.npy_header_too_long(size - begin, min(HEADER_LIMIT, total - begin))
    descr, fortran, shape = _fields(start[begin:size])
    try:
        dtype = np.dtype(descr or "V")  # V: not a plain one
    except TypeError:
        raise errors.damaged_header(f"no dtype {descr!r}") from None
    if fortran not in ("True", "False"):
        raise errors.damaged_header("fortran_order is neither True nor False")
    if dtype.hasobject:
        raise errors.pickled(name)
    tensor = checked(name, dtype.name if dtype.kind in "fiub" else descr or "structured", shape)
    if tensor.nbytes != total - size:
        raise errors.lying_size(name, tensor.nbytes, total - size)
    several = sum(k > 1 for k in tensor.shape) > 1  # else both orders are one
    return Header(Tensor(name, tensor.dtype, tensor.shape, fortran == "True" and several), not dtype.isnative, size)


def _fields(text: bytes) -> tuple[str, str, object]:
    """descr, empty of a structured array, fortran_order and shape, without evaluating what a stranger wrote."""
    found = HEADER.fullmatch(str(text, "latin1"))
    fields = dict(zip(found.groups()[::2], found.groups()[1::2], strict=True)) if found else {}
    if fields.keys() != {"descr", "fortran_order", "shape"}:
        raise errors.damaged_header("not a dictionary of descr, fortran_order and shape")
    descr = fields["descr"][1:-1] if fields["descr"][0] in "'\"" else ""
    parts = [part.strip().removesuffix("L") for part in fields["shape"].strip("()").split(",")]
    if not fields["shape"].startswith("(") or any(len(part) > 20 for part in parts):
        return descr, fields["fortran_order"], fields["shape"]
    try:
        return descr, fields["fortran_order"], tuple(int(part) for part in parts if part)
    except ValueError:
        raise errors.damaged_header("shape is no tuple of numbers") from None


# --- writing --------------------------------------------------------------------------------------------------------


class Writer:
    """Writes the one tensor of a .npy file, piece by piece in any order."""

    keeps_order = True
    has_places = True

    def __init__(self, file: BinaryIO, model: Model) -> None:
        self._file, self._tensor = file, model.tensors[0]
        self._header = _written_header(self._tensor)

    def begin(self) -> None:
        self._file.write(self._header)

    def write(self, k: int, start: int, values: Array) -> None:
        numbers = _numbers(self._tensor, values)
        self._file.seek(len(self._header) + start * numbers.itemsize)
        self._file.write(numbers)

    def close(self) -> None:
        """All tensors are written."""


class ArchiveWriter:
    """Writes a .npz file: tensors in any order, each from its beginning to its end."""

    keeps_order = True
    has_places = False  # before its bytes a member has their checksum

    def __init__(self, file: BinaryIO, model: Model) -> None:
        self._archive = zipfile.ZipFile(file, "w")
        self._model = model
        self._member: IO[bytes] | None = None

    def begin(self) -> None:
        """Each member has a header of its own."""

    def write(self, k: int, start: int, values: Array) -> None:
        if start == 0:
            self._next(k)
        assert self._member is not None
        self._member.write(_numbers(self._model.tensors[k], values))

    def _next(self, k: int) -> None:
        self._end()
        # the date is zipfile's default, a constant: the same round gives the same bytes
        name = self._model.tensors[k].name + ".npy"
        self._member = self._archive.open(zipfile.ZipInfo(name), "w", force_zip64=True)
        self._member.write(_written_header(self._model.tensors[k]))

    def close(self) -> None:
        """All tensors are written; the directory lists them in the model's order."""
        try:
            self._end()
            ranks = {self._model.tensors[k].name + ".npy": rank for rank, k in enumerate(self._model.listed)}
            self._archive.infolist().sort(key=lambda member: ranks[member.filename])
        finally:
            self._archive.close()

    def _end(self) -> None:
        if self._member is not None:
            self._member.close()


def _written_header(tensor: Tensor) -> bytes:
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32) if tensor.dtype == "bfloat16" else tensor.storage)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": tensor.fortran, "shape": tensor.shape}
    )
    return stream.getvalue()


def _numbers(tensor: Tensor, values: Array) -> memoryview:
    """The values' bytes; NumPy's formats know neither bfloat16 nor float8, whose numbers float32 holds as they are."""
    if tensor.dtype in float8.TABLES:
        values = float8.decoded(float8.encoded(values, tensor.dtype), tensor.dtype)
    if tensor.dtype == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.data
