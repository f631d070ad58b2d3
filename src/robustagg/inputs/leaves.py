"""The same tensor of every client: its rows, and a result as a tensor like theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.inputs import survey, trees
from robustagg.inputs.devices import at_home, moved, on_device
from robustagg.inputs.policy import PLAIN, Policy, reduced
from robustagg.inputs.rows import laid_out
from robustagg.inputs.tensors import Path, Wrap, host_of, numbers, stored
from robustagg.kernels.interface import SINGLE, Array, Rows
from robustagg.protocol import Client

FACTOR = "factor"  # of a leaf that votes as part of another
CONTIGUOUS_BLOCK = 2**20  # coordinates that are copied at a time where rows are strided


@dataclass
class Leaf:
    """The same tensor of every client, or a constant. Nobody changes it; to be frozen would cost a microsecond."""

    path: Path
    rows: Sequence[Any]
    """One-dimensional arrays, or one contiguous matrix; of constants, values. None where a client is left out."""
    shape: tuple[int, ...]
    dtype: str
    storage: np.dtype[Any]
    """Dtype of the rows."""
    wrap: Wrap
    """From an array of the rows' dtype to a tensor of the clients' kind and dtype."""
    action: str | None = None
    """What the result holds of a leaf that does not vote, see :class:`Policy`."""
    order: tuple[int, ...] | None = None
    """Of the axes in memory, in the result as in the model."""
    twin: int | None = None
    """The earlier leaf that this one is tied to: it is the same tensor."""
    references: Sequence[Array] = ()
    """Rows that belong to no client."""
    contiguous: bool = False
    """Whether all clients' rows are known to be; else they are looked at when they are read."""

    @property
    def votes(self) -> bool:
        """Whether the leaf takes part in the vote."""
        return self.action is None and self.twin is None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def resident(self) -> bool:
        """Whether the rows are on a device: of a leaf that votes all are, or none."""
        return on_device(next((row for row in self.rows if row is not None), None))

    def tensor(self, values: Array) -> Any:
        """Results, in the rows' or the compute dtype, as a tensor like the clients'."""
        return self._made(narrowed(values, self.storage))

    def like(self, values: Array) -> Any:
        """Results of any shape as a tensor of the clients' kind and dtype."""
        return self.wrap(narrowed(values, self.storage))

    def held(self, kept: Sequence[int]) -> Rows:
        """The rows of some clients, then the references."""
        rows = self.rows if len(kept) == len(self.rows) else [self.rows[i] for i in kept]
        return [*rows, *self.references] if self.references else rows

    def placed(self, values: Array, kept: Sequence[int]) -> dict[Path, Any]:
        """The result's tensors of a leaf that votes, by their paths."""
        return {self.path: self.tensor(values)}

    def of_model(self, own: Leaf) -> Leaf:
        """The leaf, its results as the server's model has it; it lies on a device only if that does, too."""
        rows = self.rows if own.resident else at_home(self.rows)
        return replace(self, rows=rows, wrap=own.wrap, order=own.order)

    def among(self, name: str, tensors: Mapping[Path, Any], reference: Client) -> Any:
        """The leaf's row among somebody else's tensors; raises where that is another tensor."""
        host = host_of(name, self.path, tensors[self.path])
        if host.values.shape != self.shape:
            raise errors.ragged(name, self.path, host.values.shape, reference, self.shape)
        if host.dtype != self.dtype:
            raise errors.mixed_dtypes(name, self.path, host.dtype, reference, self.dtype)
        return moved(host.values.reshape(-1), self.resident)

    def settled(self, kept: Sequence[int]) -> Any:
        """What the result holds of a leaf that does not vote."""
        assert self.action is not None
        rows: Rows = [self.rows[i] for i in kept]
        if self.dtype == survey.CONSTANT:
            return deepcopy(rows[0]) if isinstance(rows[0], (list, bytearray)) else rows[0]
        rows = at_home(rows)
        pieces = [
            reduced(self.action, np.stack([numbers(row[start : start + CONTIGUOUS_BLOCK], self.dtype) for row in rows]))
            for start in range(0, max(self.size, 1), CONTIGUOUS_BLOCK)
        ]
        return self._made(stored(np.concatenate(pieces), self.dtype))

    def _made(self, values: Array) -> Any:
        if values.shape != self.shape:
            values = values.reshape(self.shape)
        return self.wrap(laid_out(values, self.order))


def narrowed(values: Array, dtype: np.dtype[Any]) -> Array:
    """Results in a dtype of rows, infinities and NaN (which no kernel has made) as they are."""
    if values.dtype == dtype:
        return values
    narrow = kernels.active().narrow(values, dtype)
    finite = np.isfinite(values)
    if not finite.all():
        narrow = narrow.copy()
        odd = values[~finite].astype(np.float32)
        narrow[~finite] = odd.view(np.uint32) >> 16 if dtype == np.uint16 else odd.astype(dtype)
    return narrow


def widest(leaves: Iterable[Leaf]) -> np.dtype[Any]:
    """What holds a coordinate of any leaf that votes: float64 where one is, else float32."""
    return np.dtype(np.float64) if any(leaf.storage == np.float64 and leaf.votes for leaf in leaves) else SINGLE


def matched(leaves: Sequence[Leaf], name: str, tree: Any, reference: Client, policy: Policy = PLAIN) -> list[Array]:
    """A tree's rows in the order of the leaves, of those that vote; raises where it differs from them."""
    wanted = {leaf.path: leaf for leaf in leaves if leaf.votes or leaf.action == FACTOR}
    others = {leaf.path for leaf in leaves} - wanted.keys()
    sent = {path: value for path, kind, value in trees.walk(policy.stripped(tree)) if not kind}
    missing = [path for path in wanted if path not in sent]
    extra = [path for path in sent if path not in wanted and path not in others]
    if missing or extra:
        raise errors.other_structure(name, missing, extra, reference)
    return [leaf.among(name, sent, reference) if leaf.votes else np.empty(0, leaf.storage) for leaf in leaves]
