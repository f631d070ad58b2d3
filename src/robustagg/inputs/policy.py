"""What becomes of tensors that are no weights: step counters, running statistics, indices, codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array

ACTIONS = ("median", "max", "min", "first", "equal")
FEW = 16  # values that a counter may have; a larger integer tensor may well be quantised weights
SCALES = ("scale", "absmax", "scb")  # what stands beside such weights is called


class Described(NamedTuple):
    """A tensor of the model, without its values."""

    path: tuple[Any, ...]
    floating: bool
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Policy:
    """Which tensors take part in the vote, and what the result holds in place of the others.

    The first pattern that fits a tensor's dotted path decides. Without one, floating tensors vote; of integer tensors
    the small ones get the lower median, and those that may be weights must be equal.
    """

    buffers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern, action in self.buffers.items():
            if not isinstance(pattern, str) or action not in ACTIONS:
                raise errors.bad_buffer(pattern, action, ACTIONS)

    @classmethod
    def of(cls, buffers: Policy | Mapping[str, str] | None) -> Policy:
        """What a caller has said."""
        if isinstance(buffers, Policy):
            return buffers
        if buffers is not None and not isinstance(buffers, Mapping):
            raise errors.not_buffers(buffers)
        return cls(dict(buffers or {}))

    def said(self, path: Sequence[Any]) -> str | None:
        """What the caller has said of a tensor."""
        name = ".".join(map(str, path))
        return next((action for pattern, action in self.buffers.items() if fnmatchcase(name, pattern)), None)

    def actions(self, model: Sequence[Described]) -> list[str | None]:
        """What becomes of each tensor of a model; None: it votes."""
        voting = sum(tensor.size for tensor in model if tensor.floating)
        integers = sum(tensor.size for tensor in model if not tensor.floating and tensor.size > 1)
        scaled = {_parent(t) for t in model if t.floating and any(word in t.name.lower() for word in SCALES)}
        return [self._action(tensor, integers > voting or _parent(tensor) in scaled) for tensor in model]

    def _action(self, tensor: Described, suspect: bool) -> str | None:
        said = self.said(tensor.path) if self.buffers else None
        if said is not None or tensor.floating:
            return said
        return "equal" if tensor.size > FEW or (tensor.size > 1 and suspect) else "median"


def _parent(tensor: Described) -> str:
    return tensor.name.rpartition(".")[0]


def reduced(action: str, rows: Array) -> Array:
    """(size,) what stands for the (m, size) values of the admitted clients: always values that somebody has sent.

    The median is the lower one; a NaN counts as more than any number, and is neither maximum nor minimum where there
    are numbers.
    """
    if action == "median":
        middle = (len(rows) - 1) // 2
        return np.asarray(np.partition(rows, middle, axis=0)[middle])
    if action == "max":
        return np.asarray(np.fmax.reduce(rows, axis=0))
    if action == "min":
        return np.asarray(np.fmin.reduce(rows, axis=0))
    return np.asarray(rows[0])
