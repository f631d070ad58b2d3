"""Poisonings, to test defences with. NumPy only; whatever is random takes a seed and gives the same every time.

>>> import numpy as np, robustagg as ra
>>> from robustagg import attacks
>>> honest = np.random.default_rng(0).normal(1, 0.1, (8, 1000))
>>> updates = [*honest, *attacks.sign_flip(honest, 2, scale=5)]
>>> ra.Mean()(updates).mean().round(1), ra.Median()(updates).mean().round(1)
(np.float64(-0.2), np.float64(1.0))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robustagg.attacks.crude import constant, gaussian, infinity, nan, scaling, sign_flip
from robustagg.attacks.data import Trigger, backdoor, corner, frequent_words, label_flip
from robustagg.attacks.disguised import clipped, diversified, sacrifice
from robustagg.attacks.hidden import alie, alie_z, ipm, mimic, poisoned_fl
from robustagg.attacks.optimized import fang_krum, fang_median, min_max, min_sum
from robustagg.attacks.rounds import late, looping, on_off, sample_count_inflation, sleeper, whitewashing

__all__ = [
    "ATTACKS",
    "Attack",
    "Trigger",
    "alie",
    "alie_z",
    "backdoor",
    "clipped",
    "constant",
    "corner",
    "diversified",
    "fang_krum",
    "fang_median",
    "frequent_words",
    "gaussian",
    "infinity",
    "ipm",
    "label_flip",
    "late",
    "looping",
    "mimic",
    "min_max",
    "min_sum",
    "nan",
    "on_off",
    "poisoned_fl",
    "sacrifice",
    "sample_count_inflation",
    "scaling",
    "sign_flip",
    "sleeper",
    "whitewashing",
]


@dataclass(frozen=True)
class Attack:
    """One row of :data:`ATTACKS`."""

    function: Callable[..., Any]
    kind: str
    """What it poisons: "data", "update", "disguise" (an update trained on poison), or over rounds the "schedule", the
    "arrival" (a schedule under new ids), the "identity", the "samples" claimed."""
    source: str

    @property
    def summary(self) -> str:
        """The first sentence of the function's docstring, up to its formula."""
        return (self.function.__doc__ or "").splitlines()[0].split(":")[0].rstrip(".")


ATTACKS: dict[str, Attack] = {
    "label-flip": Attack(label_flip, "data", "Biggio 2012"),
    "backdoor": Attack(backdoor, "data", "Gu 2019, Bagdasaryan 2020"),
    "sign-flip": Attack(sign_flip, "update", "Li 2019"),
    "gaussian": Attack(gaussian, "update", "Blanchard 2017"),
    "ipm": Attack(ipm, "update", "Xie 2019"),
    "alie": Attack(alie, "update", "Baruch 2019"),
    "mimic": Attack(mimic, "update", "Karimireddy 2022"),
    "min-max": Attack(min_max, "update", "Shejwalkar 2021"),
    "min-sum": Attack(min_sum, "update", "Shejwalkar 2021"),
    "fang-median": Attack(fang_median, "update", "Fang 2020"),
    "fang-krum": Attack(fang_krum, "update", "Fang 2020"),
    "scaling": Attack(scaling, "update", "Bagdasaryan 2020"),
    "constant": Attack(constant, "update", "Li 2019"),
    "poisoned-fl": Attack(poisoned_fl, "update", "Xie 2025"),
    "nan": Attack(nan, "update", "folklore"),
    "infinity": Attack(infinity, "update", "folklore"),
    "clipped": Attack(clipped, "disguise", "Baruch 2019"),
    "diversified": Attack(diversified, "disguise", "Fung 2020"),
    "sacrifice": Attack(sacrifice, "disguise", "folklore"),
    "on-off": Attack(on_off, "schedule", "Sun 2008"),
    "sleeper": Attack(sleeper, "schedule", "Sun 2008"),
    "looping": Attack(looping, "schedule", "Chu 2023"),
    "late": Attack(late, "arrival", "Feldman 2006"),
    "whitewashing": Attack(whitewashing, "identity", "Feldman 2006"),
    "sample-count-inflation": Attack(sample_count_inflation, "samples", "Portnoy 2022"),
}
"""Every attack by its name on the command line: what it is, and whose."""
