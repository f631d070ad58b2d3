"""Truth discovery's primitives: every backend gives the bits of the specification, and that is right."""

from __future__ import annotations

import importlib
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from robustagg import kernels, truth
from robustagg.kernels import interface_truth as interface
from robustagg.kernels import numpy_truth as specification
from robustagg.kernels.interface_truth import ABSOLUTE, MEAN, MEDIAN, SHARE, SQUARED, VOTE
from robustagg.kernels.truth import MODULES

# items, workers, answers; the last three with items of more than 128 answers, and with such that everybody answered
SHAPES = [(1, 1, 1), (1, 9, 40), (300, 7, 2000), (5000, 40, 9000), (3, 500, 1400), (40, 300, 9000), (3, 203, 609)]
KINDS = ("gaussian", "ties", "categories", "wide")


@pytest.fixture(params=[name for name in kernels.available() if name in MODULES])
def backend(request):
    return importlib.import_module(MODULES[request.param])


def answers_of(n: int, k: int, a: int, kind: str, module=specification):
    """Answers of every item by at least one worker; nobody answers an item twice."""
    rng = np.random.default_rng(n + k)
    cells = rng.permutation(n * k)[: max(a, n)]
    items = np.concatenate([np.arange(n), cells // k]).astype(np.int32)
    workers = np.concatenate([rng.integers(0, k, n), cells % k]).astype(np.int32)
    _, first = np.unique(items.astype(np.int64) * k + workers, return_index=True)
    first = rng.permutation(first)
    items, workers = items[first], workers[first]
    values = rng.normal(size=items.size) * 10 ** rng.uniform(-3, 3, n)[items]
    if kind in ("ties", "categories"):
        values = rng.integers(0, 4, items.size).astype(float)
    if kind == "wide":
        values *= 10.0 ** rng.integers(-140, 140, items.size)
    starts, order = module.group_answers(items, n)
    workers, values = workers[order], values[order]
    module.sort_answers(starts, workers, values)
    return interface.Answers(starts, workers, values, k)


def scale_of(answers, module=specification):
    starts, values = answers.starts, answers.values
    _, deviation = module.spread_answers(starts, values)
    counts = np.diff(starts)
    centre = 0.5 * values[starts[:-1] + (counts - 1) // 2] + 0.5 * values[starts[:-1] + counts // 2]
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    farthest = np.maximum(centre - values[starts[:-1]], values[starts[1:] - 1] - centre) * inverse
    units = interface.loss_units(max(1.0, 2 * farthest.max()) ** 2, int(np.bincount(answers.workers).max()))
    return interface.Scale(centre, inverse, deviation / max(deviation.max(), 1e-300), *units)


def weights_of(k: int):
    """From nothing to 1e6, nothing included."""
    weights = 10 ** np.random.default_rng(k).uniform(-6, 6, k)
    weights[::5] = 0
    weights[1::4] = 1
    return weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_backend_gives_the_same_bits(backend, shape, kind):
    expected, got = answers_of(*shape, kind), answers_of(*shape, kind, backend)
    for ours, theirs in zip(got[:3], expected[:3], strict=True):
        assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert_array_equal(
        backend.spread_answers(*expected[::2][:2]), specification.spread_answers(expected.starts, expected.values)
    )
    scale, weights = scale_of(expected), weights_of(shape[1])
    for location, loss in [
        (MEAN, SQUARED),
        (MEAN, ABSOLUTE),
        (MEDIAN, SQUARED),
        (MEDIAN, ABSOLUTE),
        (VOTE, 0),
        (SHARE, 0),
    ]:
        for given in (weights, np.ones_like(weights), np.zeros_like(weights)):
            for prior in (0.0, 1.0):
                ours = backend.truth_step(expected, scale, given, prior, location, loss)
                theirs = specification.truth_step(expected, scale, given, prior, location, loss)
                assert_array_equal(ours[0], theirs[0])
                assert_array_equal(ours[1], theirs[1])
                assert ours[2] == theirs[2] == np.inf
                before = np.round(theirs[0], 1)
                again = backend.truth_step(backend.arranged(expected), scale, given, prior, location, loss, before)
                assert_array_equal(again[0], theirs[0])
                assert_array_equal(again[1], theirs[1])
                assert again[2] == np.abs(before - theirs[0]).max()
    groups = np.random.default_rng(1).integers(0, 5, shape[1]).astype(np.int32)
    for given in (weights, np.where(groups < 3, weights, 0), np.zeros_like(weights)):
        assert_array_equal(
            backend.group_medians(expected, scale, given, groups, 5),
            specification.group_medians(expected, scale, given, groups, 5),
        )


def test_groups_without_weight_have_no_voice(backend):
    claims = truth.Claims.of((["a"] * 5, list("abcde"), [1.0, 1.0, 1.0, 90.0, 95.0]))
    scale, groups = claims.scale(), np.array([0, 0, 0, 1, 2], np.int32)
    for weights, expected in (([1.0, 1.0, 1.0, 0.0, 0.0], 1.0), ([0.0] * 5, 90.0), ([0.0, 0.0, 0.0, 0.0, 2.0], 95.0)):
        z = backend.group_medians(claims.answers, scale, np.array(weights), groups, 3)
        assert claims.median + z * claims.spread[1] == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_specification_agrees_with_exact_arithmetic(shape):
    answers = answers_of(*shape, "gaussian")
    scale, weights = scale_of(answers), weights_of(shape[1])
    mean, deviation = specification.spread_answers(answers.starts, answers.values)
    truth, losses, _ = specification.truth_step(answers, scale, weights, 1.0, MEAN, SQUARED)
    expected = [Fraction(0)] * answers.crowd
    for n, (a, b) in enumerate(zip(answers.starts[:-1], answers.starts[1:], strict=True)):
        x = [Fraction(v) for v in answers.values[a:b].tolist()]
        centre = sum(x) / len(x)
        assert mean[n] == pytest.approx(float(centre), abs=1e-13 * float(max(map(abs, x))))
        assert deviation[n] ** 2 == pytest.approx(float(sum((v - centre) ** 2 for v in x) / len(x)), rel=1e-12)
        z = [(v - Fraction(scale.centre[n])) * Fraction(scale.inverse[n]) for v in x]
        w = [Fraction(weights[k]) for k in answers.workers[a:b]]
        w = w if any(w) else [Fraction(1)] * len(w)
        exact = sum(p * q for p, q in zip(w, z, strict=True)) / (1 + sum(w))
        assert truth[n] == pytest.approx(float(exact), abs=1e-12)
        for k, v in zip(answers.workers[a:b], z, strict=True):
            expected[k] += Fraction(scale.factor[n]) * (v - Fraction(truth[n])) ** 2
    for loss, exact, count in zip(losses, expected, np.bincount(answers.workers, minlength=answers.crowd), strict=True):
        half_steps = 0.5 * count / (scale.fine or scale.coarse)
        assert loss == pytest.approx(float(exact), rel=1e-12, abs=half_steps)


def test_weighted_median_of_few():
    """The least value with half of the weight at or below it; exactly half: the mean with the next that has weight."""
    for values, weights, expected in [
        ([1, 2, 3], [1, 1, 1], 2),
        ([1, 2, 3, 4], [1, 1, 1, 1], 2.5),
        ([1, 2, 3], [1, 0, 1], 2),
        ([1, 2, 9], [3, 1, 1], 1),
        ([1, 2, 2, 5], [1, 1, 1, 1], 2),
        ([1, 5], [0, 0], 3),
    ]:
        k = len(values)
        answers = interface.Answers(np.array([0, k]), np.arange(k, dtype=np.int32), np.array(values, float), k)
        scale = interface.Scale(np.zeros(1), np.ones(1), np.ones(1), 1.0, 0.0)
        assert specification.truth_step(answers, scale, np.array(weights, float), 0.0, MEDIAN, ABSOLUTE)[0] == expected


@pytest.mark.skipif("native" not in kernels.available(), reason="the native core is missing")
@pytest.mark.parametrize("kind", KINDS)
def test_every_instruction_set_gives_the_same_bits(kind):
    from robustagg.kernels import _native, native_truth

    before = _native.isa()
    try:
        for isa in _native.usable_isas():
            _native.set_isa(isa)
            for shape in SHAPES:
                answers = answers_of(*shape, kind)
                scale, weights = scale_of(answers), weights_of(shape[1])
                ours = native_truth.truth_step(answers, scale, weights, 1.0, MEAN, SQUARED)
                theirs = specification.truth_step(answers, scale, weights, 1.0, MEAN, SQUARED)
                assert_array_equal(ours[0], theirs[0])
                assert_array_equal(ours[1], theirs[1])
    finally:
        _native.set_isa(before)


def test_fine_steps_count_what_coarse_ones_leave_over():
    """A million answers of one worker: a coarse step alone would be 2**-31 of a loss."""
    coarse, fine = interface.loss_units(2.0**10, 10**6)
    assert 0 < coarse < 2.0**interface.ENOUGH < fine
    assert interface.loss_units(2.0**7, 1000) == (2.0**43, 0.0)
    answers = answers_of(300, 7, 2000, "gaussian")
    enough = scale_of(answers)
    _, expected, _ = specification.truth_step(answers, enough, weights_of(7), 0.0, MEAN, SQUARED)
    steps = 2000 / enough.coarse
    for name in [name for name in kernels.available() if name in MODULES]:
        step = importlib.import_module(MODULES[name]).truth_step
        finer = enough._replace(coarse=coarse, fine=fine)
        np.testing.assert_allclose(step(answers, finer, weights_of(7), 0.0, MEAN, SQUARED)[1], expected, atol=steps)
        coarser = enough._replace(coarse=coarse)
        assert abs(step(answers, coarser, weights_of(7), 0.0, MEAN, SQUARED)[1] - expected).max() > 10 * steps


@pytest.mark.usefixtures("default_threads")
def test_threads_change_no_bit(backend):
    answers = answers_of(5000, 40, 60000, "gaussian")
    scale, weights = scale_of(answers), weights_of(40)
    results = []
    for threads in (1, 2, 3, 7):
        kernels.set_num_threads(threads)
        results.append(np.concatenate(backend.truth_step(answers, scale, weights, 0.0, MEAN, SQUARED)[:2]))
    for other in results[1:]:
        assert_array_equal(other, results[0])
