"""What is done with an update where it lies: it is described, cut into pieces, and a result is made like it.

These run where workers are, on what references stand for; what comes back is small, or stays there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from robustagg import errors
from robustagg.inputs import survey
from robustagg.inputs.blocks import Piece, cuts, runs
from robustagg.inputs.devices import at_home
from robustagg.inputs.gather import leaves_of, rebuilder
from robustagg.inputs.leaves import Leaf
from robustagg.inputs.policy import Policy
from robustagg.inputs.tensors import numbers
from robustagg.inputs.updates import Assembly, Updates
from robustagg.kernels.interface import GRAM_TILE, Array
from robustagg.protocol import Client

SMALL = 2**12  # bytes of a tensor that does not vote which comes as it is
MOST = 2**26  # bytes of all clients in a partition, unless a client's were less than ALONE
ALONE = 2**17  # bytes: smaller things travel by way of the process that holds the round
ROWS = 2**24  # bytes of a block's rows
HASHED = 2**20  # values of one that is hashed at a time


@dataclass(frozen=True)
class Absent:
    """A row that is elsewhere: equal to another where their values are, as far as anybody asks."""

    dtype: np.dtype[Any]
    digest: bytes = b""
    text: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return self.text


class Cuts(NamedTuple):
    """How every client's update is cut."""

    policy: Policy
    stretches: Sequence[Sequence[Sequence[Piece]]]
    """The blocks of each partition."""
    aside: Sequence[int]
    """Leaves that do not vote, of which the result holds something of all clients'."""


class Shape(NamedTuple):
    """What a result is made by, besides a tree that it is to be like."""

    cuts: Cuts
    actions: Sequence[str | None]
    twins: dict[int, int]
    clients: int
    """How many leaves that do not vote come with the pieces."""


class Outlines(survey.Entrants):
    """Entrants whose trees were looked at elsewhere, or something was found wrong there."""

    def _look(self, client: Client, tree: Any) -> survey.Seen:
        if isinstance(tree, errors.Unreadable):
            raise errors.lost_update(client, tree)
        if isinstance(tree, Exception):
            raise tree
        seen: survey.Seen = tree
        return seen


class Recut(Updates):
    """Updates whose blocks somebody else has cut."""

    given: Sequence[Sequence[Piece]] = ()

    @property
    def cuts(self) -> list[list[Piece]]:
        return [list(cut) for cut in self.given]


def outlined(policy: Policy, client: Client, tree: Any) -> survey.Seen | Exception:
    """What the survey must know of an update, or what is wrong with it."""
    try:
        seen = survey.look(client, tree, policy)
        actions = survey.Entrants([client], [tree], policy, True).actions(seen)
        rows = zip(seen.rows, seen.leaves, actions, strict=True)
        absent = [_outline(row, entry[1], action) for row, entry, action in rows]
        return seen._replace(rows=absent, wraps=[survey.itself] * len(absent))
    except MemoryError:
        raise
    except (TypeError, ValueError) as fault:
        return fault
    except Exception as fault:  # whatever a tree does when it is walked
        return errors.not_a_tree(client, fault)


def cut(cuts: Cuts, client: Client, tree: Any) -> tuple[Any, ...]:
    """An update's pieces, for each partition a list, and what it holds of the leaves aside."""
    rows = at_home(survey.look(client, tree, cuts.policy).rows)
    pieces = ([rows[k][start:stop] for block in blocks for k, start, stop in block] for blocks in cuts.stretches)
    return *pieces, {k: rows[k][:] for k in cuts.aside}


def assembled(shape: Shape, client: Client, tree: Any, *parts: Any) -> tuple[None, Any]:
    """A result like the tree, of what is aside of each client, and each partition's pieces."""
    policy, seen, m = shape.cuts.policy, survey.look(client, tree, shape.cuts.policy), shape.clients
    aside, made = parts[:m], parts[m:]
    found = survey.Survey(0, {0: seen}, {}, list(shape.actions), shape.twins)
    clients = max(m, 1)
    leaves = [replace(leaf, rows=list(leaf.rows) * clients) for leaf in leaves_of(found, (client,))]
    for k in shape.cuts.aside:
        leaves[k] = replace(leaves[k], rows=[rows[k] for rows in aside])
    whole = Recut((client,) * clients, leaves, rebuilder(tree, policy), {}, policy)
    whole.given = [block for blocks in shape.cuts.stretches for block in blocks]
    sink = Assembly(whole, range(clients))
    for ((pieces, _),) in made:
        for piece in pieces:
            sink.add(piece)
    return None, sink.result()


def stretches(leaves: Sequence[Leaf], width: int, n: int) -> list[list[list[Piece]]]:
    """The blocks of each partition, of which every one but the last has `width` coordinates, or as many as fit."""
    found: list[list[list[Piece]]] = [[]]
    size = nbytes = 0
    for run in runs([leaf.storage if leaf.votes else None for leaf in leaves]):
        itemsize = leaves[run[0]].storage.itemsize
        block = max(min(width, ROWS // (n * itemsize)) // GRAM_TILE, 1) * GRAM_TILE
        for pieces in cuts([(k, leaves[k].size) for k in run], block):
            if size >= width or nbytes >= max(MOST, n * ALONE):
                found.append([])
                size = nbytes = 0
            found[-1].append(pieces)
            taken = sum(stop - start for _, start, stop in pieces)
            size, nbytes = size + taken, nbytes + taken * n * itemsize
    return found


def aside(leaves: Sequence[Leaf]) -> list[int]:
    """The leaves of which the result holds what it does because of several clients' values."""
    return [k for k, leaf in enumerate(leaves) if leaf.action not in (None, "equal") and leaf.twin is None]


def _outline(row: Any, dtype: str, action: str | None) -> Any:
    """What stands for a row here: of constants and small tensors themselves."""
    if dtype == survey.CONSTANT:
        return row
    if action != "equal":
        return Absent(row.dtype)
    row = at_home([row])[0]
    if row.size * row.dtype.itemsize <= SMALL:
        return np.array(row[:])
    digest = hashlib.sha256()
    for start in range(0, row.size, HASHED):
        digest.update(comparable(row[start : start + HASHED], dtype).tobytes())
    return Absent(row.dtype, digest.digest(), errors.shown(np.asarray(row)))


def comparable(values: Array, dtype: str) -> Array:
    """Values of a dtype of rows as numbers of which equal ones have equal bits."""
    values = numbers(values, dtype)
    return np.where(np.isnan(values), np.nan, values) + 0.0 if values.dtype.kind == "f" else values
