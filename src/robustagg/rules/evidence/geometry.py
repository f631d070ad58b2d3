"""What distance rules know of the rows: lengths and angles, in matrices of n x n numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robustagg.protocol import Floats

TO_SIGMA = 1.4826  # standard deviations in a median absolute deviation
FEW = 3  # entries of a row of a matrix
ROWS = 256  # of n x n matrices at a time
SAME = 1e-12  # cosines so near 1, and sums that differ by so little of what is summed, are rounding


@dataclass(frozen=True, eq=False)
class Relation:
    """How n rows lie to one of them, the reference, or to zero."""

    squares: Floats
    """(n,) squared distances from the reference."""
    products: Floats
    """(n,) inner products with the reference."""
    lengths: Floats
    """(n,) squared lengths."""
    unit: float = 1.0
    """What lengths are counted in; the fields count its square."""
    scale: Floats | None = None
    """(n,) what the rows were multiplied by, where some are too long to be counted as they are."""

    @property
    def distances(self) -> Floats:
        """(n,) distances from the reference; what is longer than the largest number counts as that."""
        return self._lengths(self.squares)

    @property
    def norms(self) -> Floats:
        """(n,) lengths of the rows; what is longer than the largest number counts as that."""
        return self._lengths(self.lengths)

    def cosines(self) -> Floats:
        """(n,) cosines of the angles to the reference, which is the last row; 0 of a row of zeros."""
        norms = self.norms / self.unit
        lengths = norms * norms[-1]
        found = np.divide(self.products, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return np.asarray(found.clip(-1, 1))

    def _lengths(self, squares: Floats) -> Floats:
        roots = np.sqrt(np.maximum(squares, 0.0))
        return np.asarray(np.minimum(roots, np.finfo(np.float64).max / self.unit) * self.unit)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Inner products of n rows less a common centre c, and of c, which comes last.

    A vector built of the rows is written in *coordinates*: n + 1 numbers b, meaning
    c + sum_i b_i (x_i - c) + b_n c. Its distances to the rows keep their digits wherever the rows lie.
    """

    products: Floats
    """(n + 1, n + 1)."""
    unit: float = 1.0
    """What lengths are counted in; all products count its square."""
    scale: Floats | None = None
    """(n,) what the rows less c were multiplied by, where some are too long to be counted as they are."""

    @property
    def n(self) -> int:
        return len(self.products) - 1

    @cached_property
    def distances(self) -> Floats:
        """(n, n) squared distances between the rows; exactly 0 between equal rows."""
        inner = self.products[:-1, :-1]
        square = np.diagonal(inner)
        distances = np.empty_like(inner)
        for part in parts(self.n):
            np.add(square[part, None], square, out=distances[part])
            distances[part] -= 2 * inner[part]
            np.maximum(distances[part], 0.0, out=distances[part])
        return distances

    def sums_of_distances(self, less: int | None = None) -> Floats:
        """(n,) of each row to all others; less those of one row, with digits that a row very far away cannot take.

        A difference of distances is that of their squares over their sum, and squares of the far row cancel. Sums
        that are the same but for rounding differ by exactly 0.
        """
        far = np.sqrt(self.distances)
        if less is None:
            return np.asarray(far.sum(axis=1))
        inner = self.products[:-1, :-1]
        own = np.diagonal(inner) - inner[less, less]
        squares, both = own[:, None] - 2 * (inner - inner[less]), far + far[less]
        terms = np.divide(squares, both, out=np.zeros_like(both), where=both > 0)
        sums = terms.sum(axis=1)
        return np.where(np.abs(sums) > SAME * np.abs(terms).sum(axis=1), sums, 0.0)

    @cached_property
    def inner(self) -> Floats:
        """(n, n) inner products of the rows as they are, not centred."""
        along = self.products[:-1, -1]
        return np.asarray(self.products[:-1, :-1] + along[:, None] + along + self.products[-1, -1])

    def relation(self, reference: int | None = None) -> Relation:
        """How the rows lie to one of them, or to zero."""
        lengths = np.diagonal(self.inner)
        if reference is None:
            return Relation(lengths, np.zeros(self.n), lengths, self.unit)
        return Relation(self.distances[reference], self.inner[reference], lengths, self.unit)

    def coordinates(self, weights: Floats) -> Floats:
        """(n + 1,) coordinates of weights times rows; the weights may have any sum."""
        return np.append(weights, weights.sum() - 1)

    def excess(self, coordinates: Floats) -> Floats:
        """(n,) squared distances of the rows to a vector, less those to c."""
        image = times(self.products, coordinates)
        return np.asarray(coordinates @ image - 2 * image[:-1])

    def distances_of(self, excess: Floats) -> Floats:
        """(n,) distances, not squared, in units."""
        return np.sqrt(np.maximum(np.diagonal(self.products)[:-1] + excess, 0.0))

    def distances_to(self, coordinates: Floats) -> Floats:
        """(n,) distances of the rows to a vector, not squared, in units."""
        return self.distances_of(self.excess(coordinates))

    def scatter(self, weights: Floats) -> Floats:
        """(n, n) inner products of the rows less their mean under weights that sum to 1."""
        inner = self.products[:-1, :-1]
        image = times(inner, weights)
        scatter = inner - image[:, None]
        scatter -= image
        scatter += weights @ image
        return scatter

    def part(self, rows: NDArray[np.integer] | list[int]) -> Geometry:
        """The geometry of some of the rows."""
        chosen = np.append(rows, self.n)
        return Geometry(self.products[np.ix_(chosen, chosen)], self.unit)

    def mixed(self, matrix: Floats) -> Geometry:
        """The geometry of the (m, n) matrix times the rows."""
        change = np.zeros((len(matrix) + 1, self.n + 1))
        change[:-1, :-1] = matrix
        change[:-1, -1] = matrix.sum(axis=1) - 1
        change[-1, -1] = 1
        return Geometry(product(change, product(change, self.products).T).T, self.unit)


def cosines(geometry: Geometry) -> Floats:
    """(n, n) cosines of the angles between the rows; 0 for a row of zeros."""
    norms = geometry.relation().norms / geometry.unit
    products = norms[:, None] * norms
    cosine = np.divide(geometry.inner, products, out=np.zeros_like(products), where=products > 0)
    return np.where(cosine > 1 - SAME, 1.0, cosine)


def shortening(norms: Floats, longest: float) -> Floats:
    """What each row is multiplied by that is not to be longer."""
    return np.divide(longest, norms, out=np.ones_like(norms), where=norms > longest)


def blurred(values: Floats) -> Floats:
    """The numbers to 40 bits."""
    fraction, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(fraction * 2.0**40), exponent - 40))


def usual(values: Floats, most: float) -> NDArray[np.bool_]:
    """(n,) who is less than `most` standard deviations off the median."""
    off, deviation = np.abs(values - np.median(values)), values.std()
    return np.asarray((blurred(off) < blurred(most * deviation)) | (off == 0))


def times(matrix: Floats, vector: Floats) -> Floats:
    """Their product; not by BLAS, whose threads would then spin on the cores that the next kernel needs."""
    return np.asarray(np.einsum("ij,j", matrix, vector))


def product(matrix: Floats, rows: Floats) -> Floats:
    """The matrix times the rows; row by row where it has few entries, O(n^2) instead of O(n^3)."""
    entries = np.count_nonzero(matrix, axis=1)
    if entries.max() > FEW:
        return np.asarray(matrix @ rows)
    result = np.zeros((len(matrix), rows.shape[1]))
    for part in parts(len(matrix)):
        for i, j in zip(*np.nonzero(matrix[part]), strict=True):
            result[part.start + i] += matrix[part.start + i, j] * rows[j]
    return result


def parts(n: int) -> Iterator[slice]:
    """n rows, so many at a time that what is made of them between is small."""
    return (slice(start, min(n, start + ROWS)) for start in range(0, n, ROWS))
