"""Fig. 14: reputations, accuracy by round, ROC curve of the fresh topic. python experiment/picture.py RESULTS.json
OUT.png"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve


def main() -> None:
    lines = json.loads(Path(sys.argv[1]).read_text())
    honest = [line for line in lines if line["flipping"] == 0 and line["layers"] == 4]
    ours = [line for line in honest if line["rule"] == "reputation"]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    left.hist(np.concatenate([line["reputation"] for line in ours]), bins=20)
    left.set(xlabel="reputation after the last round", ylabel="users")
    for rule in ("reputation", "mean", "median"):
        curves = [[point["fresh"] for point in line["history"]] for line in honest if line["rule"] == rule]
        middle.plot(range(1, len(curves[0]) + 1), np.mean(curves, axis=0), label=rule)
    middle.axhline(np.mean([line["frozen"]["fresh"] for line in ours]), ls="--", c="gray", label="centralised, frozen")
    middle.set(xlabel="round", ylabel="accuracy on the fresh topic", ylim=(0, 1))
    middle.legend(loc="lower right")
    for line in ours:
        wrong, found, _ = roc_curve(line["truth"], line["likely"])
        right.plot(wrong, found, label=f"seed {line['seed']}, AUC {line['history'][-1]['auc']:.2f}")
    right.plot([0, 1], [0, 1], ls=":", c="gray")
    right.set(xlabel="false positives", ylabel="true positives")
    right.legend(loc="lower right")
    figure.savefig(sys.argv[2], dpi=110)


if __name__ == "__main__":
    main()
