"""LoRA's factors as their product: that is what they mean, and (A / s, s B) is the same client as (A, B)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from robustagg import errors, kernels
from robustagg.inputs.leaves import FACTOR, Leaf
from robustagg.inputs.policy import Policy
from robustagg.inputs.tensors import Path
from robustagg.kernels.interface import Array

CACHED = 2**15  # values of a product that are added up at a time
STEPS = 10  # of the search for the best subspace, at most
FLAT = 1e-3  # of the greatest singular value: directions of less keep a factor A that can be trained

_A = re.compile(r"(^|\.)lora_(embedding_)?A(?=\.|$)")


class Nowhere:
    """What NumPy tells of arrays, of one that is not in memory."""

    c_contiguous = False


class Product:
    """The row of B A, (out, in) in C order: a slice is made when it is asked for, the whole never."""

    flags = Nowhere()

    def __init__(self, a: Array, b: Array) -> None:
        rank = a.shape[0]
        widen = kernels.active().widen
        self.a, self.b = widen(a).reshape(rank, -1), widen(b).reshape(-1, rank)
        self.size, self.dtype = self.b.shape[0] * self.a.shape[1], self.a.dtype

    def __getitem__(self, part: slice) -> Array:
        start, stop, _ = part.indices(self.size)
        width = self.a.shape[1]
        values = np.empty(max(stop - start, 0), self.dtype)
        step = max(CACHED // max(width, 1), 1)
        for first in range(start // width if values.size else 0, -(-stop // width) if values.size else 0, step):
            last = min(first + step, -(-stop // width))
            begin, end = max(start, first * width), min(stop, last * width)
            group = self._rows(first, last)
            values[begin - start : end - start] = group[begin - first * width : end - first * width]
        return values

    def _rows(self, first: int, last: int) -> Array:
        """Some rows of the product, added up in one order: no cut changes a bit."""
        group = np.zeros((last - first, self.a.shape[1]), self.dtype)
        term = np.empty_like(group)
        for a, b in zip(self.a, self.b[first:last].T, strict=True):
            np.multiply(b[:, None], a, out=term)
            group += term
        return group.reshape(-1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self[:] if dtype is None else self[:].astype(dtype)


@dataclass
class ProductLeaf(Leaf):
    """The products of two leaves' rows, which vote in their place."""

    a: Leaf = field(kw_only=True)
    b: Leaf = field(kw_only=True)

    def placed(self, values: Array, kept: Sequence[int]) -> dict[Path, Any]:
        """The result as factors of the clients' rank."""
        start = np.concatenate([self.rows[i].a for i in kept])
        a, b = factored(values.reshape(self.shape), self.a.shape[0], start)
        return self.split(a, b)

    def split(self, a: Array, b: Array) -> dict[Path, Any]:
        """The two factors as tensors."""
        return {self.a.path: self.a.tensor(a.reshape(-1)), self.b.path: self.b.tensor(b.reshape(-1))}

    def among(self, name: str, tensors: Mapping[Path, Any], reference: Any) -> Any:
        a, b = (leaf.among(name, tensors, reference) for leaf in (self.a, self.b))
        return Product(np.asarray(a).reshape(self.a.shape), np.asarray(b).reshape(self.b.shape))

    def of_model(self, own: Leaf) -> ProductLeaf:
        assert isinstance(own, ProductLeaf)
        return replace(self, a=self.a.of_model(own.a), b=self.b.of_model(own.b))


@dataclass
class CoreLeaf(Leaf):
    """The products seen in bases of all clients' columns and rows: much smaller, with the same lengths and angles."""

    product: ProductLeaf = field(kw_only=True)
    left: Array = field(kw_only=True)
    right: Array = field(kw_only=True)

    def placed(self, values: Array, kept: Sequence[int]) -> dict[Path, Any]:
        """The result as factors of the clients' rank."""
        a, b = factored(np.asarray(values.reshape(self.shape), self.left.dtype), self.product.a.shape[0])
        return self.product.split((a @ self.right.T).astype(self.storage), (self.left @ b).astype(self.storage))

    def of_model(self, own: Leaf) -> CoreLeaf:
        return replace(self, product=self.product.of_model(own))


def core(leaf: Leaf) -> Leaf:
    """A leaf of products by their cores, where these are smaller."""
    if not isinstance(leaf, ProductLeaf):
        return leaf
    sound = [row for row in leaf.rows if row is not None and np.isfinite(row.a).all() and np.isfinite(row.b).all()]
    if not sound:
        return leaf
    left, right = _basis([row.b for row in sound]), _basis([row.a.T for row in sound])
    shape = left.shape[1], right.shape[1]
    if math.prod(shape) >= leaf.size:
        return leaf
    with np.errstate(all="ignore"):  # what overflows is found by the round
        rows = [
            None if row is None else ((left.T @ row.b) @ (row.a @ right)).astype(leaf.storage).reshape(-1)
            for row in leaf.rows
        ]
    return CoreLeaf(leaf.path, rows, shape, leaf.dtype, leaf.storage, leaf.wrap, product=leaf, left=left, right=right)


def _basis(columns: Sequence[Array]) -> Array:
    """An orthonormal basis of all columns, each of which matters as much, however long it is."""
    whole = np.concatenate(columns, axis=1).astype(np.float64)
    return np.linalg.qr(_unit(whole))[0]


def _unit(columns: Array) -> Array:
    greatest = np.abs(columns).max(axis=0, initial=0)
    shrunk = np.divide(columns, greatest, out=np.zeros_like(columns), where=greatest > 0)
    lengths = np.linalg.norm(shrunk, axis=0)
    return np.asarray(np.divide(shrunk, lengths, out=shrunk, where=lengths > 0))


def paired(leaves: Sequence[Leaf], policy: Policy) -> list[Leaf]:
    """The leaves, the product in place of each factor A and nothing in place of its B."""
    at = {policy.name(leaf.path): k for k, leaf in enumerate(leaves) if leaf.votes}
    found = list(leaves)
    pairs = [(k, at.get(_A.sub(r"\1lora_\2B", name))) for name, k in at.items() if _A.search(name)]
    if not pairs:
        raise errors.no_lora(list(at)[:3])
    for k, partner in pairs:
        a, b = leaves[k], None if partner is None else leaves[partner]
        if partner is None or b is None or not _fit(a, b):
            raise errors.no_lora_pair(policy.name(a.path), a.shape, None if b is None else b.shape)
        found[k], found[partner] = _product(a, b), replace(b, action=FACTOR)
    return found


def _fit(a: Leaf, b: Leaf) -> bool:
    """Whether A is (rank, in...) and B (out, rank), as of linear and convolutional layers and embeddings."""
    return len(a.shape) > 1 < len(b.shape) and b.size == b.shape[0] * a.shape[0] > 0 < a.size and a.dtype == b.dtype


def _product(a: Leaf, b: Leaf) -> ProductLeaf:
    rows = [
        None if one is None else Product(np.asarray(one[:]).reshape(a.shape), np.asarray(other[:]).reshape(b.shape))
        for one, other in zip(a.rows, b.rows, strict=True)
    ]
    dtype = next(row.dtype for row in rows if row is not None)
    shape = (b.shape[0], math.prod(a.shape[1:]))
    return ProductLeaf(a.path, rows, shape, dtype.name, dtype, a.wrap, a=a, b=b)


# --- back to factors ------------------------------------------------------------------------------------------------


def factored(whole: Array, rank: int, start: Array | None = None) -> tuple[Array, Array]:
    """A (rank, in) and B (out, rank) of the best approximation of a matrix, given the clients' factors A.

    What the clients' products have in common with a linear result are their rows: the search begins there, and ends at
    once where the result is a combination of the products.
    """
    if start is None or len(start) >= min(whole.shape):
        left, values, right = np.linalg.svd(whole, full_matrices=False)
    else:
        left, values, right = _dominant(whole, start, rank)
    left, values, right = left[:, :rank], values[:rank], right[:rank]
    signs = np.where(np.take_along_axis(left, np.abs(left).argmax(axis=0)[None], 0)[0] < 0, -1, 1)
    greatest = values.max(initial=0) or 1.0
    scale = np.sqrt(np.maximum(values, FLAT * greatest)).astype(whole.dtype)
    a, b = (scale * signs)[:, None] * right, left * (values / scale * signs)
    missing = rank - len(values)  # where the layer is narrower than the rank
    return np.pad(a, ((0, missing), (0, 0))).astype(whole.dtype), np.pad(b, ((0, 0), (0, missing))).astype(whole.dtype)


def _dominant(whole: Array, start: Array, rank: int) -> tuple[Array, Array, Array]:
    """The greatest singular values and their vectors, by subspace iteration from the rows of `start`."""
    basis = np.linalg.qr(whole @ _unit(start.T))[0]
    before = -1.0
    for _ in range(STEPS):
        core = basis.T @ whole
        held = float(np.linalg.norm(core))
        if held - before <= 1e-6 * held:
            break
        before, basis = held, np.linalg.qr(whole @ np.linalg.qr(core.T)[0])[0]
    left, values, right = np.linalg.svd(core, full_matrices=False)
    return basis @ left[:, :rank], values[:rank], right[:rank]
