"""Truth discovery's primitives, compiled by Numba. See :mod:`robustagg.kernels.interface_truth`.

Sums are of whole numbers, so that any order gives the same bits: each thread has its own sums of the workers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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
from robustagg.kernels.numba.lanes import jit


def group_answers(keys: Codes, count: int) -> tuple[Starts, Codes]:
    starts, order = np.zeros(count + 1, np.int64), np.empty(keys.size, np.int32)
    _group(keys, starts, order)
    return starts, order


@jit
def _group(keys: Any, starts: Any, order: Any) -> None:
    for key in keys:
        starts[key + 1] += 1
    for k in range(1, starts.size):
        starts[k] += starts[k - 1]
    following = starts[:-1].copy()
    for a in range(keys.size):
        order[following[keys[a]]] = a
        following[keys[a]] += 1


@jit
def sort_answers(starts: Starts, workers: Codes, values: Reals) -> None:
    for n in range(starts.size - 1):
        begin, end = starts[n], starts[n + 1]
        if end - begin > 32:
            by_worker = np.argsort(workers[begin:end])
            who, what = workers[begin:end][by_worker], values[begin:end][by_worker]
            by_value = np.argsort(what, kind="mergesort")
            workers[begin:end], values[begin:end] = who[by_value], what[by_value]
            continue
        for a in range(begin + 1, end):
            value, worker, b = values[a], workers[a], a
            while b > begin and (values[b - 1] > value or (values[b - 1] == value and workers[b - 1] > worker)):
                values[b], workers[b] = values[b - 1], workers[b - 1]
                b -= 1
            values[b], workers[b] = value, worker


@jit
def _bits(count: int) -> int:
    bits = 0
    while count > 0:
        count >>= 1
        bits += 1
    return bits


@jit
def _units(count: int) -> tuple[float, float]:
    """Steps per 1 of a row's sums of weights, and of weights times z."""
    bits = _bits(count)
    unit = min(51, 62 - bits)
    return 2.0**unit, 2.0 ** (unit - ((bits + 1) // 2 + 1))


@jit
def _whole(term: float) -> int:
    return np.int64(np.rint(term))  # type: ignore[no-any-return]


@jit
def spread_answers(starts: Starts, values: Reals) -> tuple[Reals, Reals]:
    mean, deviation = np.empty(starts.size - 1), np.zeros(starts.size - 1)
    for n in range(mean.size):
        begin, end = starts[n], starts[n + 1]
        low, width, count = values[begin], values[end - 1] - values[begin], end - begin
        mean[n] = low
        if not width >= SMALLEST:
            continue
        inverse, unit = 1.0 / width, _units(count)[0]
        total, squares = 0, 0
        for a in range(begin, end):
            total += _whole((values[a] - low) * inverse * unit)
        centre = total / unit / count
        for a in range(begin, end):
            off = (values[a] - low) * inverse - centre
            squares += _whole(off * off * unit)
        mean[n] = low + centre * width
        deviation[n] = width * np.sqrt(squares / unit / count)
    return mean, deviation


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
    truth, sums = np.empty(answers.starts.size - 1), np.zeros((2, answers.crowd), np.int64)
    coarse, fine = scale.coarse, scale.fine
    if location in (MEAN, MEDIAN):
        _step(*answers[:3], *scale, weights, float(prior), location, loss, truth, sums)
    else:
        _vote(*answers[:3], coarse, fine, weights, location, truth, sums)
    losses = sums[0] / coarse + (sums[1] / fine if fine else 0.0)
    return truth, losses, math.inf if before is None else float(np.abs(truth - before).max())


@jit
def _add(sums: Any, worker: int, loss: float, coarse: float, fine: float) -> None:
    steps = np.rint(loss * coarse)
    sums[0, worker] += np.int64(steps)
    if fine > 0:
        sums[1, worker] += _whole((loss - steps / coarse) * fine)


@jit
def _largest(workers: Any, weights: Any, begin: int, end: int) -> float:
    largest = 0.0
    for a in range(begin, end):
        largest = max(largest, weights[workers[a]])
    return largest


@jit
def _step(
    starts: Any, workers: Any, values: Any, centre: Any, inverse: Any, factor: Any, coarse: float, fine: float,
    weights: Any, prior: float, location: int, loss: int, truth: Any, sums: Any,
) -> None:  # fmt: skip
    for n in range(truth.size):
        begin, end = starts[n], starts[n + 1]
        largest = _largest(workers, weights, begin, end)
        to_relative = 1.0 / largest if largest > 0 else 1.0
        unit, unit_z = _units(end - begin)
        top, bottom = 0, 0
        for a in range(begin, end):
            r = weights[workers[a]] * to_relative if largest > 0 else 1.0
            top += _whole(r * ((values[a] - centre[n]) * inverse[n]) * unit_z)
            bottom += _whole(r * unit)
        if location == MEAN:
            truth[n] = top / unit_z / (prior * to_relative + bottom / unit)
        else:
            k, following = _middle(workers, weights, begin, largest, to_relative, unit, bottom)
            truth[n] = 0.5 * ((values[k] - centre[n]) * inverse[n]) + 0.5 * (
                (values[following] - centre[n]) * inverse[n]
            )
        for a in range(begin, end):
            error = (values[a] - centre[n]) * inverse[n] - truth[n]
            _add(sums, workers[a], factor[n] * (abs(error) if loss == ABSOLUTE else error * error), coarse, fine)


@jit
def _middle(
    workers: Any, weights: Any, begin: int, largest: float, to_relative: float, unit: float, total: int
) -> tuple[int, int]:
    up_to, k = 0, begin
    while True:
        up_to += _whole((weights[workers[k]] * to_relative if largest > 0 else 1.0) * unit)
        if 2 * up_to >= total:
            break
        k += 1
    following = k
    if 2 * up_to == total:
        following += 1
        while largest > 0 and _whole(weights[workers[following]] * to_relative * unit) == 0:
            following += 1
    return k, following


@jit
def _vote(
    starts: Any,
    workers: Any,
    values: Any,
    coarse: float,
    fine: float,
    weights: Any,
    location: int,
    truth: Any,
    sums: Any,
) -> None:
    for n in range(truth.size):
        begin, end = starts[n], starts[n + 1]
        largest = _largest(workers, weights, begin, end)
        to_relative, unit = 1.0 / largest if largest > 0 else 1.0, _units(end - begin)[0]
        sizes, lasts, found, total = np.zeros(end - begin, np.int64), np.empty(end - begin, np.int64), 0, 0
        for a in range(begin, end):
            if a > begin and values[a] != values[a - 1]:
                found += 1
            sizes[found] += _whole((weights[workers[a]] * to_relative if largest > 0 else 1.0) * unit)
            lasts[found] = a
        best = np.argmax(sizes[: found + 1])
        truth[n] = values[lasts[best]]
        total = sizes.sum()
        squares = 0
        for k in range(found + 1):
            squares += _whole((sizes[k] / total) * (sizes[k] / total) * 2.0**60)
        a = begin
        for k in range(found + 1):
            while a <= lasts[k]:
                loss = 1.0 - 2.0 * (sizes[k] / total) + squares * 2.0**-60
                if location != SHARE:
                    loss = 0.0 if k == best else 1.0
                _add(sums, workers[a], loss, coarse, fine)
                a += 1


def group_medians(answers: Answers, scale: Scale, weights: Reals, groups: Codes, count: int) -> Reals:
    out = np.empty(answers.starts.size - 1)
    _group_medians(*answers[:3], scale.centre, scale.inverse, weights, groups, count, out)
    return out


@jit
def _group_medians(
    starts: Any, workers: Any, values: Any, centre: Any, inverse: Any, weights: Any, groups: Any, count: int, out: Any
) -> None:
    largest, means = np.empty(count), np.empty(count)
    top, bottom = np.empty(count, np.int64), np.empty(count, np.int64)
    for n in range(out.size):
        begin, end = starts[n], starts[n + 1]
        unit, unit_z = _units(end - begin)
        largest[:], top[:], bottom[:] = 0.0, 0, 0
        for a in range(begin, end):
            g = groups[workers[a]]
            largest[g] = max(largest[g], weights[workers[a]])
        without = 0.0 if largest.max() > 0 else 1.0
        for a in range(begin, end):
            g = groups[workers[a]]
            r = weights[workers[a]] * (1.0 / largest[g]) if largest[g] > 0 else without
            top[g] += _whole(r * ((values[a] - centre[n]) * inverse[n]) * unit_z)
            bottom[g] += _whole(r * unit)
        present = 0
        for g in range(count):
            if bottom[g] > 0:
                means[present] = top[g] / unit_z / (bottom[g] / unit)
                present += 1
        means[:present].sort()
        out[n] = 0.5 * means[(present - 1) // 2] + 0.5 * means[present // 2]
