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
    return sorted(range(len(x)), key=lambda i: (float(f"{scores[i]:.12g}"), float(f"{totals[i]:.12g}")))


def first_krum_order(x, f):
    """ByzFL's: of equal scores the first."""
    scores = krum_scores(x, f, len(x) - f - 1)
    return sorted(range(len(x)), key=lambda i: float(f"{scores[i]:.12g}"))


def krum(x, f):
    return x[krum_order(x, f, len(x) - f - 2)[0]]


def krum_byzfl(x, f):
    return x[first_krum_order(x, f)[0]]


def multi_krum(x, f):
    return x[krum_order(x, f, len(x) - f - 2)[: len(x) - f - 2]].mean(axis=0)


def multi_krum_byzfl(x, f):
    return x[first_krum_order(x, f)[: len(x) - f]].mean(axis=0)


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


def meamed(x, f):
    return np.array([mean_around_median(column, len(x) - f) for column in x.T])


def weighted_median(values, weights):
    """The middle of all values y with at most half of the weight below them and at most half above."""
    half, voters = sum(weights) / 2, [v for v, w in zip(values, weights, strict=True) if w]

    def weight(says):
        return sum(w for v, w in zip(values, weights, strict=True) if says(v))

    middle = [y for y in voters if weight(lambda v, y=y: v < y) <= half and weight(lambda v, y=y: v > y) <= half]
    return (min(middle) + max(middle)) / 2


def line_of(y, median_point):
    """Slope and intercept of the repeated-median line through sorted values."""
    n = len(y)
    s = [np.median([(y[j] - y[i]) / (j - i) for j in range(n) if j != i]) for i in range(n)]
    slope = np.median(s)
    return slope, np.median(y) - slope * (n - 1) / 2 if median_point else np.median(y - s * np.arange(n))


def repeated_median(x, f):
    if len(x) == 1:
        return x[0]
    lines = [line_of(np.sort(column), median_point=False) for column in x.T]
    return np.array([start + slope * (len(x) - 1) / 2 for slope, start in lines])


def residual_reweighting(x, authors=True):
    """(weights, aggregate), as Fu et al. 2019 and their code have it, of rows without equal values."""
    n = len(x)
    q, y = np.zeros(n), x.copy()
    design = np.column_stack([np.ones(n), np.arange(n)])
    hat = np.sqrt(1 - np.diagonal(design @ np.linalg.inv(design.T @ design) @ design.T))
    bound = 2 * np.sqrt(2 / n)
    for k, column in enumerate(x.T):
        order = np.argsort(column)
        slope, start = line_of(column[order], authors)
        line = start + slope * np.arange(n)
        r = np.abs(column[order] - line)
        tau = 1.4826 * (1 + 5 / (n - 1)) * np.median(np.sort(r)[1:] if authors else r) + 1e-7
        e = np.maximum(r, 1e-300) / tau
        confidence = hat / e * np.clip(e / hat, -bound, bound)
        q[order] += confidence * confidence.std(ddof=1)
        y[order, k] = np.where(confidence >= 0.1, column[order], line)
    weights = (q / q.max()) ** 2
    weights /= weights.sum()
    return weights, weights @ y


def foolsgold(history, kappa=1.0):
    """The weights of clients with these histories, loop by loop."""
    n = len(history)
    c = [[0.0 if i == j else cosine(history[i], history[j]) for j in range(n)] for i in range(n)]
    v = [max(row) for row in c]
    for i in range(n):
        for j in range(n):
            if v[j] > v[i]:
                c[i][j] *= v[i] / v[j]
    a = [min(max(1 - max(row), 0), 1) for row in c]
    if max(a) < 1e-9:
        return np.ones(n)
    weights = []
    for value in a:
        value = value / max(a)
        value = 0.99 if value == 1 else value
        weights.append(0.0 if value < 1e-9 else min(max(kappa * (np.log(value / (1 - value)) + 0.5), 0), 1))
    return np.array(weights)


def cosine(a, b):
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / lengths if lengths else 0.0


def fltrust(x, server):
    trust = [max(0, cosine(row, server)) for row in x]
    if not sum(trust):
        return np.zeros(x.shape[1])
    cut = [t * np.linalg.norm(server) / np.linalg.norm(row) * row for t, row in zip(trust, x, strict=True) if t]
    return sum(cut) / sum(trust)


def medoid(x, f):
    return x[np.argmin([sum(np.linalg.norm(row - other) for other in x) for row in x])]


def aksel(x, f):
    middle = np.median(x, axis=0)
    return x[np.argsort([squared(row, middle) for row in x], kind="stable")[: len(x) - f]].mean(axis=0)


# --- the second wave ------------------------------------------------------------------------------------------------


def cosine_distances(x):
    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b) if a.any() and b.any() else 0.0

    return np.array([[0.0 if a is b else 1 - cosine(a, b) for b in x] for a in x])


def clipped(x, longest):
    return np.array([row * min(1, longest / np.linalg.norm(row)) if row.any() else row for row in x])


def flame(x, f):
    """The first connected part of more than half of the clients, as ever longer distances connect them."""
    n, distances = len(x), cosine_distances(list(x))
    inside = list(range(n))
    for limit in np.unique(distances):
        near = distances <= limit
        for _ in range(n):
            near = near @ near
        found = [row for row in near if row.sum() > n // 2]
        if found:
            inside = np.flatnonzero(found[0])
            break
    return clipped(x, np.median(np.linalg.norm(x, axis=1)))[inside].mean(axis=0)


def clipped_clustering(x, f, lengths=()):
    groups, distances = [[i] for i in range(len(x))], cosine_distances(list(x))

    def apart(a, b):
        return np.mean([distances[i, j] for i in a for j in b])

    while len(groups) > 2:
        one, other = min(itertools.combinations(groups, 2), key=lambda pair: apart(*pair))
        groups = [group for group in groups if group not in (one, other)] + [one + other]
    larger = min(groups, key=lambda group: (-len(group), apart(group, group)))
    return clipped(x, np.median([*lengths, *np.linalg.norm(x, axis=1)]))[larger].mean(axis=0)


def synthesis(x):
    ends = x.max(axis=0), x.min(axis=0)
    farthest = max(range(len(x)), key=lambda i: min(squared(x[i], end) for end in ends))
    return np.vstack([x, *[x[farthest]] * (len(x) // 2)])


def foundation(x, f, beta=None):
    rows = np.sort(synthesis(x), axis=0)
    return np.median(rows, axis=0) if beta is None else rows[(k := int(beta * len(rows))) : len(rows) - k].mean(axis=0)


def rlr(x, f):
    votes = abs(np.sign(x).sum(axis=0))
    return np.where(votes >= f + 1, x.mean(axis=0), -x.mean(axis=0))


def mean_shift(points):
    """Who climbs to the place that most come to, each going to the mean of those within the bandwidth."""
    n = len(points)
    apart = np.array([[np.linalg.norm(a - b) for b in points] for a in points])
    width = np.mean([sorted(row)[max(1, n // 2) - 1] for row in apart]) * (1 + 2**-30)
    if not width:
        twins = (apart == 0).sum(axis=1)
        return twins == twins.max()
    tops = {}
    for point in points:
        for _ in range(300):
            near = points[np.linalg.norm(points - point, axis=1) <= width]
            point, before = near.mean(axis=0), point
            if np.linalg.norm(point - before) <= 1e-3 * width:
                break
        tops[tuple(point)] = len(near)
    centres = []
    for top in sorted(tops, key=lambda top: (tops[top], top), reverse=True):
        if all(np.linalg.norm(np.subtract(top, centre)) > width for centre in centres):
            centres.append(top)
    far = np.array([[np.linalg.norm(point - centre) for centre in centres] for point in points])
    label = np.where(far.min(axis=1) <= width, far.argmin(axis=1), -1)
    return label == max(range(len(centres)), key=lambda k: (label == k).sum())


def sign_guard(x, f):
    counts = np.stack([(x > 0).sum(axis=1), (x == 0).sum(axis=1), (x < 0).sum(axis=1)], axis=1)
    inside = mean_shift(counts / np.maximum(counts.max(axis=0), 1))
    norms = np.linalg.norm(x, axis=1)
    usual = np.median(norms)
    kept = inside & (norms >= 0.1 * usual) & (norms <= 3 * usual)
    return clipped(x, usual)[kept if kept.any() else inside].mean(axis=0)


def multi_metrics(x, f, keep=0.3):
    n, norms = len(x), np.linalg.norm(x, axis=1)
    if n == 1:
        return x[0]
    kinds = cosine_distances(list(x)) ** 2, abs(x[:, None] - x).sum(axis=2), abs(norms[:, None] - norms)
    t = np.stack([kind.sum(axis=1) / kind.max() for kind in kinds], axis=1)
    inverse = np.linalg.pinv(np.cov(t.T), rcond=1e-12, hermitian=True)
    scores = [float(f"{row @ inverse @ row:.9g}") for row in t]
    return x[np.argsort(scores, kind="stable")[: int(np.ceil(keep * n - 1e-9))]].mean(axis=0)


def align_ins(x, model, sparsity=0.3):
    main, k = np.sign(np.sign(x).sum(axis=0)), max(1, int(sparsity * x.shape[1]))
    largest = np.argsort(-abs(x), axis=1, kind="stable")[:, :k]
    agreement = np.array([(np.sign(row[top]) == main[top]).mean() for row, top in zip(x, largest, strict=True)])
    direction = np.array([row @ model / np.linalg.norm(row) / np.linalg.norm(model) for row in x])
    scores = [abs(v - np.median(v)) / (v.std() or 1) for v in (agreement, direction)]
    kept = np.flatnonzero(np.maximum(*scores) < 1)
    if not len(kept):
        return np.zeros(x.shape[1])
    return clipped(x[kept], np.median(np.linalg.norm(x[kept], axis=1))).mean(axis=0)


def lasa(tensors, sparsity=0.3):
    """Of (n, d) rows for each tensor, the (d,) results one after the other."""
    lengths = np.linalg.norm(np.hstack(tensors), axis=1)
    factors = np.minimum(1, np.median(lengths) / np.maximum(lengths, 1e-300))[:, None]
    results = []
    for x in tensors:
        sparse = factors * x
        for row in sparse:
            row[np.argsort(abs(row), kind="stable")[: int(sparsity * len(row) + 1e-9)]] = 0
        signs = np.sign(sparse)
        balance = 0.5 * (1 + signs.sum(axis=1) / np.maximum(abs(signs).sum(axis=1), 1))
        kept = np.ones(len(x), bool)
        for measure in (np.linalg.norm(sparse, axis=1), balance):
            off = abs(measure - np.median(measure))
            kept &= (off < measure.std() * (1 - 1e-9)) | (off < 1e-12)
        results.append((factors * x)[kept if kept.any() else slice(None)].mean(axis=0))
    return np.hstack(results)


def lfighter(updates, rows, variant="paper"):
    """(chosen, result) of updates by the rows (n, d) of two neurons; the two groups of least scatter of all."""
    n = len(rows)

    def scatter(group):
        return sum(squared(row, rows[group].mean(axis=0)) for row in rows[group])

    def score(group):
        found = [[cosine(a, b) if variant == "paper" or a is not b else 0.0 for b in group] for a in group]
        return float(f"{len(group) / n * (1 - np.mean([min(row) for row in found])):.9f}"), len(group)

    halves = [[i for i in range(n) if bits >> i & 1] for bits in range(1, 2 ** (n - 1))]
    pairs = [(half, [i for i in range(n) if i not in half]) for half in halves]
    if not pairs or (rows == rows[0]).all():
        return list(range(n)), updates.mean(axis=0)
    groups = min(pairs, key=lambda pair: sum(map(scatter, pair)))
    best = max(score(list(rows[group])) for group in groups)
    chosen = sorted(i for group in groups for i in group if score(list(rows[group])) == best)
    return chosen, updates[chosen].mean(axis=0)


def lbfgs_product(steps, changes, vector):
    """B times a vector, B updated by each step and change in turn, from sigma times the identity."""
    b = changes[-1] @ steps[-1] / (steps[-1] @ steps[-1]) * np.eye(len(vector))
    for s, y in zip(steps, changes, strict=True):
        b = b - np.outer(b @ s, b @ s) / (s @ b @ s) + np.outer(y, y) / (y @ s)
    return b @ vector


def fl_detector_scores(rounds, window):
    """Of each round of (n, d) rows, all of which are meant: (n,) scores, from the third round on."""
    results, scores = [], []
    for number, x in enumerate(rounds):
        if number >= 2:
            last = results[-window - 1 :]
            predicted = rounds[number - 1] + lbfgs_product(last[:-1], np.diff(last, axis=0), last[-1])
            away = np.linalg.norm(predicted - x, axis=1)
            scores.append(away / away.mean())
        results.append(x.mean(axis=0))
    return scores


def _signs_of_the_largest(row):
    """The signs of the largest 2 %, and of what is as large in the first four binary digits; zeros elsewhere."""

    def leading(value):
        mantissa, exponent = np.frexp(abs(value))
        return np.floor(16 * mantissa) * 2.0**exponent

    sizes = leading(row)
    least = sorted(sizes)[-max(int(0.02 * len(row) + 1e-9), 1)]
    return np.where(sizes >= least, np.sign(row), 0)


def suspicion(x, f):
    """The mean of the least suspicious, of one round, so that both memories are that round."""
    n = len(x)
    middle = np.median(x, axis=0)

    def cosine(a, b):
        lengths = np.sqrt((a @ a) * (b @ b))
        return a @ b / lengths if lengths else 0.0

    def above(values):
        away = [v - np.median(values) for v in values]
        return [max(v / max(1.4826 * np.median(np.abs(away)), 0.03), 0) for v in away]

    most = min(max(n // 5, 2), n - 1)
    heads = [_signs_of_the_largest(row - middle) for row in x]
    like = [sorted(cosine(heads[i], heads[j]) for j in range(n) if j != i) for i in range(n)]
    collusion = above([np.mean(row[n - 1 - most :]) if most else 0.0 for row in like])
    opposition = above([-cosine(row, middle) for row in x])
    ends = [sum(v in (min(column), max(column)) for v, column in zip(row, x.T, strict=True)) for row in x]
    total = np.sum([collusion, opposition, above([count / x.shape[1] * n / 2 for count in ends])], axis=0)
    lengths = np.linalg.norm(x, axis=1)
    worst = sorted(range(n), key=lambda i: (-float(f"{total[i]:.12g}"), -float(f"{lengths[i]:.12g}")))[:f]
    kept = [i for i in range(n) if i not in worst or not total[i] > 0]
    norms = lengths[kept]
    longest = np.median(norms)
    return np.mean(
        [row * min(1, longest / max(norm, 1e-300)) for row, norm in zip(x[kept], norms, strict=True)], axis=0
    )
