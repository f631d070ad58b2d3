"""The fresh label (Fig. 14 of the paper): can users who disagree teach a topic that the first model has never seen?

    python experiment/fresh.py --seeds 3 --out experiment/results

Fifty users label twenty messages each, with disagreement; every round a model per rule is trained as the extension
trains it
and aggregated by robustagg. Beside the frozen centralised classifier: accuracy and AUC on the fresh topic, and the
old topics.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import newsgroups
import numpy as np
from eitr import features, model
from sklearn.metrics import roc_auc_score

import robustagg

USERS, ITEMS, OLD_ITEMS = 50, 20, 5
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
    flipped = np.where(labels == HEALTH, OTHER, HEALTH)
    return np.where(wrong, flipped, labels)


def kappa(said: np.ndarray) -> float:
    """Fleiss' kappa of all users on all messages."""
    n = len(said)
    counts = np.stack([(said == label).sum(axis=0) for label in np.unique(said)], axis=1)
    agreement = ((counts**2).sum(axis=1) - n).mean() / (n * (n - 1))
    chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return float((agreement - chance) / (1 - chance))


class Task:
    """One seed: the first model, the users' data, the tests."""

    def __init__(self, seed: int, kind: str, epochs: int) -> None:
        texts = newsgroups.read(seed)
        every = [text for text, _ in texts.train]
        self.vocabulary = (
            features.fit(every, newsgroups.CLASSES) if kind == "tfidf" else features.hashing(newsgroups.CLASSES, 4096)
        )
        self.examples = {
            name: features.extract(self.vocabulary, [text for text, _ in getattr(texts, name)])
            for name in ("train", "test", "pool", "fresh")
        }
        self.labels = {name: np.array([label for _, label in getattr(texts, name)]) for name in self.examples}
        start = model.initial(features.width(self.vocabulary), len(newsgroups.CLASSES), seed)
        self.first = model.added(
            start, model.train(start, self.examples["train"], self.labels["train"], layers=model.WHOLE, epochs=epochs)
        )
        self.rng = np.random.default_rng(seed)
        self.said = votes(self.labels["pool"], USERS, self.rng)

    def users(self, flipping: int) -> list[tuple[list, list[int]]]:
        """Examples and labels of each user: twenty fresh messages with its own labels, and a few old ones."""
        found = []
        pool, train = self.examples["pool"], self.examples["train"]
        for user in range(USERS):
            shares = self.rng.dirichlet(np.ones(2))
            weights = np.where(self.labels["pool"] == HEALTH, shares[0], shares[1]) + 1e-9
            chosen = self.rng.choice(len(pool), ITEMS, replace=False, p=weights / weights.sum())
            labels = self.said[user, chosen]
            if user < flipping:
                labels = np.where(self.labels["pool"][chosen] == HEALTH, OTHER, HEALTH)
            old = self.rng.choice(len(train), OLD_ITEMS, replace=False)
            examples = [pool[i] for i in chosen] + [train[i] for i in old]
            found.append((examples, [*labels.tolist(), *self.labels["train"][old].tolist()]))
        return found

    def scores(self, trained: model.Model) -> dict[str, float]:
        likely = model.log_probabilities(trained, self.examples["fresh"])
        truth = self.labels["fresh"]
        return {
            "fresh": float(np.mean(likely.argmax(axis=1) == truth)),
            "auc": float(roc_auc_score(truth == HEALTH, likely[:, HEALTH])),
            "old": model.accuracy(trained, self.examples["test"], self.labels["test"]),
        }


def federate(
    task: Task, users: list, rule: robustagg.Rule, layers: tuple[str, ...], rounds: int, **training: float
) -> dict:
    current, history, reputation = task.first, [], None
    for _ in range(rounds):
        sent = [model.train(current, examples, labels, layers=layers, **training) for examples, labels in users]
        result = rule.aggregate(sent)
        current = model.added(current, result.update)
        history.append(task.scores(current))
        reputation = result.reputation
    kept = None if reputation is None else reputation.tolist()
    likely = model.log_probabilities(current, task.examples["fresh"])[:, HEALTH].tolist()
    truth = (task.labels["fresh"] == HEALTH).tolist()
    return {
        "history": history,
        "reputation": kept,
        "likely": likely,
        "truth": truth,
        "weights": result.weights.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.05, help="of the users' training")
    parser.add_argument("--epochs", type=int, default=2, help="of the users' training, a round")
    parser.add_argument("--first-epochs", type=int, default=3, help="of the first model's training")
    parser.add_argument("--kinds", nargs="+", default=["tfidf", "hashed"])
    parser.add_argument("--whole", action="store_true", help="the whole network too")
    parser.add_argument("--out", type=Path, default=Path("experiment/results"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in range(arguments.seeds):
        for kind in arguments.kinds:
            task = Task(seed, kind, arguments.first_epochs)
            sizes = {name: len(labels) for name, labels in task.labels.items()}
            print(seed, kind, sizes, "kappa", round(kappa(task.said), 3), "frozen", task.scores(task.first), flush=True)
            for flipping in (0, 10):
                users = task.users(flipping)
                for name, make in RULES.items():
                    for layers in (model.HEAD, model.WHOLE) if arguments.whole else (model.HEAD,):
                        began = time.time()
                        training = dict(rate=arguments.rate, epochs=arguments.epochs)
                        found = federate(task, users, make(), layers, arguments.rounds, **training)
                        where = dict(seed=seed, kind=kind, flipping=flipping, rule=name, layers=len(layers))
                        frozen = task.scores(task.first)
                        lines.append({**where, "kappa": kappa(task.said), "sizes": sizes, "frozen": frozen, **found})
                        print(where, found["history"][-1], f"{time.time() - began:.0f} s", flush=True)
                        (arguments.out / "fresh.json").write_text(json.dumps(lines))


if __name__ == "__main__":
    main()
