"""A small network whose parameters are one flat float32 vector: what clients train and the server aggregates."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.simulation.data import CLASSES, SIDE, Samples

Parameters: TypeAlias = NDArray[np.float32]

HIDDEN = 32
LEARNING_RATE = 0.2
BATCH = 32


class Network:
    """scikit-learn's multi-layer perceptron, 64-32-10, trained by plain SGD: no state but the parameters."""

    def __init__(self, seed: int) -> None:
        try:
            from sklearn.neural_network import MLPClassifier
        except ImportError as cause:
            raise errors.optional_package("scikit-learn", "sim") from cause
        self.model = MLPClassifier(
            (HIDDEN,), solver="sgd", learning_rate_init=LEARNING_RATE, momentum=0.0, alpha=0.0, random_state=seed
        )
        # one step on blank samples makes scikit-learn draw the initial parameters
        self.model.batch_size = CLASSES
        self.model.partial_fit(
            np.zeros((CLASSES, SIDE * SIDE), np.float32), np.arange(CLASSES), classes=np.arange(CLASSES)
        )

    @property
    def parameters(self) -> Parameters:
        """(d,) a copy."""
        return np.concatenate([layer.ravel() for layer in self._layers])

    @parameters.setter
    def parameters(self, flat: Parameters) -> None:
        start = 0
        for layer in self._layers:
            layer[...] = flat[start : start + layer.size].reshape(layer.shape)
            start += layer.size

    @property
    def _layers(self) -> list[NDArray[np.float32]]:
        return [*self.model.coefs_, *self.model.intercepts_]

    def update(self, parameters: Parameters, samples: Samples, epochs: int, seed: int) -> Parameters:
        """What training from `parameters` changes; NaN where training diverges."""
        self.parameters = parameters
        self.model.random_state = np.random.RandomState(seed)
        self.model.batch_size = min(BATCH, len(samples[1]))
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                for _ in range(epochs):
                    self.model.partial_fit(*samples)
        except ValueError:  # scikit-learn's word for parameters that are no longer finite
            return np.full_like(parameters, np.nan)
        return self.parameters - parameters

    def predict(self, parameters: Parameters, x: NDArray[np.float32]) -> NDArray[np.intp]:
        """Class of each sample."""
        self.parameters = parameters
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.model.predict(x))
