"""Any framework's tensors in, rows for the kernels out, and the result back as what the caller sent.

Each leaf of the clients' trees is a row per client. Large leaves are blocks as they are, nothing is stacked or copied;
small ones are gathered into blocks, see :mod:`robustagg.inputs.blocks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.inputs import survey, trees
from robustagg.inputs.blocks import Piece, cuts, runs
from robustagg.inputs.clients import client_ids
from robustagg.inputs.policy import Policy, reduced
from robustagg.inputs.tensors import NATIVE_FLOATS, Path, Wrap, host_of, is_tensor, numbers, numpy_wrap, stored
from robustagg.kernels.interface import GRAM_TILE, Array, Rows
from robustagg.memory.vectors import InMemory, Memory, Vector
from robustagg.protocol import Client

CONTIGUOUS_BLOCK = 2**20  # coordinates that are copied at a time where rows are strided
PACKED = 4 * GRAM_TILE  # coordinates of small leaves that make a block
PACKED_BYTES = 2**26  # of such a block, where that is more than a tile


@dataclass(frozen=True)
class Leaf:
    """The same tensor of every client, or a constant."""

    path: Path
    rows: list[Any]
    """One-dimensional arrays; of constants, values. None where a client is left out."""
    shape: tuple[int, ...]
    dtype: str
    storage: np.dtype[Any]
    """Dtype of the rows."""
    wrap: Wrap
    """From an array of the rows' dtype to a tensor of the clients' kind and dtype."""
    action: str | None = None
    """What the result holds of a leaf that does not vote, see :class:`Policy`."""
    references: list[Array] = field(default_factory=list)
    """Rows that belong to no client."""

    @property
    def counts(self) -> bool:
        """Whether the leaf takes part in the vote."""
        return self.action is None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def tensor(self, values: Array) -> Any:
        """Results, in the rows' or the compute dtype, as a tensor like the clients'."""
        return self.like(values.reshape(self.shape))

    def like(self, values: Array) -> Any:
        """Results of any shape as a tensor of the clients' kind and dtype."""
        return self.wrap(narrowed(values, self.storage))

    def held(self, kept: Sequence[int]) -> Rows:
        """The rows of some clients, then the references."""
        rows = self.rows if len(kept) == len(self.rows) else [self.rows[i] for i in kept]
        return [*rows, *self.references] if self.references else rows

    def settled(self, kept: Sequence[int]) -> Any:
        """What the result holds of a leaf that does not vote."""
        assert self.action is not None
        rows = [self.rows[i] for i in kept]
        if self.dtype == survey.CONSTANT:
            return rows[0]
        pieces = [
            reduced(self.action, np.stack([numbers(row[start : start + CONTIGUOUS_BLOCK], self.dtype) for row in rows]))
            for start in range(0, max(self.size, 1), CONTIGUOUS_BLOCK)
        ]
        return self.wrap(stored(np.concatenate(pieces), self.dtype).reshape(self.shape))


def narrowed(values: Array, dtype: np.dtype[Any]) -> Array:
    """Results in a dtype of rows, infinities and NaN (which no kernel has made) as they are."""
    if values.dtype == dtype:
        return values
    narrow = kernels.active().narrow(values, dtype)
    finite = np.isfinite(values)
    if not finite.all():
        narrow = np.array(narrow)
        odd = values[~finite].astype(np.float32)
        narrow[~finite] = odd.view(np.uint32) >> 16 if dtype == np.uint16 else odd.astype(dtype)
    return narrow


@dataclass(frozen=True)
class Updates:
    """All clients' updates in memory: a source of blocks."""

    clients: tuple[Client, ...]
    leaves: list[Leaf]
    rebuild: Callable[[dict[Path, Any]], Any]
    excluded: Mapping[int, str] = field(default_factory=dict)

    @property
    def d(self) -> int:
        return sum(leaf.size for leaf in self.leaves if leaf.counts)

    @cached_property
    def cuts(self) -> list[list[Piece]]:
        """The pieces of leaves that blocks are made of, in their order."""
        if len(self.leaves) == 1:  # the common case, which is to take no time
            return [[(0, 0, self.d)]] if self.d else []
        found: list[list[Piece]] = []
        for run in runs([leaf.storage if leaf.counts else None for leaf in self.leaves]):
            tile = len(self.clients) * self.leaves[run[0]].storage.itemsize * GRAM_TILE
            width = max(min(PACKED, PACKED_BYTES // tile * GRAM_TILE), GRAM_TILE)
            found.extend(cuts([(k, self.leaves[k].size) for k in run], width, alone=PACKED))
        return found

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        for cut in self.cuts:
            if len(cut) > 1:
                yield self._packed(cut, kept)
                continue
            ((k, start, stop),) = cut
            rows = self.leaves[k].held(kept)
            yield from _contiguous(rows if stop - start == rows[0].size else [row[start:stop] for row in rows])
        if not self.cuts:  # a model without coordinates is still a block
            references = max((len(leaf.references) for leaf in self.leaves), default=0)
            yield [np.empty(0, np.float32)] * (len(kept) + references)

    def _packed(self, cut: Sequence[Piece], kept: Sequence[int]) -> Rows:
        """The rows of a block of small pieces."""
        parts = []
        for k, start, stop in cut:
            rows = self.leaves[k].held(kept)
            parts.append(rows if stop - start == rows[0].size else [row[start:stop] for row in rows])
        return [np.concatenate(row) for row in zip(*parts, strict=True)]

    def with_references(self, trees: Mapping[str, Any]) -> Updates:
        """The source with further rows in every block, one of each named tree."""
        extra = [matched(self.leaves, name, tree, self.clients[0]) for name, tree in trees.items()]
        leaves = [replace(leaf, references=list(rows)) for leaf, *rows in zip(self.leaves, *extra, strict=True)]
        return replace(self, leaves=leaves)

    def notes(self) -> list[Any]:
        return []

    def sink(self, kept: Sequence[int]) -> Assembly:
        return Assembly(self, kept)

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return InMemory(old, names)


def _contiguous(rows: Rows) -> Iterator[Rows]:
    if all(map(attrgetter("flags.c_contiguous"), rows)):
        yield rows
        return
    for start in range(0, rows[0].size, CONTIGUOUS_BLOCK):
        yield [np.ascontiguousarray(row[start : start + CONTIGUOUS_BLOCK]) for row in rows]


class Assembly:
    """Puts the pieces of a result together as the clients' updates were."""

    def __init__(self, updates: Updates, kept: Sequence[int]) -> None:
        self.updates, self.kept = updates, kept
        self.pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self.pieces.append(piece)

    def result(self) -> Any:
        if self.pieces and len(self.pieces) == len(self.updates.leaves) == 1:
            leaf = self.updates.leaves[0]
            return self.updates.rebuild({leaf.path: leaf.tensor(self.pieces[0])})
        voted = self._voted()
        whole = {
            leaf.path: leaf.tensor(joined(voted[k])) if leaf.counts else leaf.settled(self.kept)
            for k, leaf in enumerate(self.updates.leaves)
        }
        return self.updates.rebuild(whole)

    def publish(self) -> None:
        """The caller gets the result as it is."""

    def _voted(self) -> list[list[Array]]:
        """The parts of each leaf's result."""
        parts: list[list[Array]] = [[] for _ in self.updates.leaves]
        pieces = iter(self.pieces)
        for cut in self.updates.cuts:
            if len(cut) == 1:
                ((k, start, stop),) = cut
                while start < stop:
                    parts[k].append(next(pieces))
                    start += parts[k][-1].size
                continue
            piece, at = next(pieces), 0
            for k, start, stop in cut:
                parts[k].append(piece[at : at + stop - start].copy())  # not one array that keeps all others alive
                at += stop - start
        return parts


def joined(parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def gather(
    updates: Any,
    clients: Iterable[Client] | None = None,
    *,
    strict: bool = False,
    buffers: Policy | Mapping[str, str] | None = None,
) -> Updates:
    """Check what the caller sent and view it as rows.

    Parameters
    ----------
    updates : (n, d) array, iterable of n updates, or mapping from client to update
        See :meth:`robustagg.rules.base.Rule.aggregate`.
    clients : iterable of n str or int, optional
        Defaults to 0 ... n - 1, or to the keys of the mapping.
    strict : bool
        Whether an update that cannot be used is an error.
    buffers : mapping from pattern to action, optional
        See :class:`robustagg.inputs.policy.Policy`.
    """
    if isinstance(updates, Mapping):
        if clients is not None:
            raise errors.clients_twice()
        clients, sent = updates.keys(), list(updates.values())
    elif type(updates) is list:
        sent = updates.copy()
    elif hasattr(updates, "columns"):
        raise errors.frame_of_updates(updates)
    elif is_tensor(updates) and not np.ma.is_masked(updates):
        return _stacked(updates, clients)
    elif isinstance(updates, Iterable) and not isinstance(updates, (str, bytes)):
        sent = list(updates)
    else:
        raise errors.not_updates(updates)
    if not sent:
        raise errors.no_clients()
    names = client_ids(clients, len(sent))
    if _are_alike(sent):
        return Updates(names, [_alike(sent)], lambda whole: whole[()])
    found = survey.Entrants(names, sent, Policy.of(buffers), strict).survey()
    leaves = _leaves(found, names)
    return Updates(names, leaves, lambda whole: trees.rebuilt(sent[found.model], whole), found.excluded)


def _stacked(updates: Any, clients: Iterable[Client] | None) -> Updates:
    """The rows of one (n, d) tensor."""
    try:
        shape = tuple(updates.shape)
    except Exception:  # a tensor without a shape says why it is none
        host_of(0, (), updates)
        raise
    if len(shape) != 2:
        raise errors.wrong_dimensions(shape)
    if not shape[0]:
        raise errors.no_clients()
    names = client_ids(clients, shape[0])
    host = host_of(names[0], (), updates)
    if not host.floating:
        raise errors.only_integers(names[0], host.dtype)
    leaf = Leaf((), list(host.values), shape[1:], host.dtype, host.values.dtype, host.wrap)
    return Updates(names, [leaf], lambda whole: whole[()])


def flat(updates: Any) -> Leaf:
    """The one leaf of flat updates, with contiguous rows."""
    leaves = gather(updates, strict=True).leaves
    if len(leaves) != 1 or len(leaves[0].shape) != 1:
        raise errors.flat_updates_only()
    return replace(leaves[0], rows=[np.ascontiguousarray(row) for row in leaves[0].rows])


def _are_alike(trees: Sequence[Any]) -> bool:
    """Whether each is one array that a kernel may read as it is: the common case, in a microsecond for ten."""
    first = trees[0]
    if type(first) is not np.ndarray or first.dtype not in NATIVE_FLOATS or not first.ndim:
        return False
    shape, dtype = first.shape, first.dtype
    return all(type(tree) is np.ndarray and tree.shape == shape and tree.dtype == dtype for tree in trees)


def _alike(trees: Sequence[Array]) -> Leaf:
    shape, dtype = trees[0].shape, trees[0].dtype
    rows = list(trees) if len(shape) == 1 else [tree.reshape(-1) for tree in trees]
    return Leaf((), rows, shape, NATIVE_FLOATS[dtype], dtype, numpy_wrap(dtype))


def _leaves(found: survey.Survey, clients: Sequence[Client]) -> list[Leaf]:
    """One leaf per tensor or constant of the model."""
    model = found.seen[found.model]
    leaves = []
    nothing = [None] * len(model.rows)
    columns = zip(*(found.seen[i].rows if i in found.seen else nothing for i in range(len(clients))), strict=True)
    entries = zip(model.leaves, found.actions, map(list, columns), strict=True)
    for k, ((path, dtype, shape), action, rows) in enumerate(entries):
        storage = np.dtype(object) if dtype == survey.CONSTANT else model.rows[k].dtype
        leaves.append(Leaf(path, rows, shape or (), dtype, storage, model.wraps[k], action))
    if leaves and not any(model.floating):
        path, dtype, _ = model.leaves[0]
        if dtype == survey.CONSTANT:
            raise errors.not_a_tensor(clients[found.model], path, model.rows[0])
        raise errors.only_integers(clients[found.model], dtype)
    return leaves


def matched(leaves: Sequence[Leaf], name: str, tree: Any, reference: Client) -> list[Array]:
    """A tree's rows in the order of the leaves, of those that vote; raises where it differs from them."""
    wanted = {leaf.path: leaf for leaf in leaves if leaf.counts}
    others = {leaf.path for leaf in leaves} - wanted.keys()
    sent = {path: value for path, kind, value in trees.walk(tree) if not kind}
    missing = [path for path in wanted if path not in sent]
    extra = [path for path in sent if path not in wanted and path not in others]
    if missing or extra:
        raise errors.other_structure(name, missing, extra, reference)
    rows: list[Array] = []
    for leaf in leaves:
        if not leaf.counts:
            rows.append(np.empty(0, leaf.storage))
            continue
        host = host_of(name, leaf.path, sent[leaf.path])
        if host.values.shape != leaf.shape:
            raise errors.ragged(name, leaf.path, host.values.shape, reference, leaf.shape)
        if host.dtype != leaf.dtype:
            raise errors.mixed_dtypes(name, leaf.path, host.dtype, reference, leaf.dtype)
        rows.append(host.values.reshape(-1))
    return rows
