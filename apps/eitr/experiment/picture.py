"""Fig. 14: reputations, accuracy by round, ROC curves of the fresh topic, means over the seeds.

python experiment/picture.py RESULTS.json OUT.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve

FLIPPING = 10


def main() -> None:
    lines = [line for line in json.loads(Path(sys.argv[1]).read_text()) if line["kind"] == "tfidf"]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    reputations(left, [line for line in lines if line["rule"] == "reputation" and line["flipping"] == FLIPPING])
    accuracies(middle, [line for line in lines if line["flipping"] == 0])
    curves(right, [line for line in lines if line["rule"] == "reputation" and line["flipping"] == 0])
    figure.savefig(sys.argv[2], dpi=110)


def reputations(axes: plt.Axes, lines: list[dict]) -> None:
    flipping = np.concatenate([line["reputation"][:FLIPPING] for line in lines])
    honest = np.concatenate([line["reputation"][FLIPPING:] for line in lines])
    bins = np.linspace(0, 1, 41)
    for group, label in ((honest, "40 who say what they think"), (flipping, "10 who say the opposite")):
        axes.hist(group, bins=bins, weights=np.full(len(group), 1 / len(group)), alpha=0.7, label=label)
    axes.set(xlabel="reputation after the last round", ylabel="share of the group", xlim=(0, 1))
    axes.legend(loc="upper left", frameon=False)


def accuracies(axes: plt.Axes, lines: list[dict]) -> None:
    """By round, on the fresh topic (full lines) and on the old ones (dashed)."""
    for colour, rule in enumerate(("reputation", "mean", "median")):
        for style, topic in (("-", "fresh"), ("--", "old")):
            found = [
                [point[topic] for point in (line["frozen"], *line["history"])] for line in lines if line["rule"] == rule
            ]
            mean, rounds = np.mean(found, axis=0), range(len(found[0]))
            axes.plot(rounds, mean, style, c=f"C{colour}", label=rule if topic == "fresh" else None)
            if rule == "reputation":
                axes.fill_between(rounds, mean - np.std(found, axis=0), mean + np.std(found, axis=0), alpha=0.15, lw=0)
    for style, topic in (("-", "fresh"), ("--", "old")):
        frozen = np.mean([line["frozen"][topic] for line in lines])
        axes.axhline(frozen, ls=style, c="gray", lw=1, label="centralised, frozen" if topic == "fresh" else None)
    axes.set(xlabel="round", ylabel="accuracy: fresh topic, and old ones (dashed)", ylim=(0.3, 1))
    axes.legend(loc="center right", bbox_to_anchor=(1, 0.42), frameon=False)


def curves(axes: plt.Axes, lines: list[dict]) -> None:
    for line in lines:
        wrong, found, _ = roc_curve(line["truth"], line["likely"])
        axes.plot(wrong, found, label=f"seed {line['seed']}, AUC {line['history'][-1]['auc']:.2f}")
    axes.plot([0, 1], [0, 1], ls=":", c="gray")
    axes.set(xlabel="false positives", ylabel="fresh messages about health found")
    axes.legend(loc="lower right", frameon=False)


if __name__ == "__main__":
    main()
