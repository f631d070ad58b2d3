"""Truth discovery's primitives over the extension module. See :mod:`robustagg.kernels.interface_truth`."""

from __future__ import annotations

from robustagg import kernels
from robustagg.kernels import _native
from robustagg.kernels.interface_truth import SMALLEST, Answers, Codes, Reals, Scale, Starts

group_answers = _native.group_answers


def sort_answers(starts: Starts, workers: Codes, values: Reals) -> None:
    _native.sort_answers(starts, workers, values, kernels.num_threads())


def spread_answers(starts: Starts, values: Reals) -> tuple[Reals, Reals]:
    return _native.spread_answers(starts, values, SMALLEST, kernels.num_threads())


def truth_step(
    answers: Answers, scale: Scale, weights: Reals, prior: float, location: int, loss: int
) -> tuple[Reals, Reals]:
    starts, workers, values, count, units = answers
    threads = kernels.num_threads()
    return _native.truth_step(
        starts, workers, values, count, *units, *scale, weights, float(prior), location, loss, threads
    )


def group_medians(answers: Answers, scale: Scale, weights: Reals, groups: Codes, count: int) -> Reals:
    starts, workers, values, _, _ = answers
    centre, inverse, _ = scale
    return _native.group_medians(
        starts, workers, values, centre, inverse, weights, groups, count, kernels.num_threads()
    )
