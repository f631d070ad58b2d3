"""Truth discovery beside plain NumPy and crowd-kit: ``python bench/truth.py [--answers 10000000]``.

Ten answers to every item, a hundred on average of every worker. The NumPy peer is the same formulas with ``bincount``,
over the same numbered answers, stopped at the same tolerance; its estimates are checked before anything is timed.
crowd-kit (a package of its own) takes a DataFrame and numbers the answers itself, and so does our side of that line.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from measure import alternate, machine, peak_of

from robustagg import truth

PER_ITEM, PER_WORKER = 10, 100


def made(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items, workers and answers in no order; nobody answers an item twice."""
    rng = np.random.default_rng(seed)
    n, k = size // PER_ITEM, max(size // PER_WORKER, 2 * PER_ITEM)
    items = np.repeat(np.arange(n, dtype=np.int32), PER_ITEM)
    step = k // PER_ITEM
    workers = ((np.repeat(rng.integers(0, k, n), PER_ITEM) + np.tile(np.arange(PER_ITEM) * step, n)) % k).astype(
        np.int32
    )
    skill = np.exp(rng.normal(1, 0.7, k))
    values = rng.normal(0, 30, n)[items] + rng.standard_normal(size) * skill[workers]
    order = rng.permutation(size)
    return items[order], workers[order], values[order]


# --- the formulas in NumPy --------------------------------------------------------------------------------------------


class Bincount:
    """Numbered answers, their medians and deviations: what both methods begin with."""

    def __init__(self, claims: truth.Claims) -> None:
        self.n, self.k, self.x = claims.item_of, claims.answers.workers, claims.answers.values
        self.items, self.workers = claims.items.size, claims.workers.size
        self.median, self.counts = claims.median, claims.per_worker
        mean = np.bincount(self.n, self.x) / claims.per_item
        self.deviation = np.sqrt(np.bincount(self.n, (self.x - mean[self.n]) ** 2) / claims.per_item)
        self.mean = mean

    def crh(self) -> np.ndarray:
        t = self.mean
        while True:
            loss = np.bincount(self.k, (self.x - t[self.n]) ** 2 / self.deviation[self.n], self.workers)
            w = -np.log(loss / loss.sum())
            before, t = t, np.bincount(self.n, w[self.k] * self.x) / np.bincount(self.n, w[self.k])
            if (np.abs(t - before) / self.deviation).max() < 1e-6:
                return t

    def gtm(self) -> np.ndarray:
        z = (self.x - self.median[self.n]) / self.deviation[self.n]
        p, mu = np.ones(self.workers), None
        while True:
            before, mu = mu, np.bincount(self.n, p[self.k] * z) / (1 + np.bincount(self.n, p[self.k]))
            p = (22 + self.counts) / (20 + np.bincount(self.k, (z - mu[self.n]) ** 2, self.workers))
            if before is not None and np.abs(mu - before).max() < 1e-6:
                return mu * self.deviation + self.median


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def whole(size: int) -> None:
    """Seconds and memory at full size."""
    answers = made(size)
    claims = truth.Claims.of(answers)
    print(f"\n{size:,} answers of {claims.workers.size:,} workers to {claims.items.size:,} items\n")
    print("| | seconds | bytes an answer at the peak, beyond what is there before |", "| --- | ---: | ---: |", sep="\n")
    calls: dict[str, Callable[[], Any]] = {
        "`Claims.of` three arrays": partial(truth.Claims.of, answers),
        "`CRH().fit`": partial(truth.CRH().fit, claims),
        "`CRH(loss='absolute').fit`": partial(truth.CRH(loss="absolute").fit, claims),
        "`GTM().fit`": partial(truth.GTM().fit, claims),
        "`MWA(CRH()).fit`": partial(truth.MWA(truth.CRH()).fit, claims),
        "`Reputation().fit`": lambda: truth.Reputation().fit(claims),
    }
    for method in (truth.CRH(), truth.GTM()):
        target = {"workers": 10, "items": range(100), "answers": 100, "low": -300, "high": 300}
        calls[f"optimised attack of 1,000 answers on {type(method).__name__}"] = partial(
            truth.attacks.optimised, claims, method, **target
        )
    for name, call in calls.items():
        peak = peak_of(call)
        print(f"| {name} | {timed(call):.2f} | {peak / size:.0f} |", flush=True)


def beside_numpy(size: int) -> None:
    """CRH and GTM beside the same formulas."""
    claims = truth.Claims.of(made(size))
    peer = Bincount(claims)
    print(
        f"\n{size:,} answers, already numbered\n\n| | ours [s] | NumPy [s] | times |",
        "| --- | ---: | ---: | ---: |",
        sep="\n",
    )
    for name, method, other in (("CRH", truth.CRH(), peer.crh), ("GTM", truth.GTM(), peer.gtm)):
        np.testing.assert_allclose(method.fit(claims).estimates, other(), rtol=0, atol=1e-4)
        times = alternate({"ours": partial(method.fit, claims), "peer": other}, rounds=5)
        ours, theirs = times["ours"].median, times["peer"].median
        print(f"| {name} | {ours:.4g} | {theirs:.4g} | {theirs / ours:.1f} |", flush=True)


def beside_crowd_kit(size: int) -> None:
    """Majority vote from a DataFrame of integers."""
    try:
        from crowdkit.aggregation import MajorityVote
    except ImportError:
        print("\ncrowd-kit is not installed: `pip install crowd-kit`")
        return
    import pandas

    items, workers, _ = made(size)
    labels = np.random.default_rng(1).integers(0, 4, size)
    frame = pandas.DataFrame({"task": items, "worker": workers, "label": labels})
    ours, theirs = (
        partial(truth.MajorityVote().fit_predict, frame, categorical=True),
        partial(MajorityVote().fit_predict, frame),
    )
    counts = frame.groupby(["task", "label"]).size().unstack(fill_value=0)
    clear = (counts.eq(counts.max(axis=1), axis=0)).sum(axis=1) == 1  # of several, each side takes one of its own
    assert ours().sort_index()[clear].tolist() == theirs().sort_index()[clear].tolist()
    times = alternate({"ours": ours, "peer": theirs}, rounds=3)
    us, them = times["ours"].median, times["peer"].median
    print(
        f"\n{size:,} answers in a DataFrame\n\n| | ours [s] | crowd-kit [s] | times |",
        "| --- | ---: | ---: | ---: |",
        sep="\n",
    )
    print(f"| majority vote | {us:.4g} | {them:.4g} | {them / us:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=10**7)
    size = parser.parse_args().answers
    print({name: machine()[name] for name in ("cpu", "backend")})
    whole(size)
    for part in (size, size // 100, size // 1000):
        beside_numpy(part)
    for part in (size // 10, size // 1000):
        beside_crowd_kit(part)


if __name__ == "__main__":
    main()
