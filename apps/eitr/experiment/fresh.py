"""The fresh label (Fig. 14 of the paper): can users who disagree teach a topic that the first model has never seen?

    python experiment/fresh.py --seeds 2 3 4 5 6

Fifty users label twenty messages each, with disagreement; every round a model per rule is trained as the extension
trains it and aggregated by robustagg. Beside the frozen centralised classifier: accuracy and AUC on the fresh topic,
and the old topics.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import crowd
import newsgroups
import numpy as np
from eitr import features, model, replay
from sklearn.metrics import roc_auc_score

import robustagg

USERS, ITEMS = 50, 20
RULES = {
    "reputation": lambda: robustagg.Reputation(normalize="sum"),
    "mean": robustagg.Mean,
    "median": robustagg.Median,
}
HEALTH, OTHER = newsgroups.CLASSES.index("Health"), newsgroups.CLASSES.index("Non-sensitive")


def votes(labels: np.ndarray, users: int, rng: np.random.Generator) -> np.ndarray:
    """What each user says of each message, (users, messages): some are careful, some careless, some messages hard."""
    careless = rng.beta(2, 30, (users, 1))
    hard = rng.beta(1, 9, (1, len(labels)))
    wrong = rng.random((users, len(labels))) < np.clip(careless + 0.4 * hard, 0, 0.5)
    return np.where(wrong, flipped(labels), labels)


def flipped(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == HEALTH, OTHER, HEALTH)


def kappa(said: np.ndarray) -> float:
    """Fleiss' kappa of all users on all messages."""
    n = len(said)
    counts = np.stack([(said == label).sum(axis=0) for label in np.unique(said)], axis=1)
    agreement = ((counts**2).sum(axis=1) - n).mean() / (n * (n - 1))
    chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return float((agreement - chance) / (1 - chance))


class Task:
    """One seed: the first model, what it makes of every message, what the users say, the tests."""

    def __init__(self, seed: int, kind: str) -> None:
        texts = newsgroups.read(seed)
        vocabulary = (
            features.fit([text for text, _ in texts.train], newsgroups.CLASSES)
            if kind == "tfidf"
            else features.hashing(newsgroups.CLASSES, 4096)
        )
        names = ("train", "test", "pool", "fresh")
        self.examples = {
            name: features.extract(vocabulary, [text for text, _ in getattr(texts, name)]) for name in names
        }
        self.labels = {name: np.array([label for _, label in getattr(texts, name)]) for name in names}
        width = features.width(vocabulary)
        self.first = model.fitted(self.examples["train"], self.labels["train"], width, len(newsgroups.CLASSES), seed)
        self.hidden = {name: model.hiddens(self.first, examples) for name, examples in self.examples.items()}
        rng = np.random.default_rng(seed)
        self.said = votes(self.labels["pool"], USERS, rng)
        self.chosen = np.array([self._messages(rng) for _ in range(USERS)])
        stock = [
            np.flatnonzero(self.labels["train"] == label)[: replay.STOCK] for label in range(len(newsgroups.CLASSES))
        ]
        self.stock = np.array(stock)

    def _messages(self, rng: np.random.Generator) -> np.ndarray:
        """A user's twenty, the two classes in proportions of its own."""
        shares = rng.dirichlet(np.ones(2))
        weights = np.where(self.labels["pool"] == HEALTH, shares[0], shares[1]) + 1e-9
        return rng.choice(len(self.labels["pool"]), ITEMS, replace=False, p=weights / weights.sum())

    def users(self, flipping: int) -> np.ndarray:
        """The labels of each user's twenty messages, (users, items); the first `flipping` say the opposite."""
        labels = np.take_along_axis(self.said, self.chosen, axis=1)
        labels[:flipping] = flipped(self.labels["pool"][self.chosen[:flipping]])
        return labels

    def round(self, labels: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`replay.mixed` for all: everybody's examples of a round, places in pool and then train, and their labels."""
        classes = np.arange(count) % len(self.stock)
        old = self.stock[classes, rng.integers(self.stock.shape[1], size=(USERS, count))]
        places = np.concatenate([self.chosen, len(self.labels["pool"]) + old], axis=1)
        order = rng.permuted(np.tile(np.arange(ITEMS + count), (USERS, 1)), axis=1)
        said = np.concatenate([labels, self.labels["train"][old]], axis=1)
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(said, order, axis=1)

    def scores(self, current: model.Model, hidden: dict[str, np.ndarray]) -> dict[str, float]:
        likely = model.head_log_probabilities(current, hidden["fresh"])
        truth = self.labels["fresh"]
        old = model.head_log_probabilities(current, hidden["test"]).argmax(axis=1)
        return {
            "fresh": float(np.mean(likely.argmax(axis=1) == truth)),
            "auc": float(roc_auc_score(truth == HEALTH, likely[:, HEALTH])),
            "old": float(np.mean(old == self.labels["test"])),
        }


def head(
    task: Task, current: model.Model, places: np.ndarray, labels: np.ndarray, noise: float, rng
) -> list[model.Model]:
    first = np.concatenate([task.hidden["pool"], task.hidden["train"]])[places]
    return crowd.train(current, first, labels, model.RATE, model.EPOCHS)


def whole(
    task: Task, current: model.Model, places: np.ndarray, labels: np.ndarray, noise: float, rng
) -> list[model.Model]:
    every = [*task.examples["pool"], *task.examples["train"]]
    sent = []
    for own, said in zip(places, labels, strict=True):
        update = model.train(current, [every[i] for i in own], said.tolist(), layers=model.WHOLE)
        sent.append(model.noisy(update, noise, rng))
    return sent


def federate(task: Task, labels: np.ndarray, rule: robustagg.Rule, options: argparse.Namespace, seed: int) -> dict:
    current, history, reputation = task.first, [], None
    rng = np.random.default_rng(1000 + seed)
    train = whole if options.whole else head
    for _ in range(options.rounds):
        places, said = task.round(labels, options.replay, rng)
        result = rule.aggregate(train(task, current, places, said, options.noise, rng))
        current = model.added(current, result.update)
        hidden = (
            {name: model.hiddens(current, task.examples[name]) for name in ("fresh", "test")}
            if options.whole
            else task.hidden
        )
        history.append(task.scores(current, hidden))
        reputation = result.reputation
    likely = model.head_log_probabilities(current, hidden["fresh"])[:, HEALTH]
    return {
        "history": history,
        "reputation": None if reputation is None else reputation.tolist(),
        "likely": likely.tolist(),
        "truth": (task.labels["fresh"] == HEALTH).tolist(),
        "weights": result.weights.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4, 5, 6])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--replay", type=int, default=replay.COUNT, help="old examples a user adds in a round")
    parser.add_argument("--kinds", nargs="+", default=["tfidf", "hashed"])
    parser.add_argument("--rules", nargs="+", default=list(RULES))
    parser.add_argument("--flipping", type=int, nargs="+", default=[0, 10])
    parser.add_argument("--whole", action="store_true", help="the whole network; a hundred times slower")
    parser.add_argument("--noise", type=float, default=0.0, help="with --whole")
    parser.add_argument("--out", type=Path, default=Path("fresh.json"))
    options = parser.parse_args()
    lines = []
    for seed in options.seeds:
        for kind in options.kinds:
            task = Task(seed, kind)
            about = {
                "seed": seed,
                "kind": kind,
                "sizes": {name: len(labels) for name, labels in task.labels.items()},
                "kappa": kappa(task.said),
                "frozen": task.scores(task.first, task.hidden),
            }
            print(about, flush=True)
            for flipping in options.flipping:
                for name in options.rules:
                    began = time.time()
                    found = federate(task, task.users(flipping), RULES[name](), options, seed)
                    lines.append({**about, "flipping": flipping, "rule": name, **found})
                    print(flipping, name, found["history"][-1], f"{time.time() - began:.0f} s", flush=True)
                    options.out.write_text(json.dumps(lines))


if __name__ == "__main__":
    main()
