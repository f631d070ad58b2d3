"""Old examples that every user trains on beside its own, so that a new topic does not push the old ones out;
``extension/replay.js`` is the same but for the dice.

The server hands them out: they are nobody's secret, and they drown a single page's words in known ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eitr.model import Example

COUNT = 40
"""How many of them a user draws in a round; chosen by `experiment/fresh.py`."""
STOCK = 50
"""How many of each class the server hands out."""


def stock(examples: Sequence[Example], labels: Sequence[int]) -> list[dict[str, Any]]:
    """The first STOCK of each class, ready for JSON."""
    found, kept = [], dict.fromkeys(labels, 0)
    for (columns, values), label in zip(examples, labels, strict=True):
        if kept[label] < STOCK:
            found.append({"columns": columns.tolist(), "values": values.tolist(), "label": int(label)})
            kept[label] += 1
    return found


def mixed(
    examples: Sequence[Example], labels: Sequence[int], old: Sequence[dict[str, Any]], rng: np.random.Generator
) -> tuple[list[Example], list[int]]:
    """A user's own examples and COUNT of the stock, of each class as many as of another, in random order."""
    by_class: dict[int, list[dict[str, Any]]] = {}
    for one in old:
        by_class.setdefault(one["label"], []).append(one)
    order = rng.permutation(sorted(by_class))
    drawn = [by_class[order[i % len(order)]] for i in range(COUNT if old else 0)]
    chosen = [of[rng.integers(len(of))] for of in drawn]
    again = [(np.array(one["columns"], np.int64), np.array(one["values"], np.float32)) for one in chosen]
    both = [*zip(examples, labels, strict=True), *zip(again, (one["label"] for one in chosen), strict=True)]
    shuffled = [both[i] for i in rng.permutation(len(both))]
    return [example for example, _ in shuffled], [label for _, label in shuffled]
