"""Truth discovery's primitives over the extension module. See :mod:`robustagg.kernels.interface_truth`."""

from __future__ import annotations

from robustagg import kernels
from robustagg.kernels import _native
from robustagg.kernels.interface_truth import MEAN, SMALLEST, Answers, Codes, Reals, Scale, Starts

group_answers = _native.group_answers


def sort_answers(starts: Starts, workers: Codes, values: Reals) -> None:
    _native.sort_answers(starts, workers, values, kernels.num_threads())


def spread_answers(starts: Starts, values: Reals) -> tuple[Reals, Reals]:
    return _native.spread_answers(starts, values, SMALLEST, kernels.num_threads())


def arranged(answers: Answers) -> Answers:
    starts, workers, values, crowd, _ = answers
    return answers._replace(arranged=_native.arranged(starts, workers, values, crowd, kernels.num_threads()))


def truth_step(
    answers: Answers,
    scale: Scale,
    weights: Reals,
    prior: float,
    location: int,
    loss: int,
    before: Reals | None = None,
) -> tuple[Reals, Reals, float]:
    if location == MEAN and answers.arranged is None:
        answers = arranged(answers)
    return _native.truth_step(*answers, *scale, weights, float(prior), location, loss, before, kernels.num_threads())


def group_medians(answers: Answers, scale: Scale, weights: Reals, groups: Codes, count: int) -> Reals:
    starts, workers, values, *_ = answers
    return _native.group_medians(
        starts, workers, values, scale.centre, scale.inverse, weights, groups, count, kernels.num_threads()
    )
