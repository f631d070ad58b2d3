"""Fig. 1 of the paper: accuracy of the federated classifier beside the centralised one, over the number of clients.

    python experiment/size.py OUT.png

The head of a first model that has seen a tenth of the messages is trained by clients who share the others, each with
classes in proportions of its own; the centralised classifier has seen them all.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import newsgroups
import numpy as np
from eitr import features, model

import robustagg

CLIENTS, ROUNDS, SEEDS, CONCENTRATION = (10, 20, 50, 100, 200), 20, 2, 1.0


def shares(labels: np.ndarray, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Which messages are whose: every class is split in proportions drawn for it; everybody has at least one."""
    parts: list[list[int]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        cuts = (np.cumsum(rng.dirichlet(np.full(clients, CONCENTRATION))) * len(own)).astype(int)[:-1]
        for part, given in zip(parts, np.split(own, cuts), strict=True):
            part.extend(given)
    return [rng.permutation(part).astype(int) if part else rng.integers(len(labels), size=1) for part in parts]


def federated(first: model.Model, examples: list, labels: np.ndarray, clients: int, test: tuple, seed: int) -> float:
    rng = np.random.default_rng(seed)
    parts, current = shares(labels, clients, rng), first
    rule = robustagg.Reputation(normalize="sum")
    for _ in range(ROUNDS):
        sent = [model.train(current, [examples[i] for i in part], labels[part].tolist()) for part in parts]
        current = model.added(current, rule.aggregate(sent).update)
    return model.accuracy(current, *test)


def main() -> None:
    found = {clients: [] for clients in CLIENTS}
    known, alone = [], []
    for seed in range(SEEDS):
        texts = newsgroups.read(seed)
        vocabulary = features.fit([text for text, _ in texts.train], newsgroups.CLASSES)
        examples, unseen = (
            features.extract(vocabulary, [text for text, _ in part]) for part in (texts.train, texts.test)
        )
        labels = np.array([label for _, label in texts.train])
        test = unseen, [label for _, label in texts.test]
        size, cut = (features.width(vocabulary), len(newsgroups.CLASSES), seed), len(examples) // 10
        first = model.fitted(examples[:cut], labels[:cut], *size)
        alone.append(model.accuracy(first, *test))
        known.append(model.accuracy(model.fitted(examples, labels, *size), *test))
        for clients in CLIENTS:
            found[clients].append(federated(first, examples[cut:], labels[cut:], clients, test, seed))
            print(
                seed,
                clients,
                round(found[clients][-1], 3),
                "centralised",
                round(known[-1], 3),
                round(alone[-1], 3),
                flush=True,
            )
    draw(found, known, alone)


def draw(found: dict[int, list[float]], known: list[float], alone: list[float]) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    means, spread = (of([found[clients] for clients in CLIENTS], axis=1) for of in (np.mean, np.std))
    axes.errorbar(CLIENTS, means, spread, marker="o", capsize=3, label="federated, reputation")
    axes.axhline(np.mean(known), c="C1", label="centralised, all messages")
    axes.axhline(np.mean(alone), c="gray", ls="--", label="first model, a tenth of them")
    axes.set(xlabel="clients", ylabel="accuracy", xscale="log", xticks=CLIENTS, xticklabels=CLIENTS, ylim=(0.5, 1))
    axes.minorticks_off()
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()
