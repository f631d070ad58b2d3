"""Whose trees can be used: the most common structure among them is the model's, and nobody else's counts."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from robustagg import errors
from robustagg.inputs import trees
from robustagg.inputs.alike import alike
from robustagg.inputs.devices import at_home
from robustagg.inputs.policy import Described, Policy
from robustagg.inputs.rows import Strided, flattened, order_of
from robustagg.inputs.tensors import Host, Path, Wrap, holds_numbers, host_of, is_numbers
from robustagg.inputs.ties import place_of, twins_of
from robustagg.protocol import Client

CONSTANT = "no tensor"
COMPARED = 2**18  # coordinates at a time
DICTS = (dict, OrderedDict)  # that have their values at hand
Entry = tuple[Path, str, tuple[int, ...] | None]
"""A leaf's path, dtype (or CONSTANT) and shape; a node's path, kind and None."""


class Apart(NamedTuple):
    """A tree as its nodes and its leaves, which stay whatever becomes of the tree."""

    nodes: list[tuple[Path, str]]
    """Path and kind of each, leaves included, which have no kind."""
    values: list[Any]
    """Of the leaves, in their order."""

    @property
    def leaves(self) -> dict[Path, Any]:
        return dict(zip((path for path, kind in self.nodes if not kind), self.values, strict=True))


class Seen(NamedTuple):
    """One client's tree, taken apart."""

    structure: tuple[Entry, ...]
    rows: list[Any]
    """Of each leaf, one-dimensional; of a constant its value."""
    wraps: list[Wrap]
    floating: list[bool]
    orders: list[tuple[int, ...] | None]
    """Of each tensor's axes in memory."""
    ties: tuple[tuple[str, ...], ...] = ()
    """Names of tensors that are one."""

    @property
    def leaves(self) -> list[Entry]:
        return [entry for entry in self.structure if entry[2] is not None]


class Survey(NamedTuple):
    """The model, and who sent one."""

    model: int
    """The first client that did."""
    seen: dict[int, Seen]
    excluded: dict[int, str]
    actions: list[str | None]
    twins: dict[int, int]
    """Leaves that are tied to an earlier one."""


@dataclass(frozen=True)
class Entrants:
    """Who has sent a tree, and what becomes of those that cannot be used."""

    clients: Sequence[Client]
    trees: Sequence[Any]
    policy: Policy
    strict: bool
    like: Seen | None = None
    """The server's model, where it has one: then what most have sent is not asked for."""

    def survey(self) -> Survey:
        """Look at every tree, and compare it with the model: the most common structure, of several the first."""
        seen, faults = self._looked()
        if not seen and self.like is None:
            raise errors.nobody_usable(list(faults.values()))
        whose, model = self._model(seen)
        for i, one in seen.items():
            if one.structure is not model.structure:
                faults[i] = self._refused(difference(self.clients[i], one, whose, model))
        usable = {i: one for i, one in seen.items() if i not in faults}
        if not usable:
            raise errors.nobody_admitted((self.clients[i], str(fault)) for i, fault in faults.items())
        actions, twins = self.actions(model), self._twins(model, list(usable.values()))
        for k, action in enumerate(actions):
            if action == "equal" and k not in twins:
                faults |= self._disagreeing(k, usable, model.leaves[k])
                usable = {i: one for i, one in usable.items() if i not in faults}
        excluded = {i: f"not admitted: {fault}" for i, fault in sorted(faults.items())}
        return Survey(min(usable), usable, excluded, actions, twins)

    def _model(self, seen: Mapping[int, Seen]) -> tuple[Client | None, Seen]:
        """The model, and who sent it; None: the server."""
        if self.like is not None:
            return None, self.like
        common = Counter(id(one.structure) for one in seen.values()).most_common(1)[0][0]
        first = next(i for i, one in seen.items() if id(one.structure) == common)
        return self.clients[first], seen[first]

    def _looked(self) -> tuple[dict[int, Seen], dict[int, Exception]]:
        """Each tree taken apart, equal structures being one object, and what is wrong with the others."""
        seen: dict[int, Seen] = {}
        structures = {} if self.like is None else {self.like.structure: self.like.structure}
        faults: dict[int, Exception] = {}
        again: Callable[[Any], Seen | None] = lambda tree: None  # noqa: E731
        for i, (client, tree) in enumerate(zip(self.clients, self.trees, strict=True)):
            try:
                one = again(tree)
                if one is None:
                    one = self._look(client, tree)
                    one = one._replace(structure=structures.setdefault(one.structure, one.structure))
                seen[i] = one
            except (TypeError, ValueError) as fault:
                faults[i] = self._refused(fault)
            except MemoryError:
                raise
            except Exception as fault:  # whatever a tree does when it is walked
                faults[i] = self._refused(errors.not_a_tree(client, fault))
            else:
                if len(seen) == 1:
                    again = _repeated(tree, seen[i], self.policy)
        return seen, faults

    def _look(self, client: Client, tree: Any) -> Seen:
        return look(client, tree, self.policy, self.like)

    def _refused(self, fault: Exception) -> Exception:
        if self.strict:
            raise fault from None
        return fault

    def actions(self, model: Seen) -> list[str | None]:
        """What becomes of each leaf of the model; see :meth:`Policy.actions`."""
        told = [
            Described(path, floating, shape or ())
            for (path, _, shape), floating in zip(model.leaves, model.floating, strict=True)
        ]
        tensors = [k for k, (_, dtype, _) in enumerate(model.leaves) if dtype != CONSTANT]
        actions: list[str | None] = ["equal"] * len(told)
        for k, action in zip(tensors, self.policy.actions([told[k] for k in tensors]), strict=True):
            actions[k] = action
        return actions

    def _twins(self, model: Seen, usable: Sequence[Seen]) -> dict[int, int]:
        """Which leaves are tied to which: by their names, or because every client's are, or as the server's.

        A server's model may share one tensor where clients' do not, so that the values of most must be one's, too.
        """
        if self.policy.ties == "each":
            return {}
        tensors = _tensors(model)
        if self.policy.ties != "once":
            return twins_of(self.policy, self.policy.ties, tensors)
        if self.like is None:
            return twins_of(self.policy, model.ties if all(one.ties == model.ties for one in usable) else (), tensors)
        twins = twins_of(self.policy, model.ties, tensors)
        return {k: first for k, first in twins.items() if _mostly_one(k, first, usable)}

    def _disagreeing(self, k: int, usable: Mapping[int, Seen], leaf: Entry) -> dict[int, Exception]:
        """Who holds another value at leaf k than most; an error where there is no most."""
        held = dict(zip(usable, at_home([one.rows[k] for one in usable.values()]), strict=True))
        held = {i: row[:] if isinstance(row, Strided) else row for i, row in held.items()}
        odd, first = odd_ones(held)
        if not odd:
            return {}
        path, dtype, shape = leaf
        if first is None:
            client = self.clients[min(held)]
            if dtype == CONSTANT:
                raise errors.no_agreement(path, [(self.clients[i], value) for i, value in held.items()])
            raise errors.may_be_weights(client, path, dtype, shape or ())
        reference = self.clients[first]
        usual = held[first]
        return {i: self._refused(errors.other_value(self.clients[i], path, held[i], reference, usual)) for i in odd}


def apart(tree: Any, policy: Policy) -> Apart:
    """A tree under its bare names."""
    if isinstance(tree, Apart):
        return tree
    parts = list(trees.walk(policy.stripped(tree)))
    return Apart([(path, kind) for path, kind, _ in parts], [value for _, kind, value in parts if not kind])


def look(client: Client, tree: Any, policy: Policy, like: Seen | None = None) -> Seen:
    """Take one client's tree apart; raises where something in it is no tensor that could be aggregated."""
    structure: list[Entry] = []
    rows: list[Any] = []
    wraps: list[Wrap] = []
    floating: list[bool] = []
    orders: list[tuple[int, ...] | None] = []
    places: dict[Any, list[str]] = {}
    nodes, values = apart(tree, policy)  # all at once: what is freed would give its place to another
    following = iter(values)
    for path, kind in nodes:
        if kind:
            structure.append((path, kind, None))
            continue
        value = next(following)
        host = _host(client, path, value if like is None else _as_in(like, len(structure), value), policy)
        if host is None:
            if not path:
                raise errors.not_a_tensor(client, path, value)
            structure.append((path, CONSTANT, ()))
        else:
            structure.append((path, host.dtype, host.values.shape))
        rows.append(value if host is None else flattened(host.values))
        orders.append(None if host is None else order_of(host.values))
        wraps.append(itself if host is None else host.wrap)
        floating.append(host is not None and host.floating)
        if policy.ties == "once" and host is not None and (place := place_of(value)) is not None:
            places.setdefault(place, []).append(policy.name(path))
    ties = tuple(tuple(names) for names in places.values() if len(names) > 1)
    return Seen(tuple(structure), rows, wraps, floating, orders, ties)


def itself(value: Any) -> Any:
    return value


def _as_in(like: Seen, k: int, value: Any) -> Any:
    """Whole numbers as floats, which JSON may have written so, where the server's model has float64 in k-th place."""
    kind = type(value)
    if kind not in (int, list, tuple) or k >= len(like.structure) or like.structure[k][1] != "float64":
        return value
    return float(value) if kind is int else kind(map(float, value))


def _host(client: Client, path: Path, value: Any, policy: Policy) -> Host | None:
    if holds_numbers(value):
        if isinstance(value, (list, tuple)) and path and all(type(number) is int for number in value):
            return None  # indices of something, unless the model says otherwise
        host = host_of(client, path, value)
        kind = type(value)
        return host._replace(wrap=lambda row: kind(row.tolist())) if path and kind in (list, tuple) else host
    if type(value) in (int, bool) and policy.buffer(path) and -(2**63) <= value < 2**63:
        return Host(np.asarray(value), np.asarray(value).dtype.name, lambda row: type(value)(row))
    return None


def _tensors(seen: Seen) -> dict[int, Entry]:
    return {k: entry for k, entry in enumerate(seen.leaves) if entry[1] != CONSTANT}


def _mostly_one(k: int, first: int, usable: Sequence[Seen]) -> bool:
    """Whether most hold the same values at two leaves."""
    ones = (True for one in usable if _are_one(one.rows[k], one.rows[first]))
    most = len(usable) // 2 + 1
    return len(list(islice(ones, most))) == most


def _are_one(row: Any, other: Any) -> bool:
    """Whether two rows, wherever they are, hold the same values, piece by piece."""
    pieces = (slice(start, start + COMPARED) for start in range(0, row.size, COMPARED))
    pairs = ((row[piece], other[piece]) for piece in pieces)
    return all(bool((a == b).all()) or bool(((a == b) | (a != a) & (b != b)).all()) for a, b in pairs)


def _repeated(first: Any, seen: Seen, policy: Policy) -> Callable[[Any], Seen | None]:
    """Takes trees apart that are tensors like the first's, or dicts or lists of such: the common case, and quick."""
    values_of = _values(first, policy)
    known = values_of(first)
    rows_of = None if seen.ties or not known else alike(known, seen.rows)
    if rows_of is None:
        return lambda tree: None

    def look(tree: Any) -> Seen | None:
        values = values_of(tree)
        rows = None if values is None else rows_of(values)
        return None if rows is None else seen._replace(rows=rows)

    return look


def _values(first: Any, policy: Policy) -> Callable[[Any], list[Any] | None]:
    """What gives the branches of a dict with the keys of the first, in their order, or of as long a list, or a leaf."""
    if type(first) is Apart:
        return lambda tree: tree.values if type(tree) is Apart and tree.nodes == first.nodes else None
    kind, length = type(first), len(first) if type(first) in (list, tuple) else 0
    if length:
        return lambda tree: list(tree) if type(tree) is kind and len(tree) == length else None
    if kind not in DICTS:
        return lambda tree: [tree]
    names = policy.names(first)
    keys = [names.get(key, key) for key in trees.in_order(names or first)]
    return lambda tree: list(map(tree.get, keys)) if type(tree) in DICTS and len(tree) == len(keys) else None


def difference(client: Client, one: Seen, reference: Client | None, model: Seen) -> Exception:
    """In what a client's structure is not the model's: that of the reference or, without one, the server's."""
    theirs, ours = ({entry[0]: entry for entry in seen.leaves} for seen in (one, model))
    missing, extra = [path for path in ours if path not in theirs], [path for path in theirs if path not in ours]
    if missing or extra:
        return errors.other_structure(client, missing, extra, reference)
    for path, dtype, shape in model.leaves:
        if CONSTANT in (dtype, theirs[path][1]) and theirs[path][1] != dtype:
            return errors.other_kind(client, path, _kind(one, path), reference, _kind(model, path))
        if theirs[path][2] != shape:
            return errors.ragged(client, path, theirs[path][2] or (), reference, shape or ())
        if theirs[path][1] != dtype:
            return errors.mixed_dtypes(client, path, theirs[path][1], reference, dtype)
    kinds = {entry[0]: entry[1] for entry in one.structure if entry[2] is None}
    for path, kind, shape in model.structure:
        if shape is None and kinds.get(path) != kind:
            return errors.other_kind(client, path, f"a {kinds.get(path, 'leaf')}", reference, f"a {kind}")
    return errors.other_structure(client, [], [], reference)


def _kind(seen: Seen, path: Path) -> str:
    dtype, value = next((entry[1], row) for entry, row in zip(seen.leaves, seen.rows, strict=True) if entry[0] == path)
    if dtype != CONSTANT:
        return f"a tensor of {dtype}"
    return f"a {type(value).__name__} of integers, which is {CONSTANT}" if is_numbers(value) else CONSTANT


def odd_ones(held: Mapping[int, Any]) -> tuple[list[int], int | None]:
    """Whose value is not that of more than half, and the first whose it is; None where there is no such value."""
    candidate, lead = None, 0  # Boyer and Moore's majority vote
    for value in held.values():
        if not lead:
            candidate = value
        lead += 1 if same(value, candidate) else -1
    odd = [i for i, value in held.items() if not same(value, candidate)]
    usual = next((i for i in held if i not in set(odd)), None)
    return odd, usual if 2 * len(odd) < len(held) else None


def same(one: Any, other: Any) -> bool:
    """Whether two values of constants are equal, and of one type."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    try:
        return bool(one == other) or pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # what cannot be compared is not equal
        return False
