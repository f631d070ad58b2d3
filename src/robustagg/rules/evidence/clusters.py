"""Groups of clients that are alike, found by scikit-learn and SciPy in what a rule has measured of them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.protocol import Floats
from robustagg.rules.evidence.geometry import Geometry, blurred

EDGE = 1 + 2.0**-30  # who lies just a bandwidth away, of shares often somebody, is inside, however sums are rounded


def _library(module: str) -> Any:
    """A module of the packages that the extra names."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise errors.optional_package("scikit-learn", "cluster") from missing


def densest(distances: Floats) -> NDArray[np.bool_]:
    """(n,) who is in the densest group of more than half of the rows; everyone, where HDBSCAN finds none."""
    n = len(distances)
    if n == 1:
        return np.ones(1, np.bool_)
    found = _library("sklearn.cluster").HDBSCAN(
        min_cluster_size=n // 2 + 1, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True
    )
    inside = found.fit(distances).labels_ == 0  # more than half: there is one group at most
    return np.asarray(inside if inside.any() else np.ones(n, np.bool_))


def larger_half(distances: Floats, linkage: str) -> NDArray[np.bool_]:
    """(n,) who is in the larger of two groups; of two equally large ones, in that of the lesser distances within.

    Everyone, where all distances are equal.
    """
    n = len(distances)
    if n == 1:
        return np.ones(1, np.bool_)
    hierarchy, pairs = _library("scipy.cluster.hierarchy"), distances[np.triu_indices(n, 1)]
    if n > 2 and np.ptp(pairs) == 0:
        return np.ones(n, np.bool_)
    first = hierarchy.cut_tree(hierarchy.linkage(pairs, linkage), n_clusters=2)[:, 0] == 0
    return min((first, ~first), key=lambda group: (-group.sum(), distances[np.ix_(group, group)].mean()))


def shifted(points: Floats) -> NDArray[np.bool_]:
    """(n,) who is in the largest cluster that mean shift finds; of several as large, in the densest.

    Where half of the points have no distance to each other, clusters are equal points; of several as large, all.
    """
    cluster = _library("sklearn.cluster")
    order = np.lexsort(points.T)  # sums are rounded, and a point at the edge of the bandwidth is in or out by that
    points = points[order]
    apart = _library("scipy.spatial.distance").cdist(points, points)
    nearest = max(len(points) // 2, 1)  # as estimate_bandwidth has it, by way of products that leave rounding for zero
    bandwidth = np.partition(apart, nearest - 1, axis=1)[:, nearest - 1].mean() * EDGE
    inside = np.empty(len(points), np.bool_)
    if bandwidth > 0:
        labels = cluster.MeanShift(bandwidth=bandwidth, cluster_all=False).fit(points).labels_
        inside[order] = labels == np.bincount(labels[labels >= 0]).argmax()
    else:
        _, which, twins = np.unique(points, axis=0, return_inverse=True, return_counts=True)
        inside[order] = twins[which.reshape(-1)] == twins.max()
    return inside


def two_means(geometry: Geometry) -> NDArray[np.bool_]:
    """(n,) who is in one of two groups of least scatter about their means; everyone, where all rows are equal.

    Of the groups that Lloyd's iterations find from each row and the one farthest from it; of as good ones the first.
    """
    distances = geometry.distances
    if not distances.any():
        return np.ones(len(distances), np.bool_)
    values, vectors = np.linalg.eigh(geometry.products[:-1, :-1] / distances.max())
    points = vectors * np.sqrt(np.maximum(values, 0))
    means = _library("sklearn.cluster").KMeans
    starts = {(min(pair), max(pair)) for pair in enumerate(distances.argmax(axis=1).tolist())}
    found = [means(2, init=points[list(pair)], n_init=1, tol=0).fit(points) for pair in sorted(starts)]
    scatter = blurred(np.array([one.inertia_ for one in found]))
    return np.asarray(found[int(scatter.argmin())].labels_ == 0)
