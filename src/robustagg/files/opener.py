"""A client's path, whatever lies there, as files that can be read and one table of contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.files import foreign, kinds, npy, safetensors, shards
from robustagg.files.foreign import Converters
from robustagg.files.layout import turned
from robustagg.files.readers import Reader
from robustagg.files.storage import File, Readable, Region, Scratch
from robustagg.files.tensors import PLACE, PLAIN, Contents

Opened: TypeAlias = tuple[tuple[Readable, ...], Contents]

FORMATS = {
    ".safetensors": safetensors.contents,
    ".npz": npy.archive_contents,
    ".npy": npy.contents,
}
PARTS = (".safetensors", ".bin")  # of a model with an index
PIECE = 2**16  # values that are copied at a time


class Opener:
    """Opens files of every format; those that cannot be read block by block as they are become private copies.

    Parameters
    ----------
    limit : int
        Bytes that a header may have, and that a tensor may take while it is brought into C order.
    anywhere : bool
        Whether reading may begin anywhere in a file; what has to be read front to back becomes a private copy, too.
    """

    def __init__(self, limit: int, scratch: Scratch, converters: Converters, anywhere: bool = False) -> None:
        self._limit, self._scratch, self._converters, self._anywhere = limit, scratch, converters, anywhere
        self._converted: dict[str, Region] = {}

    def look(self, path: str) -> Opened:
        """A client's files, and what they hold."""
        try:
            return self._look(path)
        except (errors.Unreadable, ImportError, OSError):  # an OSError is ours: a file says Unreadable
            raise
        except Exception as fault:  # whatever a parser of hostile bytes trips over, it is the file's fault
            raise errors.damaged_header(fault) from None

    def in_c_order(
        self, files: tuple[Readable, ...], contents: Contents
    ) -> tuple[tuple[Readable, ...], NDArray[np.void]]:
        """The files and places of tensors all in C order: those that have another become a private copy."""
        packed = self._anywhere and bool((contents.places["kind"] != PLAIN).any())
        if not packed and not any(tensor.fortran for tensor in contents.tensors):
            return files, contents.places
        reader, places = Reader(files, contents.tensors, contents.places), []
        for k, tensor in enumerate(contents.tensors):
            begin = self._scratch.end
            for start in range(0, tensor.size, PIECE):
                stop = min(start + PIECE, tensor.size)
                values = np.empty(stop - start, tensor.storage)
                reader.read(np.array([[k, start, stop]]), values)
                self._scratch.append(values)
            if tensor.fortran and tensor.size:
                stored, begin = self._scratch.vector(begin, tensor.storage), self._scratch.end
                for values in turned(stored, tensor.shape[::-1], self._limit):
                    self._scratch.append(values)
            places.append((PLAIN, False, begin, 0, 0, 0, 0))
        return (self._scratch.region(0),), np.array(places, PLACE)

    def _look(self, path: str) -> Opened:
        if os.path.isdir(path):
            path = shards.model_in(path, is_model)
        if path.endswith(shards.INDEXES):
            return shards.opened(path, self._limit, self._part)
        file, contents = self._single(path, self._limit)
        return (file,), contents

    def _part(self, path: str, limit: int) -> tuple[Readable, Contents]:
        """One of a model's files."""
        if Path(path).suffix.lower() not in PARTS:
            raise errors.bad_index(f"{errors.shown(Path(path).name)} is none of {', '.join(PARTS)}")
        return self._single(path, limit)

    def _single(self, path: str, limit: int) -> tuple[Readable, Contents]:
        suffix, needed = Path(path).suffix.lower(), foreign.library(path)
        if needed is None and suffix not in FORMATS:
            raise errors.unknown_format(suffix, [*FORMATS, *foreign.LIBRARIES])
        file: Readable = File(path)
        try:
            if needed is not None:
                if path not in self._converted:
                    self._converted[path] = self._converters.convert(path, needed)
                file, suffix = self._converted[path], ".safetensors"
            return file, FORMATS[suffix](file, limit)
        except Exception:
            what = kinds.told(file, suffix)
            if what is not None:
                raise errors.not_what_it_says(suffix, what) from None
            raise


def is_model(name: str) -> bool:
    """Whether a file of this name can be a client's model."""
    return Path(name).suffix.lower() in (*FORMATS, *foreign.LIBRARIES)
