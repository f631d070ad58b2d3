"""NumPy's formats: .npy, one array, and .npz, a zip archive of them.

The headers are parsed here, and pickles therefore never loaded; the archive's directory is parsed by :mod:`zipfile`.
"""

from __future__ import annotations

import ast
import io
import zipfile
from typing import IO, Any, BinaryIO, NamedTuple, cast

import numpy as np

from robustagg import errors
from robustagg.files.members import Member
from robustagg.files.storage import File, Handle, Limited
from robustagg.files.tensors import DEFLATED, PLACE, PLAIN, STORED, Contents, Tensor, checked, in_order
from robustagg.kernels.interface import Array

MAGIC = b"\x93NUMPY"
PREFIX = 12  # magic, version and the longer kind of header length
HEADER_LIMIT = 10_000  # as numpy.load has it
LOCAL_HEADER = 30  # bytes of a zip member's own header, without name and extra field
SINGLE = "arr_0"  # the name of an array without one, as numpy.savez has it
METHODS = {zipfile.ZIP_STORED: STORED, zipfile.ZIP_DEFLATED: DEFLATED}


class Header(NamedTuple):
    """What an array's header says."""

    tensor: Tensor
    swapped: bool
    size: int
    """Bytes of the header itself."""


def contents(file: File, limit: int) -> Contents:
    """Of a .npy file: the header, once it is known to agree with the file's length."""
    with file.open() as handle:
        header = _header(SINGLE, handle.read(0, min(file.size, PREFIX + HEADER_LIMIT)), file.size)
    return in_order([(header.tensor, (PLAIN, header.swapped, header.size, 0, 0, 0))])


def archive_contents(file: File, limit: int) -> Contents:
    """Of a .npz file: its members' headers; an archive whose directory has more than `limit` bytes is refused."""
    with file.open() as handle:
        with zipfile.ZipFile(cast(IO[bytes], Limited(handle, file.size, limit))) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.header_offset)
            end = archive.start_dir
        ends = [*(member.header_offset for member in members[1:]), end]
        return in_order([_member(handle, member, end) for member, end in zip(members, ends, strict=False)])


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
    place = np.array((kind, False, offset, member.compress_size, 0, member.CRC), PLACE)
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
        raise errors.header_too_long(size - begin, min(HEADER_LIMIT, total - begin))
    try:
        fields = ast.literal_eval(str(start[begin:size], "utf-8").strip())
        descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
        dtype = np.dtype(descr if isinstance(descr, str) else "V")  # V: not a plain one
    except (ValueError, TypeError, SyntaxError, KeyError, MemoryError, RecursionError):
        raise errors.damaged_header("not a dictionary of descr, fortran_order and shape") from None
    if type(fortran) is not bool:
        raise errors.damaged_header("fortran_order is neither True nor False")
    if dtype.hasobject:
        raise errors.pickled(name)
    tensor = checked(name, dtype.name if dtype.kind in "fiub" else str(descr), shape)
    if tensor.nbytes != total - size:
        raise errors.lying_size(name, tensor.nbytes, total - size)
    several = sum(k > 1 for k in tensor.shape) > 1  # else both orders are one
    return Header(Tensor(name, tensor.dtype, tensor.shape, fortran and several), not dtype.isnative, size)


# --- writing --------------------------------------------------------------------------------------------------------


class Writer:
    """Writes the one tensor of a .npy file."""

    def __init__(self, file: BinaryIO, tensors: tuple[Tensor, ...]) -> None:
        self._file = file
        file.write(_written_header(tensors[0]))

    def begin(self, k: int) -> None:
        """Tensor k comes next."""

    def write(self, values: Array) -> None:
        self._file.write(values.data)

    def close(self) -> None:
        """All tensors are written."""


class ArchiveWriter:
    """Writes a .npz file, each tensor in one go, in any order."""

    def __init__(self, file: BinaryIO, tensors: tuple[Tensor, ...]) -> None:
        self._archive = zipfile.ZipFile(file, "w")
        self._tensors = tensors
        self._member: IO[bytes] | None = None

    def begin(self, k: int) -> None:
        """Tensor k comes next."""
        self._end()
        # the date is zipfile's default, a constant: the same round gives the same bytes
        self._member = self._archive.open(zipfile.ZipInfo(self._tensors[k].name + ".npy"), "w", force_zip64=True)
        self._member.write(_written_header(self._tensors[k]))

    def write(self, values: Array) -> None:
        assert self._member is not None
        self._member.write(values.data)

    def close(self) -> None:
        """All tensors are written."""
        try:
            self._end()
        finally:
            self._archive.close()

    def _end(self) -> None:
        if self._member is not None:
            self._member.close()


def _written_header(tensor: Tensor) -> bytes:
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(tensor.storage)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": tensor.fortran, "shape": tensor.shape}
    )
    return stream.getvalue()
