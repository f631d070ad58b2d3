"""The rules by their definitions: brute force in float64 over all subsets and all pairs, for few clients.

Nothing here shares code with the package. Each function takes (n, d) rows and f and returns the aggregate.
"""

from __future__ import annotations

import itertools

import numpy as np


def squared(x, y):
    return float(((x - y) ** 2).sum())


def krum_scores(x, f, neighbours):
    n = len(x)
    return [sum(sorted(squared(x[i], x[j]) for j in range(n) if j != i)[:neighbours]) for i in range(n)]


def krum_order(x, f, neighbours):
    """The best first; of equal scores the one nearer to all."""
    scores, totals = krum_scores(x, f, neighbours), krum_scores(x, f, len(x))
    return sorted(range(len(x)), key=lambda i: (scores[i], totals[i]))


def krum(x, f):
    return x[krum_order(x, f, len(x) - f - 2)[0]]


def krum_byzfl(x, f):
    return x[krum_order(x, f, len(x) - f - 1)[0]]


def multi_krum(x, f):
    return x[krum_order(x, f, len(x) - f - 2)[: len(x) - f - 2]].mean(axis=0)


def multi_krum_byzfl(x, f):
    return x[krum_order(x, f, len(x) - f - 1)[: len(x) - f]].mean(axis=0)


def bulyan(x, f):
    left, chosen = list(range(len(x))), []
    while len(chosen) < len(x) - 2 * f:
        chosen.append(left.pop(krum_order(x[left], f, max(1, len(left) - f - 2))[0]))
    rows, keep = x[chosen], len(chosen) - 2 * f
    return np.array([mean_around_median(column, keep) for column in rows.T])


def mean_around_median(values, k):
    middle = np.median(values)
    return np.mean(sorted(values, key=lambda v: (abs(v - middle), v))[:k])


def subsets(n, f):
    return [list(subset) for subset in itertools.combinations(range(n), n - f)]


def mda(x, f):
    def diameter(subset):
        return max(squared(x[i], x[j]) for i in subset for j in subset)

    return x[min(subsets(len(x), f), key=diameter)].mean(axis=0)


def top_variance(rows):
    return np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)[0]


def smea(x, f):
    return x[min(subsets(len(x), f), key=lambda subset: top_variance(x[subset]))].mean(axis=0)


def monna(x, f):
    return x[np.argsort([squared(row, x[0]) for row in x], kind="stable")[: len(x) - f]].mean(axis=0)


def cge(x, f):
    return x[np.argsort(np.linalg.norm(x, axis=1), kind="stable")[: len(x) - f]].mean(axis=0)


def dnc(x, f):
    centred = x - x.mean(axis=0)
    direction = np.linalg.svd(centred)[2][0]
    return x[np.argsort((centred @ direction) ** 2, kind="stable")[: len(x) - f]].mean(axis=0)


def caf(x, f):
    c, steps = np.ones(len(x)), []
    while True:
        mean = c @ x / c.sum()
        centred = x - mean
        values, vectors = np.linalg.eigh((c[:, None] * centred).T @ centred / c.sum())
        steps.append((values[-1], mean))
        tau = (centred @ vectors[:, -1]) ** 2
        if not tau.any():
            return mean
        c = c * np.maximum(0, 1 - tau / tau[c > 0].max())
        if c.sum() <= len(x) - 2 * f:
            return min(steps, key=lambda step: step[0])[1]


def centered_clipping(x, f, tau=2.0):
    return np.mean([row * min(1, tau / np.linalg.norm(row)) for row in x], axis=0)


def geometric_median_byzfl(x, f):
    z = np.zeros(x.shape[1])
    for _ in range(3):
        beta = 1 / np.maximum(np.linalg.norm(x - z, axis=1), 0.1)
        z = beta @ x / beta.sum()
    return z


def nnm(x, f):
    return np.array(
        [x[np.argsort([squared(row, a) for a in x], kind="stable")[: len(x) - f]].mean(axis=0) for row in x]
    )


def norm_clipping(x, f, c=2.0):
    return np.array([row * min(1, c / np.linalg.norm(row)) for row in x])


def arc(x, f):
    norms = sorted(np.linalg.norm(x, axis=1), reverse=True)
    return norm_clipping(x, f, norms[int(np.floor(2 * f / len(x) * (len(x) - f) + 1e-9))])
