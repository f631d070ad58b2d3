"""Any framework's tensors in, rows for the kernels out, and the result back as what the caller sent.

An update is a *tree*: a tensor, or nested mappings, lists and tuples of tensors. The trees of all clients have one
structure; each leaf of it is a block, so nothing is stacked or copied. Dict keys are visited in sorted order, so
that the order in which a client's framework lists its layers changes no bit. Integer leaves (a BatchNorm's step
counter, say) are no part of the vote: the result holds the lower median of the admitted clients' values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.inputs.tensors import NATIVE_FLOATS, Path, Wrap, dtype_name, host_of, is_numbers, is_tensor, numpy_wrap
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import InMemory, Memory, Vector
from robustagg.names import Client

CONTIGUOUS_BLOCK = 2**20  # coordinates that are copied at a time where rows are strided


@dataclass(frozen=True)
class Leaf:
    """The same tensor of every client."""

    path: Path
    rows: list[Array]
    shape: tuple[int, ...]
    wrap: Wrap
    """From an array of the rows' dtype to a tensor of the clients' kind and dtype."""
    references: list[Array] = field(default_factory=list)
    """Rows that belong to no client."""

    @property
    def counts(self) -> bool:
        """Whether the leaf takes part in the vote."""
        return self.rows[0].dtype.kind != "i"

    def tensor(self, values: Array) -> Any:
        """Results, in the rows' or the compute dtype, as a tensor like the clients'."""
        return self.like(values.reshape(self.shape))

    def like(self, values: Array) -> Any:
        """Results of any shape as a tensor of the clients' kind and dtype."""
        return self.wrap(kernels.active().narrow(values, self.rows[0].dtype))


@dataclass(frozen=True)
class Updates:
    """All clients' updates in memory: a source of blocks."""

    clients: tuple[Client, ...]
    leaves: list[Leaf]
    rebuild: Callable[[dict[Path, Any]], Any]
    excluded: Mapping[int, str] = field(default_factory=dict)

    @property
    def d(self) -> int:
        return sum(leaf.rows[0].size for leaf in self.leaves if leaf.counts)

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        for leaf in self.leaves:
            if leaf.counts:
                rows = leaf.rows if len(kept) == len(self.clients) else [leaf.rows[i] for i in kept]
                yield from _contiguous([*rows, *leaf.references])

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


class Assembly:
    """Puts the pieces of a result together as the clients' updates were."""

    def __init__(self, updates: Updates, kept: Sequence[int]) -> None:
        self.updates, self.kept = updates, kept
        self.pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self.pieces.append(piece)

    def result(self) -> Any:
        pieces = iter(self.pieces)
        whole = {leaf.path: leaf.tensor(self._flat(leaf, pieces)) for leaf in self.updates.leaves}
        return self.updates.rebuild(whole)

    def publish(self) -> None:
        """The caller gets the result as it is."""

    def _flat(self, leaf: Leaf, pieces: Iterator[Array]) -> Array:
        if not leaf.counts:
            rows = np.stack([leaf.rows[i] for i in self.kept])
            middle = (len(rows) - 1) // 2
            return np.asarray(np.partition(rows, middle, axis=0)[middle])
        flat = next(pieces)
        if flat.size == leaf.rows[0].size:
            return flat
        parts = [flat]
        while sum(part.size for part in parts) < leaf.rows[0].size:
            parts.append(next(pieces))
        return np.concatenate(parts)


def gather(updates: Any, clients: Iterable[Client] | None = None) -> Updates:
    """Check what the caller sent and view it as rows.

    Parameters
    ----------
    updates : (n, d) array, iterable of n updates, or mapping from client to update
        See :meth:`robustagg.rules.base.Rule.aggregate`.
    clients : iterable of n str or int, optional
        Defaults to 0 ... n - 1, or to the keys of the mapping.
    """
    if isinstance(updates, Mapping):
        if clients is not None:
            raise errors.clients_twice()
        clients, trees = updates.keys(), list(updates.values())
    elif is_tensor(updates):
        return _stacked(updates, clients)
    else:
        trees = list(updates)
    if not trees:
        raise errors.no_clients()
    names = client_ids(clients, len(trees))
    return Updates(names, _leaves(names, trees), lambda whole: _rebuilt(trees[0], (), whole))


def _stacked(updates: Any, clients: Iterable[Client] | None) -> Updates:
    """The rows of one (n, d) tensor."""
    shape = tuple(updates.shape)
    if len(shape) != 2:
        raise errors.wrong_dimensions(shape)
    if not shape[0]:
        raise errors.no_clients()
    names = client_ids(clients, shape[0])
    host, wrap = host_of(names[0], (), updates)
    leaf = Leaf((), list(host), shape[1:], wrap)
    if not leaf.counts:
        raise errors.only_integers(names[0], host.dtype)
    return Updates(names, [leaf], lambda whole: whole[()])


def flat(updates: Any) -> Leaf:
    """The one leaf of flat updates, with contiguous rows."""
    leaves = gather(updates).leaves
    if len(leaves) != 1 or len(leaves[0].shape) != 1:
        raise errors.flat_updates_only()
    return replace(leaves[0], rows=[np.ascontiguousarray(row) for row in leaves[0].rows])


def client_ids(clients: Iterable[Client] | None, n: int) -> tuple[Client, ...]:
    """Checked ids of n clients."""
    if clients is None:
        return tuple(range(n))
    names = tuple(int(c) if isinstance(c, np.integer) else c for c in clients)
    if len(names) != n:
        raise errors.client_count(len(names), n)
    seen: dict[tuple[type, Client], int] = {}
    for i, name in enumerate(names):
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise errors.bad_client_id(name)
        first = seen.setdefault((str if isinstance(name, str) else int, name), i)
        if first != i:
            raise errors.duplicate_client(name, first, i)
    return names


# --- trees ----------------------------------------------------------------------------------------------------------


def _walk(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, np.ndarray):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key in sorted(tree, key=lambda key: (type(key).__name__, key)):
            yield from _walk(tree[key], (*path, key))
    elif isinstance(tree, (list, tuple)) and not is_numbers(tree):
        for i, branch in enumerate(tree):
            yield from _walk(branch, (*path, i))
    else:
        yield path, tree


def _rebuilt(tree: Any, path: Path, whole: dict[Path, Any]) -> Any:
    if path in whole:
        return whole[path]
    if isinstance(tree, Mapping):
        kind = OrderedDict if isinstance(tree, OrderedDict) else dict
        return kind((key, _rebuilt(branch, (*path, key), whole)) for key, branch in tree.items())
    branches = [_rebuilt(branch, (*path, i), whole) for i, branch in enumerate(tree)]
    if isinstance(tree, tuple):
        return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    return branches


def _leaves(clients: Sequence[Client], trees: list[Any]) -> list[Leaf]:
    """One leaf per tensor of the common structure, which is the first client's."""
    if _are_alike(trees):
        shape = trees[0].shape
        rows = trees if len(shape) == 1 else [tree.reshape(-1) for tree in trees]
        return [Leaf((), rows, shape, numpy_wrap(trees[0].dtype))]
    first = [(path, *host_of(clients[0], path, tensor)) for path, tensor in _walk(trees[0])]
    leaves = [Leaf(path, [host.reshape(-1)], host.shape, wrap) for path, host, wrap in first]
    for client, tree in zip(clients[1:], trees[1:], strict=True):
        for leaf, row in zip(leaves, matched(leaves, client, tree, clients[0]), strict=True):
            leaf.rows.append(row)
    if not any(leaf.counts for leaf in leaves):
        if leaves:
            raise errors.only_integers(clients[0], leaves[0].rows[0].dtype)
        empty = [np.empty(0, np.float32)] * len(trees)  # a model without tensors is still a block of no coordinates
        leaves.append(Leaf(("",), empty, (0,), lambda flat: flat))
    return leaves


def _are_alike(trees: Sequence[Any]) -> bool:
    """Whether each is one array that a kernel may read as it is: the common case, in a microsecond for ten."""
    first = trees[0]
    if type(first) is not np.ndarray or first.dtype not in NATIVE_FLOATS or not first.ndim:
        return False
    shape, dtype = first.shape, first.dtype
    return all(type(tree) is np.ndarray and tree.shape == shape and tree.dtype == dtype for tree in trees)


def matched(leaves: Sequence[Leaf], client: Client, tree: Any, reference: Client) -> list[Array]:
    """A tree's rows in the order of the leaves; raises where it differs from them in structure, shape or dtype."""
    branches = list(_walk(tree))
    if [path for path, _ in branches] != [leaf.path for leaf in leaves]:
        theirs, ours = {path for path, _ in branches}, {leaf.path for leaf in leaves}
        raise errors.other_structure(client, sorted(ours - theirs, key=str), sorted(theirs - ours, key=str), reference)
    rows = []
    for leaf, (path, tensor) in zip(leaves, branches, strict=True):
        host, _ = host_of(client, path, tensor)
        if host.shape != leaf.shape:
            raise errors.ragged(client, path, host.shape, reference, leaf.shape)
        row = host.reshape(-1)
        if row.dtype != leaf.rows[0].dtype:
            raise errors.mixed_dtypes(client, path, dtype_name(row), reference, dtype_name(leaf.rows[0]))
        rows.append(row)
    return rows


def _contiguous(rows: Rows) -> Iterator[Rows]:
    if all(map(attrgetter("flags.c_contiguous"), rows)):
        yield rows
        return
    for start in range(0, rows[0].size, CONTIGUOUS_BLOCK):
        yield [np.ascontiguousarray(row[start : start + CONTIGUOUS_BLOCK]) for row in rows]
