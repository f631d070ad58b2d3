"""What an update gives away: prints what `eitr.privacy.MEASURED` holds.

python experiment/privacy.py
"""

from __future__ import annotations

import itertools

import newsgroups
import numpy as np
from eitr import features, model, privacy, replay
from sklearn.metrics import roc_auc_score

ROUNDS, NOISES = (1, 10), (0.0, 0.03)
USERS = 20


def main() -> None:
    texts = newsgroups.read(0)
    vocabulary = features.fit([text for text, _ in texts.train], newsgroups.CLASSES)
    known, seen = (features.extract(vocabulary, [text for text, _ in part]) for part in (texts.train, texts.test))
    labels = [label for _, label in texts.train]
    truth = np.array([label for _, label in texts.test])
    first = model.fitted(known, labels, features.width(vocabulary), len(newsgroups.CLASSES))
    wrong = np.flatnonzero(model.log_probabilities(first, seen).argmax(axis=1) != truth)  # what people correct
    print(len(wrong), "messages to correct; by frequency alone", frequency(vocabulary, [seen[i] for i in wrong]))
    for old in ([], replay.stock(known, labels)):
        attacker = privacy.Attacker(first, old)
        for count, rounds, noise in itertools.product((1, 5, 20), ROUNDS if old else (1,), NOISES if old else (0.0,)):
            found: dict[str, list] = {"head": [], "whole": []}
            for user in range(USERS):
                own = np.random.default_rng(user).choice(wrong, count, replace=False)
                pages = [seen[i] for i in own]
                for name, aucs in attacker.auc(pages, truth[own].tolist(), noise, rounds, user).items():
                    found[name].append(aucs)
            best = {name: float(np.max(np.mean(aucs, axis=0)).round(2)) for name, aucs in found.items()}
            print(dict(old=len(old), pages=count, rounds=rounds, noise=noise, **best), flush=True)


def frequency(vocabulary: dict, pages: list) -> float:
    """What somebody without any update finds out, who says that the most frequent words are on the page."""
    scores = -np.array(vocabulary["idf"])
    return float(np.mean([roc_auc_score(privacy.present([page], len(scores)), scores) for page in pages]).round(2))


if __name__ == "__main__":
    main()
