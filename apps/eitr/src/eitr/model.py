"""The network and its training, in float64 from float32 weights; ``extension/net.js`` is the same in the browser.

A sparse row of features -> 256 -> 32 -> classes, rectified, with a log-softmax. An example is ``(columns, values)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

Model: TypeAlias = dict[str, NDArray[np.float32]]
Example: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]

HEAD = ("w2", "b2", "w3", "b3")
"""What is trained and sent by default: the first layer's update would tell the words of a page."""
WHOLE = ("w1", "b1", *HEAD)
RATE, EPOCHS = 0.05, 2
"""How gently a user trains; chosen by `experiment/fresh.py`."""


def shapes(features: int, classes: int) -> dict[str, tuple[int, ...]]:
    return {"w1": (features, 256), "b1": (256,), "w2": (256, 32), "b2": (32,), "w3": (32, classes), "b3": (classes,)}


def fitted(examples: Sequence[Example], labels: Sequence[int], features: int, classes: int, seed: int = 0) -> Model:
    """The centralised classifier that everything starts from: scikit-learn's, which stops when it gets no better.

    It is what decides how much is forgotten later: one trained too briefly lost a quarter of the old topics.
    """
    network = MLPClassifier((256, 32), early_stopping=True, max_iter=40, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # forty epochs are enough, better or not
        network.fit(matrix(examples, features), np.asarray(labels))
    if list(network.classes_) != list(range(classes)):
        raise ValueError(f"the first model needs examples of each of the {classes} classes")
    weights, biases = network.coefs_, network.intercepts_
    return {
        f"{kind}{i}": array.astype(np.float32)
        for kind, of in (("w", weights), ("b", biases))
        for i, array in enumerate(of, 1)
    }


def matrix(examples: Sequence[Example], features: int) -> csr_matrix:
    """The examples as rows, (n, features)."""
    ends = np.cumsum([0, *(len(columns) for columns, _ in examples)])
    columns, values = (np.concatenate(parts) for parts in zip(*examples, strict=True))
    return csr_matrix((values.astype(np.float64), columns, ends), (len(examples), features))


def hidden(model: Mapping[str, NDArray[np.floating]], example: Example) -> NDArray[np.float64]:
    """The first layer, (256,)."""
    columns, values = example
    return np.maximum(values.astype(np.float64) @ model["w1"][columns].astype(np.float64) + model["b1"], 0.0)


def hiddens(model: Model, examples: Sequence[Example]) -> NDArray[np.float64]:
    """The first layer of all examples at once, (n, 256)."""
    rows = matrix(examples, len(model["w1"]))
    return np.asarray(np.maximum(rows @ model["w1"].astype(np.float64) + model["b1"], 0.0))


def log_probabilities(model: Model, examples: Sequence[Example]) -> NDArray[np.float64]:
    """(n, classes)."""
    return head_log_probabilities(model, hiddens(model, examples))


def head_log_probabilities(model: Model, first: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, classes), from the first layer."""
    second = np.maximum(first @ model["w2"].astype(np.float64) + model["b2"], 0.0)
    scores = second @ model["w3"].astype(np.float64) + model["b3"]
    scores -= scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def accuracy(model: Model, examples: Sequence[Example], labels: Sequence[int]) -> float:
    return float(np.mean(log_probabilities(model, examples).argmax(axis=1) == np.asarray(labels)))


def train(
    model: Model,
    examples: Sequence[Example],
    labels: Sequence[int],
    *,
    layers: Sequence[str] = HEAD,
    rate: float = RATE,
    epochs: int = EPOCHS,
) -> Model:
    """The update, trained model minus `model`, of `layers` (HEAD or WHOLE): SGD, an example at a time, in order."""
    whole = "w1" in layers
    trained = {name: model[name].astype(np.float64) for name in WHOLE}
    first = None if whole else [hidden(trained, example) for example in examples]
    for _ in range(epochs):
        for i, (example, label) in enumerate(zip(examples, labels, strict=True)):
            activation = hidden(trained, example) if first is None else first[i]
            back = _step(trained, activation, label, rate)
            if whole:
                _first_step(trained, example, np.where(activation > 0, back, 0.0), rate)
    return {name: (trained[name] - model[name]).astype(np.float32) for name in layers}


def _step(
    trained: dict[str, NDArray[np.float64]], first: NDArray[np.float64], label: int, rate: float
) -> NDArray[np.float64]:
    """One step of the head; the gradient at the first layer's output, (256,)."""
    second = np.maximum(first @ trained["w2"] + trained["b2"], 0.0)
    scores = second @ trained["w3"] + trained["b3"]
    error = np.exp(scores - scores.max())
    error /= error.sum()
    error[label] -= 1.0
    back = np.where(second > 0, trained["w3"] @ error, 0.0)
    further = trained["w2"] @ back
    trained["w3"] -= rate * np.outer(second, error)
    trained["b3"] -= rate * error
    trained["w2"] -= rate * np.outer(first, back)
    trained["b2"] -= rate * back
    return np.asarray(further)


def _first_step(
    trained: dict[str, NDArray[np.float64]], example: Example, back: NDArray[np.float64], rate: float
) -> None:
    columns, values = example
    trained["w1"][columns] -= rate * np.outer(values.astype(np.float64), back)
    trained["b1"] -= rate * back


def added(model: Model, update: Mapping[str, NDArray[np.float32]]) -> Model:
    """The model after an update; infinite where the sum is too large."""
    with np.errstate(over="ignore"):
        return {name: array + update[name] if name in update else array for name, array in model.items()}


def noisy(update: Model, deviation: float, rng: np.random.Generator) -> Model:
    """The update with Gaussian noise on every number."""
    return {
        name: (array + rng.normal(0, deviation, array.shape)).astype(np.float32) if deviation else array
        for name, array in update.items()
    }
