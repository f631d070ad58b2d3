"""The choice of a backend and of threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from kernel_cases import RESCALES, THRESHOLD, settings

from robustagg import kernels


def test_a_switch_takes_effect_at_once_and_ends_with_its_block():
    before, seen = kernels.active_name(), []

    def switch() -> None:
        kernels.use_backend("numpy")
        seen.append(kernels.active_name())
        with kernels.use_backend(before):
            seen.append(kernels.active_name())
        seen.append(kernels.active_name())

    thread = threading.Thread(target=switch)
    thread.start()
    thread.join()
    assert seen == ["numpy", before, "numpy"]
    assert kernels.active_name() == before


@pytest.mark.parametrize("value", ["²", "٣", "9" * 400, "-1", "two", "4,2"])
def test_any_number_of_threads_in_the_environment(value):
    code = "from robustagg import kernels; print(kernels.num_threads())"
    environment = {**os.environ, "OMP_NUM_THREADS": value, "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert 1 <= int(done.stdout) <= kernels.MOST_THREADS


def test_no_more_threads_than_systems_have(backend, default_threads):
    kernels.set_num_threads(10**20)
    assert kernels.num_threads() == kernels.MOST_THREADS
    np.testing.assert_array_equal(backend.median([np.full(50_000, float(k)) for k in range(5)]), 2)


def test_a_zero_that_replaces_is_positive(backend):
    rows = [np.array([0.0, -0.0, -1.0] * 50)[k:] for k in range(3)]
    rows = [row[:140].copy() for row in rows] * 2
    median = backend.detect(rows, settings(RESCALES[2]), THRESHOLD).median
    assert not np.signbit(median[median == 0]).any()


def test_the_caller_may_tell_numpy_to_raise(backend):
    rows = [np.array([1e300, -1e-300, 0.0]), np.array([-1e300, 1e-300, 1.0]), np.array([1.7e308, 0.0, 5e-324])]
    with np.errstate(all="raise"):
        backend.median(rows)
        backend.gram(rows)
        backend.weighted_mean(rows, np.full(3, 1 / 3))
        backend.repeated_median(rows, "separate")
