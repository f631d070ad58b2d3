"""What an update gives away, measured: how well the words of the pages behind it can be told from the rest.

The attacker is the server: it knows model, vocabulary and update. It ranks the words; the area under the curve
(AUC) is the
chance that a word of the pages ranks above one that was not there. 1 is everything, 0.5 is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from eitr import model
from eitr.model import Example, Model

# What `python experiment/privacy.py` prints for the made-up web: the mean of 20 users.
MEASURED: list[dict[str, float]] = [
    {"pages": 1, "noise": 0, "head": 0.81, "whole": 1.00},
    {"pages": 1, "noise": 0.001, "head": 0.65, "whole": 0.56},
    {"pages": 5, "noise": 0, "head": 0.60, "whole": 1.00},
    {"pages": 5, "noise": 0.001, "head": 0.60, "whole": 0.67},
    {"pages": 20, "noise": 0, "head": 0.53, "whole": 1.00},
    {"pages": 20, "noise": 0.001, "head": 0.53, "whole": 0.76},
]


def present(examples: Sequence[Example], features: int) -> NDArray[np.bool_]:
    found = np.zeros(features, bool)
    for columns, _ in examples:
        found[columns] = True
    return found


def by_rows(update: Model) -> NDArray[np.float64]:
    """Score of each word from an update of the whole network: the norm of its row in the first layer."""
    return np.linalg.norm(update["w1"].astype(np.float64), axis=1)


def by_span(before: Model, update: Model) -> NDArray[np.float64]:
    """Score of each word from an update of the head alone.

    The update of the second layer is a sum of outer products with the pages' hidden activations. Its strongest
    direction is
    an activation that the pages share; a word is suspected as far as its row of the first layer points there.
    """
    left, _, _ = np.linalg.svd(update["w2"].astype(np.float64), full_matrices=False)
    direction = left[:, 0] * np.sign(left[:, 0].sum())  # activations are not negative
    scores = before["w1"].astype(np.float64) @ direction
    return np.asarray(scores - scores.mean())


def auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return float(roc_auc_score(truth, scores))


def attacked(
    before: Model, examples: Sequence[Example], labels: Sequence[int], noise: float, seed: int
) -> tuple[float, float]:
    """AUC against the whole network's update and against the head's, with Gaussian noise of that deviation added."""
    rng = np.random.default_rng(seed)
    truth = present(examples, len(before["w1"]))
    update = model.train(before, examples, labels, layers=model.WHOLE)
    head = model.train(before, examples, labels)
    for sent in (update, head):
        for name, array in sent.items():
            sent[name] = array + rng.normal(0, noise, array.shape).astype(np.float32)
    return auc(by_rows(update), truth), auc(by_span(before, head), truth)
