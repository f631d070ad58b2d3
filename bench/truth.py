"""Truth discovery beside others: ``python bench/truth.py [--answers 10000000] [--peers] [--reshef24 FOLDER]``.

Ten answers to every item, a hundred on average of every worker. The peers stand in `truth_peers`: the same formulas
with ``bincount`` over the same numbered answers, stopped at the same tolerance; and the public codes, for as many
iterations as ours took, on the sizes they can do. Every peer's estimates are checked before anything is timed.
OMP_NUM_THREADS=1 compares core with core. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import alternate, machine, peak_of
from truth_peers import Bincount, Dense, believed, installed, reshef24

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


def table(title: str, other: str) -> None:
    print(f"\n{title}\n\n| | ours [s] | {other} [s] | times |", "| --- | ---: | ---: | ---: |", sep="\n")


def row(name: str, ours: Callable[[], Any], peer: Callable[[], Any], rounds: int = 5) -> None:
    """Both sides in turn, their medians and the ratio."""
    times = alternate({"ours": ours, "peer": peer}, rounds=rounds, rest=0.1)
    us, them = times["ours"].median, times["peer"].median
    print(f"| {name} | {us:.3g} | {them:.3g} | {them / us:.1f} |", flush=True)


def beside_numpy(size: int) -> None:
    """CRH and GTM beside the same formulas with bincount."""
    claims = truth.Claims.of(made(size))
    peer = Bincount(claims)
    table(f"{size:,} answers, already numbered", "bincount")
    for method, other in ((truth.CRH(), peer.crh), (truth.GTM(), peer.gtm)):
        np.testing.assert_allclose(method.fit(claims).estimates, other(), rtol=0, atol=1e-4)
        row(type(method).__name__, partial(method.fit, claims), other)


def beside_dense(workers: int, items: int, published: Any) -> None:
    """CRH and GTM where every worker answers every item: beside products of matrices, and beside reshef24's code."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=items) + rng.standard_normal((workers, items)) * np.exp(rng.normal(0, 0.7, (workers, 1)))
    x = (x - x.mean(axis=0)) / x.std(axis=0) + rng.normal(0, 30, items)  # reshef24's CRH divides by no deviation
    k, n = np.divmod(np.arange(x.size), items)
    claims = truth.Claims.of((n, k, x.ravel()))
    table(f"{workers:,} workers, each of whom answers all of {items:,} items", "peer")
    for method in (truth.CRH(), truth.GTM()):
        name, fitted = type(method).__name__, method.fit(claims)
        dense = Dense(x, fitted.iterations)
        peers = {"matrix products": {"CRH": dense.crh, "GTM": dense.gtm}[name]}
        if published:
            peers["reshef24"] = published(x, fitted.iterations)[name]
        for peer, call in peers.items():
            np.testing.assert_allclose(fitted.estimates, np.ravel(call()), rtol=0, atol=1e-4)
            row(f"{name}, {peer}", partial(method.fit, claims), call)


def beside_crowd_kit(size: int) -> None:
    """Majority vote from a DataFrame of integers."""
    if not (peer := installed("crowd-kit", "crowdkit.aggregation")):
        return
    import pandas

    items, workers, _ = made(size)
    labels = np.random.default_rng(1).integers(0, 4, size)
    frame = pandas.DataFrame({"task": items, "worker": workers, "label": labels})
    ours = partial(truth.MajorityVote().fit_predict, frame, categorical=True)
    theirs = partial(peer.MajorityVote().fit_predict, frame)
    counts = frame.groupby(["task", "label"]).size().unstack(fill_value=0)
    clear = (counts.eq(counts.max(axis=1), axis=0)).sum(axis=1) == 1  # of several, each side takes one of its own
    assert ours().sort_index()[clear].tolist() == theirs().sort_index()[clear].tolist()
    table(f"{size:,} answers in a DataFrame", "crowd-kit")
    row("majority vote", ours, theirs, rounds=3)


def beside_truthdiscovery(workers: int, items: int) -> None:
    """Categories, every worker answers every item: the whole way from a table, and CRH alone."""
    peer = installed("truthdiscovery", "truthdiscovery")
    if not peer:
        return
    rng = np.random.default_rng(0)
    gold, skill = rng.integers(0, 4, items), rng.uniform(0.3, 0.9, (workers, 1))
    labels = np.where(rng.random((workers, items)) < skill, gold, rng.integers(0, 4, (workers, items)))
    k, n = np.divmod(np.arange(labels.size), items)
    columns = (n, k, labels.ravel())
    triples = list(zip(k.tolist(), n.tolist(), labels.ravel().tolist(), strict=True))
    claims, numbered = truth.Claims.of(columns, categorical=True), peer.Dataset(triples)
    method = truth.CRH(categorical="share")
    fitted = method.fit(claims)
    crh = peer.CRH(iterator=peer.FixedIterator(fitted.iterations))
    assert fitted.estimates.tolist() == believed(crh.run(numbered), claims.items.tolist())
    table(f"{workers:,} workers, each of whom chooses one of four categories for {items:,} items", "truthdiscovery")
    row("majority vote, from a table", lambda: truth.MajorityVote().fit(columns, categorical=True),
        lambda: peer.MajorityVoting().run(peer.Dataset(triples)), rounds=3)  # fmt: skip
    row("CRH by shares, numbered", partial(method.fit, claims), partial(crh.run, numbered), rounds=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=10**7)
    parser.add_argument("--reshef24", type=Path, help="a clone of its repository")
    parser.add_argument("--peers", action="store_true", help="the comparisons alone")
    chosen = parser.parse_args()
    size = chosen.answers
    print({name: machine()[name] for name in ("cpu", "backend")})
    if not chosen.peers:
        whole(size)
    for part in (size, size // 100, size // 1000):
        beside_numpy(part)
    published = reshef24(chosen.reshef24)
    for workers, items in ((2000, 2000), (200, 500)):
        beside_dense(workers, items, published)
    for part in (size // 10, size // 1000):
        beside_crowd_kit(part)
    for workers, items in ((50, 500), (40, 50)):
        beside_truthdiscovery(workers, items)


if __name__ == "__main__":
    main()
