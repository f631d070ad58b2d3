"""Trees as frameworks have them: which branches a node has, and the same kind of node with other branches.

An update is a *tree*: a tensor, or nodes (mappings, sequences, dataclasses, attrs classes, and whatever is registered
with JAX or torch as a node) of trees. Mappings are walked in the order of their sorted keys, so that the order in
which a client's framework lists its layers changes no bit.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from robustagg.inputs.tensors import Path, is_numbers, is_tensor

Rebuild: TypeAlias = Callable[[list[Any]], Any]


class Node(NamedTuple):
    """A tree's root."""

    kind: str
    keys: Sequence[Any]
    branches: list[Any]
    rebuild: Rebuild
    """A node of the same kind with other branches."""


def node(tree: Any) -> Node | None:
    """A tree's root; None where it is a leaf."""
    if isinstance(tree, np.ndarray):
        return None
    if isinstance(tree, dict):
        return _mapping(tree)
    if isinstance(tree, (list, tuple, deque)):
        if is_numbers(tree):
            return None
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return Node(kind, range(len(tree)), list(tree), lambda branches: _sequence(tree, branches))
    if tree is None or isinstance(tree, (str, bytes, bool, int, float, np.generic)):
        return None
    return _mapping(tree) if isinstance(tree, Mapping) else _registered(tree) or _object(tree)


def walk(tree: Any, path: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """Path and kind of every node, and, without a kind, path and value of every leaf."""
    root = node(tree)
    if root is None:
        yield path, "", tree
        return
    yield path, root.kind, None
    for key, branch in zip(root.keys, root.branches, strict=True):
        yield from walk(branch, (*path, key))


def rebuilt(tree: Any, whole: Mapping[Path, Any], path: Path = ()) -> Any:
    """The tree with other leaves, and nodes of the same kinds."""
    root = node(tree)
    if root is None:
        return whole[path]
    return root.rebuild([rebuilt(b, whole, (*path, key)) for key, b in zip(root.keys, root.branches, strict=True)])


def in_order(tree: Mapping[Any, Any]) -> list[Any]:
    """A mapping's keys in an order that does not depend on that in the mapping."""
    keys = list(tree)
    if all(type(key) is str for key in keys):
        return sorted(keys)
    try:
        return sorted(keys, key=lambda key: (type(key).__name__, key))
    except TypeError:
        return sorted(keys, key=lambda key: (type(key).__name__, repr(key)))


def _mapping(tree: Mapping[Any, Any]) -> Node:
    keys = in_order(tree)

    def rebuild(branches: list[Any]) -> Any:
        whole = dict(zip(keys, branches, strict=True))
        ordered = {key: whole[key] for key in tree}
        return ordered if type(tree) is dict else _mapping_like(tree, ordered)

    return Node("mapping", keys, [tree[key] for key in keys], rebuild)


def _mapping_like(tree: Any, whole: dict[Any, Any]) -> Any:
    """A mapping of the kind of `tree`; a dict where none can be made."""
    if isinstance(tree, MappingProxyType):
        return MappingProxyType(whole)
    if isinstance(tree, dict):  # with its default factory, metadata and whatever else it carries
        try:
            twin = copy.copy(tree)
            for key, branch in whole.items():
                twin[key] = branch
            return twin
        except Exception:  # one that cannot be written to
            pass
    try:
        return type(tree)(whole)
    except Exception:
        return whole


def _sequence(tree: Any, branches: list[Any]) -> Any:
    if type(tree) is list:
        return branches
    if isinstance(tree, tuple):
        return type(tree)._make(branches) if hasattr(tree, "_make") else type(tree)(branches)
    twin = copy.copy(tree)
    for i, branch in enumerate(branches):
        twin[i] = branch
    return twin


def _registered(tree: Any) -> Node | None:
    """A node that JAX or torch knows, cut open one level deep."""
    jax, torch = sys.modules.get("jax"), sys.modules.get("torch")
    if torch is not None and isinstance(tree, torch.Tensor):
        return None
    if torch is not None and isinstance(tree, torch.nn.ParameterDict):
        return _mapping(tree)
    if torch is not None and isinstance(tree, torch.nn.ParameterList):
        return Node("list", range(len(tree)), list(tree), lambda branches: type(tree)(branches))
    for module in (getattr(jax, "tree_util", None), sys.modules.get("torch.utils._pytree")):
        if module is not None:
            branches, spec = module.tree_flatten(tree, is_leaf=lambda part: part is not tree)
            if len(branches) != 1 or branches[0] is not tree:
                return Node(type(tree).__name__, _keys(module, tree, len(branches)), branches, _unflatten(module, spec))
    return None


def _keys(module: Any, tree: Any, n: int) -> Sequence[Any]:
    """What the framework calls a node's branches; their numbers where it has no names for them."""
    try:
        parts, _ = module.tree_flatten_with_path(tree, is_leaf=lambda part: part is not tree)
    except Exception:  # torch's, of a node that was registered without names
        return range(n)
    named = [[getattr(entry, name) for name in ("key", "name", "idx") if hasattr(entry, name)] for (entry,), _ in parts]
    keys = [names[0] for names in named if names]
    return keys if len(set(map(str, keys))) == n else range(n)


def _unflatten(module: Any, spec: Any) -> Rebuild:
    if module.__name__.startswith("torch"):
        return lambda branches: module.tree_unflatten(branches, spec)
    return lambda branches: module.tree_unflatten(spec, branches)


def _object(tree: Any) -> Node | None:
    """A dataclass or attrs object with its fields as branches."""
    if dataclasses.is_dataclass(type(tree)):
        names = [field.name for field in dataclasses.fields(tree)]
    elif hasattr(type(tree), "__attrs_attrs__"):
        names = [field.name for field in type(tree).__attrs_attrs__]
    else:
        return None
    if is_tensor(tree):
        return None

    def rebuild(branches: list[Any]) -> Any:
        twin = copy.copy(tree)
        for name, branch in zip(names, branches, strict=True):
            object.__setattr__(twin, name, branch)
        return twin

    return Node(type(tree).__name__, names, [getattr(tree, name) for name in names], rebuild)
