"""Truth discovery's primitives in NumPy: the specification. See :mod:`robustagg.kernels.interface_truth`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robustagg.kernels.interface_truth import (
    ABSOLUTE,
    MEAN,
    MEDIAN,
    SHARE,
    SMALLEST,
    Answers,
    Codes,
    Reals,
    Scale,
    Starts,
)


def group_answers(keys: Codes, count: int) -> tuple[Starts, Codes]:
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=count), out=starts[1:])
    return starts, np.argsort(keys, kind="stable").astype(np.int32)


def sort_answers(starts: Starts, workers: Codes, values: Reals) -> None:
    order = np.lexsort((workers, values, rows_of(starts)))
    workers[:], values[:] = workers[order], values[order]


def spread_answers(starts: Starts, values: Reals) -> tuple[Reals, Reals]:
    first, n = starts[:-1], rows_of(starts)
    low, width = values[first], values[starts[1:] - 1] - values[first]
    varies = width >= SMALLEST
    inverse = np.divide(1.0, width, out=np.zeros_like(width), where=varies)
    unit, counts = weight_unit(bits_of(starts)), np.diff(starts)
    u = (values - low[n]) * inverse[n]
    mean = whole_sums(u, unit, starts) / counts
    variance = whole_sums((u - mean[n]) ** 2, unit, starts) / counts
    return np.where(varies, low + mean * width, low), np.where(varies, width * np.sqrt(variance), 0.0)


def arranged(answers: Answers) -> Answers:
    return answers


def truth_step(
    answers: Answers,
    scale: Scale,
    weights: Reals,
    prior: float,
    location: int,
    loss: int,
    before: Reals | None = None,
) -> tuple[Reals, Reals, float]:
    starts, n = answers.starts, rows_of(answers.starts)
    z = (answers.values - scale.centre[n]) * scale.inverse[n]
    relative, inverse = relative_weights(answers, weights)
    unit, unit_z = weight_unit(bits_of(starts)), z_unit(bits_of(starts))
    if location == MEAN:
        total = whole_sums(relative, unit, starts)
        truth = whole_sums(relative * z, unit_z, starts) / (prior * inverse + total)
    else:
        whole = np.rint(np.ldexp(relative, unit[n])).astype(np.int64)
        if location == MEDIAN:
            truth = weighted_medians(z, whole, starts)
        else:
            truth, losses = vote(answers, whole, shares=location == SHARE)
    if location in (MEAN, MEDIAN):
        error = z - truth[n]
        losses = scale.factor[n] * (np.abs(error) if loss == ABSOLUTE else error * error)
    moved = math.inf if before is None else float(np.abs(truth - before).max())
    return truth, sums_of_workers(answers, scale, losses), moved


def group_medians(answers: Answers, scale: Scale, weights: Reals, groups: Codes, count: int) -> Reals:
    starts, n = answers.starts, rows_of(answers.starts)
    z = (answers.values - scale.centre[n]) * scale.inverse[n]
    cells = n * count + groups[answers.workers]
    shape = starts.size - 1, count
    given, largest = weights[answers.workers], np.zeros(shape[0] * count)
    np.maximum.at(largest, cells, given)
    inverse = np.divide(1.0, largest, out=np.ones_like(largest), where=largest > 0)
    without = np.where(largest.reshape(shape).max(axis=1) > 0, 0.0, 1.0)
    relative = np.where((largest > 0)[cells], given * inverse[cells], without[n])
    unit, unit_z = weight_unit(bits_of(starts)), z_unit(bits_of(starts))
    top, bottom = np.zeros(largest.size, np.int64), np.zeros(largest.size, np.int64)
    np.add.at(top, cells, np.rint(np.ldexp(relative * z, unit_z[n])).astype(np.int64))
    np.add.at(bottom, cells, np.rint(np.ldexp(relative, unit[n])).astype(np.int64))
    present = bottom.reshape(shape) > 0
    numerator = np.ldexp(top.reshape(shape).astype(np.float64), -unit_z[:, None])
    denominator = np.ldexp(bottom.reshape(shape).astype(np.float64), -unit[:, None])
    means = np.divide(numerator, denominator, out=np.full(shape, np.inf), where=present)
    means.sort(axis=1)
    middle, row = present.sum(axis=1), np.arange(shape[0])
    medians: Reals = 0.5 * means[row, (middle - 1) // 2] + 0.5 * means[row, middle // 2]
    return medians


# --- the parts ------------------------------------------------------------------------------------------------------


def rows_of(starts: Starts) -> NDArray[np.int64]:
    """(A,): the row of each answer."""
    return np.repeat(np.arange(starts.size - 1), np.diff(starts))


def bits_of(starts: Starts) -> NDArray[np.int64]:
    """(N,): bits that each row's count takes."""
    return np.frexp(np.diff(starts).astype(np.float64))[1].astype(np.int64)


def weight_unit(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,): sums of terms that are at most 1 are taken in steps of 2 to minus this."""
    return np.minimum(51, 62 - bits)


def z_unit(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,): and sums of z: of c answers it is at most sqrt(c) + 1."""
    return weight_unit(bits) - ((bits + 1) // 2 + 1)


def whole_sums(terms: Reals, bits: NDArray[np.int64], starts: Starts) -> Reals:
    """(N,): sums of the terms, each rounded to a multiple of 2**-bits of its row."""
    whole = np.rint(np.ldexp(terms, bits[rows_of(starts)])).astype(np.int64)
    return np.ldexp(np.add.reduceat(whole, starts[:-1]).astype(np.float64), -bits)


def relative_weights(answers: Answers, weights: Reals) -> tuple[Reals, Reals]:
    """(A,) weights over the largest of their row, and (N,) one over that; 1 where all are zero."""
    given = weights[answers.workers]
    largest = np.maximum.reduceat(given, answers.starts[:-1])
    inverse = np.divide(1.0, largest, out=np.ones_like(largest), where=largest > 0)
    n = rows_of(answers.starts)
    return np.where((largest > 0)[n], given * inverse[n], 1.0), inverse


def weighted_medians(z: Reals, whole: NDArray[np.int64], starts: Starts) -> Reals:
    out = np.empty(starts.size - 1)
    for n, (a, b) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        up_to = np.cumsum(whole[a:b])
        k = a + int((2 * up_to >= up_to[-1]).argmax())
        exactly = 2 * up_to[k - a] == up_to[-1]
        following = k + 1 + int((whole[k + 1 : b] > 0).argmax()) if exactly else k
        out[n] = 0.5 * z[k] + 0.5 * z[following]
    return out


def vote(answers: Answers, whole: NDArray[np.int64], *, shares: bool) -> tuple[Reals, Reals]:
    """(N,) categories of most weight, and (A,) losses."""
    starts, values, n = answers.starts, answers.values, rows_of(answers.starts)
    new = np.ones(values.size, np.bool_)
    new[1:] = (np.diff(values) != 0) | (np.diff(n) != 0)
    segment = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    weight = np.add.reduceat(whole, first)
    of_row = np.searchsorted(first, starts)  # each row's first segment
    best = np.maximum.reduceat(weight, of_row[:-1])
    wins = np.flatnonzero(weight == best[n[first]])
    winner = wins[np.searchsorted(wins, of_row[:-1])]  # the first of its row
    truth = values[first[winner]]
    if not shares:
        return truth, (values != truth[n]).astype(np.float64)
    total = np.add.reduceat(whole, starts[:-1])
    share = weight.astype(np.float64) / total[n[first]].astype(np.float64)
    squares = whole_sums_of(share * share, of_row)
    return truth, 1.0 - 2.0 * share[segment] + squares[n]


def whole_sums_of(squares: Reals, starts: NDArray[np.int64]) -> Reals:
    """Sums of squared shares, which are at most 1 together."""
    return np.add.reduceat(np.rint(squares * 2.0**60).astype(np.int64), starts[:-1]).astype(np.float64) * 2.0**-60


def sums_of_workers(answers: Answers, scale: Scale, losses: Reals) -> Reals:
    """(K,): sums in the two units of :func:`~robustagg.kernels.interface_truth.loss_units`."""
    steps = np.rint(losses * scale.coarse)
    high = np.zeros(answers.crowd, np.int64)
    np.add.at(high, answers.workers, steps.astype(np.int64))
    sums = high.astype(np.float64) / scale.coarse
    if scale.fine == 0.0:
        return sums
    low = np.zeros(answers.crowd, np.int64)
    np.add.at(low, answers.workers, np.rint((losses - steps / scale.coarse) * scale.fine).astype(np.int64))
    return sums + low.astype(np.float64) / scale.fine
