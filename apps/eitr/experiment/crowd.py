"""Everybody's training of the head at once: the numbers of `eitr.model.train`, which trains one user, 30 times faster.

What the first layer makes of an example never changes, so a step on one example moves the second layer's answer to
another by their inner product: the answers are followed, and the weights made from the steps at the end.
"""

from __future__ import annotations

import numpy as np
from eitr import model
from numpy.typing import NDArray


def train(current: model.Model, first: NDArray, labels: NDArray, rate: float, epochs: int) -> list[model.Model]:
    """Updates of the head; `first` is the first layer's output, (users, examples, 256), `labels` (users, examples)."""
    users, count, _ = first.shape
    b2, w3, b3 = (np.repeat(current[name].astype(float)[None], users, 0) for name in ("b2", "w3", "b3"))
    second = first @ current["w2"].astype(float)  # b2 is added when it is needed
    inner = first @ first.transpose(0, 2, 1)
    steps = np.zeros_like(second)
    everybody = np.arange(users)
    for i in (i for _ in range(epochs) for i in range(count)):
        active = np.maximum(second[:, i] + b2, 0.0)
        error = np.einsum("us,usc->uc", active, w3) + b3
        error = np.exp(error - error.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[everybody, labels[:, i]] -= 1.0
        back = np.where(active > 0, np.einsum("usc,uc->us", w3, error), 0.0)
        w3 -= rate * active[:, :, None] * error[:, None, :]
        b3 -= rate * error
        b2 -= rate * back
        steps[:, i] -= rate * back
        second -= rate * inner[:, i, :, None] * back[:, None, :]
    moved = {"w2": first.transpose(0, 2, 1) @ steps}
    for name, array in (("b2", b2), ("w3", w3), ("b3", b3)):
        moved[name] = array - current[name]
    return [{name: moved[name][user].astype(np.float32) for name in model.HEAD} for user in range(users)]
