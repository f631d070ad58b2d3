"""Defences of truth discovery on average of attacks: ``python bench/truth_defences.py FOLDER``.

FOLDER holds the Emotion data (answer.csv, truth.csv). Beside them, made crowds: 400 items of truths between -50 and
50, 80 workers of log-normal skill, eight answers an item. Shares of 5, 10, 20 and 30 % malicious workers; random,
high, maximum, optimised against CRH and against GTM. `Reputation` was chosen on the seeds 0 and 1; 2 to 5 confirm.
Prints Markdown.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import truth
from robustagg.truth import attacks, tables

SHARES = (0.05, 0.1, 0.2, 0.3)
ATTACKS: dict[str, Callable[..., truth.Claims]] = {
    "random": attacks.random,
    "high": partial(attacks.maximum, extreme="max"),
    "maximum": attacks.maximum,
    "optimised": attacks.optimised,
    "optimised, GTM": lambda claims, method, **options: attacks.optimised(claims, truth.GTM(), **options),
}
METHODS: dict[str, Callable[[int], truth.Estimator]] = {
    "CRH": lambda m: truth.CRH(),
    "MWA(CRH)": lambda m: truth.MWA(truth.CRH()),
    "MIE(CRH)": lambda m: truth.MIE(truth.CRH(), m),
    "GTM": lambda m: truth.GTM(),
    "MWA(GTM)": lambda m: truth.MWA(truth.GTM()),
    "MIE(GTM)": lambda m: truth.MIE(truth.GTM(), m),
    "Reputation": lambda m: truth.Reputation(),
}


def emotion(folder: Path) -> tuple[truth.Claims, dict[Any, float]]:
    gold = tables.read(folder / "truth.csv", ("question",))
    claims = truth.Claims.of(folder / "answer.csv", item="question", value="answer")
    return claims, dict(zip(gold["question"].tolist(), map(float, gold["truth"].to_pylist()), strict=True))


def made(seed: int, n: int = 400, k: int = 80, per: int = 8) -> tuple[truth.Claims, dict[Any, float]]:
    rng = np.random.default_rng([seed, 77])
    right, skill = rng.uniform(-50, 50, n), np.exp(rng.normal(2.3, 0.6, k))
    items = np.repeat(np.arange(n), per)
    workers = np.concatenate([rng.permutation(k)[:per] for _ in range(n)])
    values = np.clip(right[items] + rng.normal(size=items.size) * skill[workers], -100, 100)
    return truth.Claims.of((items, workers, values)), dict(enumerate(right.tolist()))


def poisoned(claims: truth.Claims, seed: int) -> Iterator[tuple[int, truth.Claims]]:
    for share in SHARES:
        malicious = round(claims.workers.size * share / (1 - share))
        for attack in ATTACKS.values():
            yield malicious, attack(claims, truth.CRH(), workers=malicious, low=-100, high=100, seed=seed)


def measured(seeds: range, data: Callable[[int], tuple[truth.Claims, dict[Any, float]]]) -> dict[str, str]:
    """By method: estimation error and error beside the gold, on average of all attacks, shares and seeds."""
    found = defaultdict(list)
    for seed in seeds:
        claims, gold = data(seed)
        before = {name: make(0).fit(claims) for name, make in METHODS.items()}
        for malicious, attacked in poisoned(claims, seed):
            for name, make in METHODS.items():
                after = make(malicious).fit(attacked)
                moved, off = truth.estimation_error(before[name], after), truth.gold_error(after, gold)["mae"]
                found[name].append((moved, off))
    return {name: "{:.2f} / {:.2f}".format(*np.mean(pairs, axis=0)) for name, pairs in found.items()}


def main() -> None:
    of_emotion = emotion(Path(sys.argv[1]))
    print(
        "| | Emotion, seeds 0-1 | Emotion, 2-5 | made, 0-1 | made, 2-5 |",
        "| --- | ---: | ---: | ---: | ---: |",
        sep="\n",
    )
    kinds = (lambda seed: of_emotion, made)
    columns = [measured(seeds, data) for data in kinds for seeds in (range(2), range(2, 6))]
    for name in METHODS:
        print(f"| {name} |", " | ".join(column[name] for column in columns), "|")


if __name__ == "__main__":
    main()
