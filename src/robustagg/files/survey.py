"""Which files can be used: the most common structure among them is the model's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.files import npy, safetensors
from robustagg.files.members import INFLATER
from robustagg.files.storage import File
from robustagg.files.tensors import DEFLATED, Contents, Tensor
from robustagg.protocol import Client

FORMATS = {
    ".safetensors": safetensors.contents,
    ".npz": npy.archive_contents,
    ".npy": npy.contents,
}
TENSOR = 1024  # bytes that a tensor's name and shape take, here and in the output's header


@dataclass(frozen=True)
class Entrants:
    """Who has sent which file, and what becomes of those that cannot be used."""

    clients: tuple[Client, ...]
    paths: tuple[str, ...]
    strict: bool

    def refused(self, i: int, fault: errors.Unreadable) -> dict[int, str]:
        """Why client i is left out; an error if nobody may be."""
        if self.strict:
            raise errors.unusable_file(self.clients[i], self.paths[i], fault)
        return {i: f"not admitted: {fault}"}


class Survey(NamedTuple):
    """The model, and who sent one."""

    tensors: tuple[Tensor, ...]
    files: dict[int, File]
    places: dict[int, NDArray[np.void]]
    """Where the tensors are in each file; files of one layout share an array."""
    excluded: dict[int, str]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that this and reading with it take, about."""
        layouts = {id(places): places.nbytes for places in self.places.values()}
        inflaters = sum(INFLATER for places in self.places.values() if (places["kind"] == DEFLATED).any())
        return TENSOR * len(self.tensors) + sum(layouts.values()) + inflaters


def survey(entrants: Entrants, limit: int) -> Survey:
    """Look into every file, twice: to find the most common structure (of several, the first), and who has it.

    Tables of contents are not kept meanwhile: hostile ones are as long as `limit`, in bytes, allows.
    """
    structures: dict[int, bytes] = {}
    excluded: dict[int, str] = {}
    for i, path in enumerate(entrants.paths):
        try:
            structures[i] = _digest(_look(path, limit)[1].tensors)
        except errors.Unreadable as fault:
            excluded |= entrants.refused(i, fault)
    common = Counter(structures.values()).most_common(1)
    found: Survey | None = None
    layouts: dict[bytes, NDArray[np.void]] = {}
    for i in sorted(structures, key=lambda i: structures[i] != common[0][0]):
        try:
            file, contents = _look(entrants.paths[i], limit)
            if found is None and _digest(contents.tensors) == common[0][0]:
                found = Survey(contents.tensors, {}, {}, excluded)
            if found is None:
                raise errors.file_changed()
            _compare(contents.tensors, found.tensors)
        except errors.Unreadable as fault:
            excluded |= entrants.refused(i, fault)
        else:
            layout = hashlib.sha256(contents.places.data).digest()
            found.files[i], found.places[i] = file, layouts.setdefault(layout, contents.places)
    if found is None:
        raise errors.nobody_admitted((entrants.clients[i], why) for i, why in excluded.items())
    return found


def _look(path: str, limit: int) -> tuple[File, Contents]:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise errors.unknown_format(suffix, FORMATS)
    file = File(path)
    try:
        return file, FORMATS[suffix](file, limit)
    except errors.Unreadable:
        raise
    except Exception as fault:  # whatever a parser of hostile bytes trips over, it is the file's fault
        raise errors.damaged_header(fault) from None


def _digest(tensors: Sequence[Tensor]) -> bytes:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr(tensor).encode())
    return digest.digest()


def _compare(tensors: Sequence[Tensor], model: Sequence[Tensor]) -> None:
    """Raises where tensors are not those of the model."""
    theirs, ours = {tensor.name: tensor for tensor in tensors}, {tensor.name: tensor for tensor in model}
    missing, extra = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if missing or extra:
        raise errors.other_tensors(missing, extra)
    for name, tensor in ours.items():
        if theirs[name].shape != tensor.shape:
            raise errors.other_shape(name, theirs[name].shape, tensor.shape)
        if theirs[name].dtype != tensor.dtype:
            raise errors.other_dtype(name, theirs[name].dtype, tensor.dtype)
        if theirs[name].fortran != tensor.fortran:
            raise errors.other_order(name, theirs[name].fortran)
