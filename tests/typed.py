"""A program that is typed strictly and needs no casts to call the library; mypy checks it, and nothing runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import robustagg as ra

named: dict[str, NDArray[np.float32]] = {"ada": np.zeros(3, np.float32)}
numbered: dict[int, NDArray[np.float32]] = {0: np.zeros(3, np.float32)}
both: dict[int | str, NDArray[np.float32]] = {"ada": np.zeros(3, np.float32), 0: np.zeros(3, np.float32)}
by_name: dict[str, int] = {"ada": 3}
by_number: dict[int, int] = {0: 3}
by_both: dict[int | str, float] = {"ada": 3, 0: 1.5}
listed: list[int] = [3]


def update(rule: ra.Rule, sent: Any, counts: NDArray[np.int64]) -> ra.Rule:
    rule.aggregate(sent, sample_counts=counts)
    return rule


update(ra.Suspicion(), named, np.array([3]))
update(ra.Pipeline(ra.NNM(f=1), ra.Median()), named, np.array([3]))
ra.Mean().aggregate(named, sample_counts=by_name)
ra.Mean().aggregate(numbered, sample_counts=by_number)
ra.Mean().aggregate(both, sample_counts=by_both)
ra.Mean().aggregate(list(named.values()), clients=list(named), sample_counts=listed)

paths: dict[str, Path] = {"ada": Path("ada.npy")}
places: dict[int, str] = {0: "ada.npy"}
ra.aggregate_files(ra.Mean(), paths, out="out.npy", sample_counts=by_name)
ra.aggregate_files(ra.Mean(), places, out=Path("out.npy"), sample_counts=by_number)
ra.aggregate_files(ra.Mean(), list(paths.values()), out="out.npy", sample_counts=tuple(listed))
ra.preaggregate_files(ra.NNM(f=1), places, out="out")
ra.capped_counts(by_name)
ra.harms(named, lambda model: 0.0)
