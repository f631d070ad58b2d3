"""How much one client can weigh: why a round needs five updates and why reputations are not min-max normalised here.

    python experiment/weights.py

Honest people of the made-up web train the first model; the largest weight of a client, worst of ten rounds that each
begin with nobody known, and after five rounds with the same people.
"""

from __future__ import annotations

import numpy as np
from eitr import corpus, features, model, site

import robustagg


def sent(first: model.Model, vocabulary: dict, n: int, seed: int) -> list[model.Model]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        topics = rng.choice([*corpus.CLASSES, corpus.FRESH], 6)
        pages = [corpus.page(topic, int(rng.integers(10_000, 90_000))) for topic in topics]
        labels = [corpus.CLASSES.index(page["label"]) for page in pages]
        found.append(model.train(first, features.extract(vocabulary, [corpus.words(page) for page in pages]), labels))
    return found


def largest(first: model.Model, vocabulary: dict, n: int, normalize: str, seeds: int) -> tuple[float, float]:
    """The largest weight of a client in any of so many first rounds, and how many clients weigh nothing, on average."""
    results = [
        robustagg.Reputation(normalize=normalize).aggregate(sent(first, vocabulary, n, seed)) for seed in range(seeds)
    ]
    nothing = np.mean([(result.weights == 0).sum() for result in results])
    return max(float(result.weights.max()) for result in results), float(nothing)


def known(first: model.Model, vocabulary: dict, n: int, normalize: str) -> float:
    """The largest weight after five rounds with the same people."""
    rule = robustagg.Reputation(normalize=normalize)
    for seed in range(5):
        result = rule.aggregate(sent(first, vocabulary, n, seed))
    return float(result.weights.max())


def main() -> None:
    pages = [corpus.page(topic, seed) for topic in corpus.CLASSES for seed in range(80)]
    vocabulary = features.fit([corpus.words(page) for page in pages], corpus.CLASSES)
    first = site.first_model(vocabulary, pages)
    for n in (3, 5, 10, 20, 50):
        for normalize in ("median", "minmax", "sum"):
            worst, nothing = largest(first, vocabulary, n, normalize, seeds=10)
            later = known(first, vocabulary, n, normalize)
            print(
                f"n={n:2} {normalize:6} largest {worst:.2f}, after five rounds {later:.2f};",
                f"honest clients with weight 0: {nothing:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
