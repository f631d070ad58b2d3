"""Multi-layer perceptrons in NumPy, the clients of a round trained together: products over a leading client axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg.simulation.models.base import Parameters, Seed, Training, dealt, planned, side_by_side
from robustagg.simulation.models.inputs import Compressed, Inputs
from robustagg.simulation.tasks import Samples

Floats = NDArray[np.float32]

CHUNK = 512  # samples that are scored together


class MLP:
    """Fully connected layers with ReLU between them, log-softmax at the end, and dropout after every hidden layer.

    Parameters
    ----------
    sizes : sequence of int
        Features, units of each hidden layer, classes.
    training : Training
        The descent.
    dropout : float
        Share of the hidden units that a step leaves out, to the nearest 1/256.
    """

    def __init__(self, sizes: Sequence[int], training: Training, dropout: float = 0.0) -> None:
        self.sizes = tuple(sizes)
        self.training = training
        self.kept = round(256 * (1 - dropout))  # of 256
        shapes = [shape for n_in, n_out in pairwise(self.sizes) for shape in ((n_in, n_out), (1, n_out))]
        ends = np.cumsum([a * b for a, b in shapes]).tolist()
        self.parts = [(end - a * b, end, (a, b)) for end, (a, b) in zip(ends, shapes, strict=True)]
        self.d: int = ends[-1]
        self.compressed = Compressed()

    def initial(self, seed: int) -> Parameters:
        """Glorot's uniform weights, no bias."""
        rng = np.random.default_rng(seed)
        flat = np.zeros(self.d, np.float32)
        for weights in self._layers(flat)[::2]:
            bound = np.sqrt(6 / sum(weights.shape))
            weights[...] = rng.uniform(-bound, bound, weights.shape)
        return flat

    def updates(
        self, parameters: Parameters, clients: Sequence[Samples], epochs: Sequence[int], seeds: Sequence[Seed]
    ) -> Parameters:
        """(n, d) what each client's training changes; NaN where it diverges."""
        longest_first, plans = planned(clients, epochs, seeds, self.training.batch)
        trained = np.empty((len(clients), self.d), np.float32)

        def train(cohort: Sequence[int]) -> None:
            layers = [np.tile(layer, (len(cohort), 1, 1)) for layer in self._layers(parameters)]
            orders, rngs = zip(*(plans[client] for client in cohort), strict=True)
            with np.errstate(all="ignore"):
                self._train(layers, [clients[client] for client in cohort], orders, rngs)
                after = np.concatenate([layer.reshape(len(cohort), -1) for layer in layers], axis=1)
                trained[list(cohort)] = after - parameters

        side_by_side(train, dealt(longest_first))
        return trained

    def scores(self, parameters: Parameters, x: Floats) -> Floats:
        """(samples, classes) log-probabilities."""
        matrix = self.compressed.matrix(x)
        values = x if matrix is None else matrix
        chunks = [values[k : k + CHUNK] for k in range(0, len(x), CHUNK)]
        return np.concatenate(side_by_side(partial(self._scores, parameters), chunks))

    def _scores(self, parameters: Parameters, x: Any) -> Floats:
        layers = self._layers(parameters)
        with np.errstate(all="ignore"):
            for k in range(0, len(layers), 2):
                x = np.asarray(x @ layers[k]) + layers[k + 1]
                if k < len(layers) - 2:
                    np.maximum(x, 0, out=x)
            return _log_softmax(x)

    def _layers(self, flat: Parameters) -> list[Floats]:
        """Weights and bias of each layer, as views; a leading axis of clients stays."""
        return [flat[..., start:end].reshape(*flat.shape[:-1], *shape) for start, end, shape in self.parts]

    def _train(
        self,
        layers: Sequence[Floats],
        samples: Sequence[Samples],
        orders: Sequence[NDArray[np.intp]],
        rngs: Sequence[np.random.Generator],
    ) -> None:
        """Train the layers of g clients in place, those with most steps first."""
        steps = np.array([len(order) for order in orders])
        speeds = [np.zeros_like(layer) for layer in layers] if self.training.momentum else []
        inputs = self.compressed.inputs([x for x, _ in samples])
        for step in range(steps[0]):
            active = int((steps > step).sum())
            chosen = np.stack([order[step] for order in orders[:active]])
            heeded = chosen >= 0
            share = (heeded / heeded.sum(axis=1, keepdims=True)).astype(np.float32)[..., None]
            chosen[~heeded] = 0
            inputs.take(chosen)
            y = np.stack([labels[rows] for (_, labels), rows in zip(samples, chosen, strict=False)])
            gradients = self._gradients(layers, inputs, y, share, rngs)
            self._descend([layer[:active] for layer in layers], gradients, [speed[:active] for speed in speeds])

    def _gradients(
        self,
        layers: Sequence[Floats],
        inputs: Inputs,
        y: NDArray[np.intp],
        share: Floats,
        rngs: Sequence[np.random.Generator],
    ) -> list[Floats]:
        """Of each layer's weights and bias, for the clients still active; `share` is a sample's in its batch's mean."""
        sums = inputs.times(layers[0])
        layers = [layer[: len(y)] for layer in layers]
        sums += layers[1]
        outputs: list[Floats] = []
        for k in range(2, len(layers), 2):
            hidden = np.maximum(sums, 0, out=sums)
            if self.kept < 256:
                hidden *= self._mask(hidden.shape, rngs)
            outputs.append(hidden)
            sums = hidden @ layers[k] + layers[k + 1]
        delta = np.exp(_log_softmax(sums))
        np.put_along_axis(delta, y[..., None], np.take_along_axis(delta, y[..., None], -1) - 1, -1)
        delta *= share
        gradients = []
        for k, below in zip(range(len(layers) - 2, 0, -2), outputs[::-1], strict=True):
            gradients += [delta.sum(axis=1, keepdims=True), below.swapaxes(1, 2) @ delta]
            delta = delta @ layers[k].swapaxes(1, 2)
            delta *= below > 0
            if self.kept < 256:
                delta *= np.float32(256 / self.kept)
        gradients += [delta.sum(axis=1, keepdims=True), inputs.transposed_times(delta)]
        return gradients[::-1]

    def _mask(self, shape: tuple[int, ...], rngs: Sequence[np.random.Generator]) -> Floats:
        """What dropout multiplies the units with, each client's drawn by itself."""
        drawn = [np.frombuffer(rng.bytes(shape[1] * shape[2]), np.uint8) for rng in rngs[: shape[0]]]
        return np.asarray((np.stack(drawn).reshape(shape) < self.kept) * np.float32(256 / self.kept))

    def _descend(self, layers: Sequence[Floats], gradients: Sequence[Floats], speeds: Sequence[Floats]) -> None:
        rate = np.float32(self.training.learning_rate)
        for k, (layer, gradient) in enumerate(zip(layers, gradients, strict=True)):
            if speeds:
                speeds[k] *= np.float32(self.training.momentum)
                speeds[k] += gradient
                gradient = speeds[k] * rate
            else:
                gradient *= rate
            layer -= gradient


def _log_softmax(x: Floats) -> Floats:
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
