"""What an update gives away, measured: how well the words of the pages behind it can be told from the rest.

The attacker is the server: it knows model, vocabulary and update. It ranks the words; the area under the curve (AUC)
is the chance that a word of the pages ranks above one that was not there. 1 is everything, 0.5 is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from eitr import model, replay
from eitr.model import Example, Model

# What `python experiment/privacy.py` prints for 20 Newsgroups: the better of two attacks, mean of 20 users.
BY_FREQUENCY = 0.74
"""What somebody without any update finds out, who says that frequent words are on every page."""
MEASURED: list[dict[str, float]] = [
    {"pages": 1, "old": 0, "rounds": 1, "noise": 0.0, "head": 0.75, "whole": 1.0},
    {"pages": 5, "old": 0, "rounds": 1, "noise": 0.0, "head": 0.55, "whole": 1.0},
    {"pages": 20, "old": 0, "rounds": 1, "noise": 0.0, "head": 0.52, "whole": 1.0},
    {"pages": 1, "old": 40, "rounds": 1, "noise": 0.0, "head": 0.63, "whole": 0.97},
    {"pages": 1, "old": 40, "rounds": 1, "noise": 0.03, "head": 0.57, "whole": 0.71},
    {"pages": 1, "old": 40, "rounds": 10, "noise": 0.0, "head": 0.7, "whole": 0.99},
    {"pages": 1, "old": 40, "rounds": 10, "noise": 0.03, "head": 0.7, "whole": 0.92},
    {"pages": 5, "old": 40, "rounds": 1, "noise": 0.0, "head": 0.55, "whole": 0.94},
    {"pages": 5, "old": 40, "rounds": 1, "noise": 0.03, "head": 0.55, "whole": 0.62},
    {"pages": 5, "old": 40, "rounds": 10, "noise": 0.0, "head": 0.55, "whole": 0.96},
    {"pages": 5, "old": 40, "rounds": 10, "noise": 0.03, "head": 0.54, "whole": 0.83},
    {"pages": 20, "old": 40, "rounds": 1, "noise": 0.0, "head": 0.48, "whole": 0.92},
    {"pages": 20, "old": 40, "rounds": 1, "noise": 0.03, "head": 0.5, "whole": 0.58},
    {"pages": 20, "old": 40, "rounds": 10, "noise": 0.0, "head": 0.49, "whole": 0.93},
    {"pages": 20, "old": 40, "rounds": 10, "noise": 0.03, "head": 0.49, "whole": 0.77},
]


def present(examples: Sequence[Example], features: int) -> NDArray[np.bool_]:
    found = np.zeros(features, bool)
    for columns, _ in examples:
        found[columns] = True
    return found


class Attacker:
    """The server: it knows the model and the old examples that it handed out, and trains on these alone to learn what
    an update is made of when nobody has corrected anything."""

    def __init__(self, before: Model, stock: Sequence[dict[str, Any]], trials: int = 10) -> None:
        self.before, self.stock = before, stock
        rng = np.random.default_rng(0)
        plain = [self._trained([], [], rng) for _ in range(trials)]
        rows = [np.linalg.norm(update["w1"], axis=1) for update in plain]
        self.row = np.mean(rows, axis=0), np.std(rows, axis=0)
        self.w2 = np.mean([update["w2"] for update in plain], axis=0)

    def _trained(self, examples: Sequence[Example], labels: Sequence[int], rng: np.random.Generator) -> Model:
        return model.train(self.before, *replay.mixed(examples, labels, self.stock, rng), layers=model.WHOLE)

    def on_whole(self, update: Model, noise: float) -> list[NDArray[np.float64]]:
        """Scores of each word from an update of the whole network: the norm of its row in the first layer, and how far
        that is from what the old examples alone would make of it."""
        norm = np.linalg.norm(update["w1"].astype(np.float64), axis=1)
        expected, spread = self.row
        width = update["w1"].shape[1]
        squares = np.maximum(norm**2 - width * noise**2, 0.0)
        return [norm, (np.sqrt(squares) - expected) / (spread + noise + 1e-9)]

    def on_head(self, update: Model) -> list[NDArray[np.float64]]:
        """Scores of each word from an update of the head alone.

        The update of the second layer is a sum of outer products with the pages' hidden activations. Its strongest
        direction is an activation that the pages share; a word is suspected as far as its row of the first layer points
        there. Once with and once without what the old examples would make of it.
        """
        scores = []
        for moved in (update["w2"], update["w2"] - self.w2):
            left, _, _ = np.linalg.svd(moved.astype(np.float64), full_matrices=False)
            direction = left[:, 0] * np.sign(left[:, 0].sum())  # activations are not negative
            scores.append(self.before["w1"].astype(np.float64) @ direction)
        return scores

    def auc(
        self, examples: Sequence[Example], labels: Sequence[int], noise: float, rounds: int, seed: int
    ) -> dict[str, list[float]]:
        """How well each attack finds the words of the examples, with Gaussian noise of that deviation added to updates
        of so many rounds: the attacker takes their mean, in which noise and old examples fade."""
        rng = np.random.default_rng(seed)
        truth = present(examples, len(self.before["w1"]))
        sent: dict[str, list[Model]] = {"head": [], "whole": []}
        for _ in range(rounds):
            mixed = replay.mixed(examples, labels, self.stock, rng)
            for name, layers in (("head", model.HEAD), ("whole", model.WHOLE)):
                sent[name].append(model.noisy(model.train(self.before, *mixed, layers=layers), noise, rng))
        head, whole = ({key: np.mean([one[key] for one in of], axis=0) for key in of[0]} for of in sent.values())
        scores = {"head": self.on_head(head), "whole": self.on_whole(whole, noise / rounds**0.5)}
        return {name: [float(roc_auc_score(truth, score)) for score in found] for name, found in scores.items()}
