"""The formats of results."""

from __future__ import annotations

from typing import Protocol

from robustagg.files import npy, safetensors
from robustagg.files.tensors import Model
from robustagg.kernels.interface import Array


class Writer(Protocol):
    """Writes tensors in any order."""

    keeps_order: bool
    """Whether the format knows Fortran order."""
    has_places: bool
    """Whether every value has a place that is known beforehand: so pieces come in any order, from any process."""

    def begin(self) -> None:
        """Write what comes before the tensors."""

    def write(self, k: int, start: int, values: Array) -> None:
        """Values of tensor k from `start` on; where they have no places, all of a tensor in their order."""

    def close(self) -> None:
        """All tensors are written. To close again does nothing."""


WRITERS: dict[str, type[safetensors.Writer | npy.Writer | npy.ArchiveWriter]] = {
    ".safetensors": safetensors.Writer,
    ".npz": npy.ArchiveWriter,
    ".npy": npy.Writer,
}


def needs_loose(suffix: str, model: Model) -> bool:
    """Whether not every piece has its place in such a file."""
    writer = WRITERS[suffix.lower()]
    return not writer.has_places or (writer.keeps_order and any(tensor.fortran for tensor in model.tensors))
