"""What a caller sends, checked, and viewed as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.inputs import survey, trees
from robustagg.inputs.clients import client_ids, listed
from robustagg.inputs.devices import on_device
from robustagg.inputs.leaves import Leaf
from robustagg.inputs.lora import core, paired
from robustagg.inputs.policy import PLAIN, Policy
from robustagg.inputs.relative import REFERENCE
from robustagg.inputs.rows import are_contiguous, flattened, order_of
from robustagg.inputs.tensors import NATIVE_FLOATS, Path, host_of, is_tensor, numpy_wrap
from robustagg.inputs.updates import Updates
from robustagg.kernels.interface import Array
from robustagg.protocol import Client


def gather(
    updates: Any,
    clients: Iterable[Client] | None = None,
    *,
    strict: bool = False,
    policy: Policy = PLAIN,
    isometric: bool = False,
    resident: bool = True,
    like: survey.Seen | None = None,
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
    policy : Policy
        Which tensors vote.
    isometric : bool
        Whether whoever asks sees lengths and angles alone, so that products of LoRA's factors can be turned.
    resident : bool
        Whether tensors on a device may stay there, see :func:`robustagg.kernels.stay`.
    like : Seen, optional
        The server's model, which every update is compared with in place of the most common structure.
    """
    if type(updates) is list:
        sent = updates.copy()
    elif _is_stacked(updates):
        found = _stacked(updates, clients)
        return found if resident else found.at_home()
    else:
        clients, sent = listed(updates, clients)
    if not sent:
        raise errors.no_clients()
    names = client_ids(clients, len(sent))
    if like is None and _are_alike(sent):
        return Updates(names, [_alike(sent)], _alone)
    seen = survey.Entrants(names, sent, policy, strict, like).survey()
    rebuild = rebuilder(sent[seen.model], policy)
    whole = Updates(names, leaves_of(seen, names), rebuild, seen.excluded, policy)
    if policy.lora == "product":
        leaves = paired(whole.at_home().leaves, policy)
        return replace(whole, leaves=list(map(core, leaves)) if isometric else leaves)
    return whole.together() if resident else whole.at_home()


def copied(tree: Any, policy: Policy) -> Any:
    """A tree of copies of its tensors."""
    found = gather([tree], [REFERENCE], strict=True, policy=replace(policy, lora="factors"))
    whole: dict[Path, Any] = {}
    for leaf in found.leaves:
        whole[leaf.path] = leaf.settled([0]) if leaf.action else leaf.tensor(_copy(leaf.rows[0]))
    return found.rebuild(whole)


def _copy(row: Any) -> Array:
    return row.copy() if on_device(row) else np.array(row)


def rebuilder(tree: Any, policy: Policy) -> Callable[[dict[Path, Any]], Any]:
    """What makes a tree of leaves by their bare paths: one like `tree`, its names included."""
    names = policy.names(tree)

    def rebuild(whole: dict[Path, Any]) -> Any:
        if names:
            whole = {(names[path[0]], *path[1:]): value for path, value in whole.items()}
        return trees.rebuilt(tree, whole)

    return rebuild


def _is_stacked(updates: Any) -> bool:
    if isinstance(updates, Mapping) or (isinstance(updates, np.ma.MaskedArray) and np.ma.is_masked(updates)):
        return False
    return is_tensor(updates)


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
    values = host.values
    whole = isinstance(values, np.ndarray) and values.flags.c_contiguous
    rows: Any = values if whole else list(values)  # a matrix is its rows, and a view of each would take .1 us
    together = whole or rows[0].flags.c_contiguous  # one for all
    leaf = Leaf((), rows, shape[1:], host.dtype, values.dtype, host.wrap, contiguous=together)
    return Updates(names, [leaf], _alone)


def _alone(whole: dict[Path, Any]) -> Any:
    """What makes a tree of its only tensor."""
    return whole[()]


def flat(updates: Any) -> Leaf:
    """The one leaf of flat updates, with contiguous rows."""
    leaves = gather(updates, strict=True, resident=False).leaves
    if len(leaves) != 1 or len(leaves[0].shape) != 1:
        raise errors.flat_updates_only()
    return replace(leaves[0], rows=[np.ascontiguousarray(row) for row in leaves[0].rows])


def _are_alike(trees: Sequence[Any]) -> bool:
    """Whether each is one array that a kernel may read as it is: the common case, in a microsecond for ten."""
    first = trees[0]
    if type(first) is not np.ndarray or first.dtype not in NATIVE_FLOATS or not first.ndim:
        return False
    shape, dtype = first.shape, first.dtype
    for tree in trees:  # noqa: SIM110 - a generator would take twice as long
        if type(tree) is not np.ndarray or tree.shape != shape or tree.dtype != dtype:
            return False
    return True


def _alike(trees: list[Array]) -> Leaf:
    shape, dtype = trees[0].shape, trees[0].dtype
    rows, order = (trees, None) if len(shape) == 1 else (list(map(flattened, trees)), order_of(trees[0]))
    name, wrap = NATIVE_FLOATS[dtype], numpy_wrap(dtype)
    return Leaf((), rows, shape, name, dtype, wrap, order=order, contiguous=are_contiguous(rows))


def leaves_of(found: survey.Survey, clients: Sequence[Client]) -> list[Leaf]:
    """One leaf per tensor or constant of the model."""
    model = found.seen[found.model]
    leaves = []
    nothing = [None] * len(model.rows)
    columns = zip(*(found.seen[i].rows if i in found.seen else nothing for i in range(len(clients))), strict=True)
    entries = zip(model.leaves, found.actions, map(list, columns), strict=True)
    for k, ((path, dtype, shape), action, rows) in enumerate(entries):
        storage = np.dtype(object) if dtype == survey.CONSTANT else model.rows[k].dtype
        leaf = Leaf(path, rows, shape or (), dtype, storage, model.wraps[k], action)
        leaves.append(replace(leaf, order=model.orders[k], twin=found.twins.get(k)))
    if leaves and not any(model.floating):
        path, dtype, _ = model.leaves[0]
        if dtype == survey.CONSTANT:
            raise errors.not_a_tensor(clients[found.model], path, model.rows[0])
        raise errors.only_integers(clients[found.model], dtype)
    return leaves
