"""The cases that the kernel tests share."""

from __future__ import annotations

from functools import cache

import numpy as np

import zoo

SIZES = (1, 2, 3, 4, 5, 15, 16, 17, 33, 64, 65, 100)
LENGTHS = (0, 1, 7, 8, 63, 64, 65, 1000)
INTERCEPTS = ("separate", "hierarchical", "median_point")
RESCALES = ((None, "paper"), (2.0, "paper"), (2.0, "clip"))
THRESHOLD = 0.1
DEFAULTS = {"value_range": 2.0, "rescale": "paper", "intercept": "separate", "interval_width": 2.0, "scale_floor": 1e-7}

menagerie = cache(zoo.menagerie)


def settings(rescale=RESCALES[1], intercept="separate"):
    return {**DEFAULTS, "value_range": rescale[0], "rescale": rescale[1], "intercept": intercept}


def weights_of(n):
    weights = np.random.default_rng(n).random(n)
    weights[0] = 0 if n > 1 else 1
    return weights / weights.sum()


def compute_dtype(dtype):
    return np.dtype("float64" if dtype == "float64" else "float32")
