"""Same bits for any threads and any cut; safe from several Python threads; no lock held; alive after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import zoo
from kernel_cases import DEFAULTS, THRESHOLD

from robustagg import kernels
from robustagg.kernels import numpy as specification
from robustagg.kernels.interface import Rescale


def everything(backend, rows):
    """The results of every primitive that works coordinate by coordinate, by name, coordinates last."""
    return reputation(backend, rows) | averages(backend, rows)


def weights_of(rows):
    weights = np.arange(1.0, len(rows) + 1)
    return weights / weights.sum()


def reputation(backend, rows):
    d, weights = rows[0].size, weights_of(rows)
    rejected, median, _ = backend.detect(rows, DEFAULTS, THRESHOLD)
    slope, start = backend.repeated_median(rows, "hierarchical")
    return {
        "rejected": np.unpackbits(rejected, axis=1, count=d, bitorder="little"),
        "median of detection": median,
        "slope": slope,
        "intercept": start,
        "confidence": backend.confidence(rows, DEFAULTS),
        "rectify": backend.rectify(rows, rejected, median, DEFAULTS.rescale),
        "rectified_mean": backend.rectified_mean(rows, rejected, median.copy(), weights, DEFAULTS.rescale),
    }


def averages(backend, rows):
    n, weights = len(rows), weights_of(rows)
    return {
        "weighted_mean": backend.weighted_mean(rows, weights),
        "mix": backend.mix(rows, np.vstack([weights, -weights])),
        "median": backend.median(rows),
        "trimmed_mean": backend.trimmed_mean(rows, (n - 1) // 3),
        "mean_around_median": backend.mean_around_median(rows, n // 2 + 1),
        "weighted_median": backend.weighted_median(rows, weights),
        "extremes": np.stack(backend.extremes(rows)),
        "majority": backend.majority(rows, 2),
    }


def assert_same_bits(got, expected):
    for name, values in expected.items():
        assert got[name].tobytes() == values.tobytes(), name


@pytest.mark.usefixtures("default_threads")
def test_same_bits_for_any_number_of_threads(backend):
    strange, long = zoo.menagerie(17, "float32", each=300)[0], zoo.rows_of(17, 70_001)  # worth several threads

    def results():
        counts = backend.detect(strange, DEFAULTS, THRESHOLD).rejections
        products = {"counts": counts, "gram": backend.gram(long), "finite": backend.finite(long)}
        products["measure"] = backend.measure(long, 3)
        note = backend.detect(long, DEFAULTS, THRESHOLD)[:2]
        for value_range in (None, 2.0, 9.0):  # no row, every row and some of them are clipped
            products[f"deviations {value_range}"] = backend.deviations(long, *note, Rescale(value_range, "clip"))
        products |= {"manhattan": backend.manhattan(long), "sign_counts": backend.sign_counts(long)}
        products["outermost"] = backend.outermost(long)
        signs, prefixes = np.ones(long[0].size, np.int8), np.zeros(17, np.int64)
        products["magnitude_counts"] = backend.magnitude_counts(long, signs, 20, 11, prefixes)
        products["agreements"] = backend.agreements(long, np.full(17, 127 << 23))
        return reputation(backend, strange) | averages(backend, long) | products

    kernels.set_num_threads(1)
    expected = results()
    for threads in (2, 3, 7):
        kernels.set_num_threads(threads)
        assert_same_bits(results(), expected)


@pytest.mark.parametrize("n", [2, 10, 64])
def test_same_bits_for_any_cut(backend, n):
    rows, _ = zoo.menagerie(n, "float32", each=20)
    d = rows[0].size
    expected = everything(backend, rows)
    cuts = [0, 1, 8, 64, 65, 100, 163, 164, d]
    parts = [everything(backend, [row[a:b] for row in rows]) for a, b in pairwise(cuts)]
    whole = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in expected}
    assert_same_bits(whole, expected)


def test_two_python_threads_at_once(backend):
    problems = [zoo.rows_of(20, 3000, seed=seed) for seed in range(2)]
    expected = [everything(backend, rows) for rows in problems]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            for got, wanted in zip(pool.map(lambda rows: everything(backend, rows), problems), expected, strict=True):
                assert_same_bits(got, wanted)


@pytest.mark.usefixtures("default_threads")
def test_interpreter_lock_is_released(backend):
    """Another Python thread runs during the calls, although this one never gives way of itself."""
    if backend is specification:
        pytest.skip("NumPy itself decides when it releases the lock")
    kernels.set_num_threads(1)
    rows = zoo.rows_of(50, 5000)
    backend.detect(rows, DEFAULTS, THRESHOLD)
    start, in_calls, seen = threading.Event(), [False], []

    def watch():
        start.wait()
        seen.append(in_calls[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        in_calls[0] = True
        start.set()
        for _ in range(200):
            backend.detect(rows, DEFAULTS, THRESHOLD)
            if seen:
                break
        in_calls[0] = False
    finally:
        sys.setswitchinterval(interval)
    watcher.join()
    assert seen == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_alive_after_fork(backend):
    """A process that has computed with several threads forks, and its child computes the same."""
    if "cuda" in getattr(backend, "__name__", "cuda"):
        pytest.skip("a CUDA context does not survive a fork")
    script = f"""
        import importlib, os, warnings
        import numpy as np
        from robustagg import kernels
        from robustagg.kernels.interface import Confidence, Rescale
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own about forks of threaded processes
        backend = importlib.import_module("{backend.__name__}")
        kernels.set_num_threads(2)
        rows = list(np.random.default_rng(0).normal(size=(30, 4000)).astype(np.float32))
        options = {DEFAULTS!r}, {THRESHOLD!r}
        expected = backend.detect(rows, *options)
        child = os.fork()
        if child == 0:
            got = backend.detect(rows, *options)
            same = all(a.tobytes() == b.tobytes() for a, b in zip(got, expected))
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)
