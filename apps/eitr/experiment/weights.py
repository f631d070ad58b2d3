"""How much one client can weigh: why a round needs five updates and why reputations are not min-max normalised here.

    python experiment/weights.py

Honest people of the made-up web train the first model; the largest weight of a client, worst of ten rounds that
each begin
with nobody known, and after five rounds with the same people.
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


def main() -> None:
    pages = [corpus.page(topic, seed) for topic in corpus.CLASSES for seed in range(80)]
    vocabulary = features.fit([corpus.words(page) for page in pages], corpus.CLASSES)
    first = site.first_model(vocabulary, [corpus.words(page) for page in pages], [page["label"] for page in pages])
    for n in (3, 5, 10, 20, 50):
        for normalize in ("minmax", "sum"):
            fresh = [
                robustagg.Reputation(normalize=normalize).aggregate(sent(first, vocabulary, n, s)) for s in range(10)
            ]
            rule = robustagg.Reputation(normalize=normalize)
            for seed in range(5):
                known = rule.aggregate(sent(first, vocabulary, n, seed))
            worst = max(result.weights.max() for result in fresh)
            nobody = np.mean([(result.weights == 0).sum() for result in fresh])
            print(
                f"n={n:2} {normalize:6} largest {worst:.2f}, after five rounds {known.weights.max():.2f};",
                f"honest clients with weight 0: {nobody:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
