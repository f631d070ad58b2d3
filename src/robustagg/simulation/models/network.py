"""Convolutional networks through torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.simulation.models.base import Parameters, Seed, Training, batches
from robustagg.simulation.tasks import Samples

CHUNK = 500  # images that are scored together


def _torch() -> Any:
    try:
        import torch
    except ImportError as cause:
        raise errors.optional_package("torch", "torch") from cause
    return torch


class TorchNetwork:
    """A torch module as a model; its parameters alone are trained and sent, so it must have no other state.

    Parameters
    ----------
    build : callable
        Makes the module, for images (samples, channels, height, width); its result are logits.
    image : tuple of int
        (channels, height, width).
    training : Training
        The descent.
    """

    def __init__(self, build: Callable[[], Any], image: tuple[int, int, int], training: Training) -> None:
        self.torch = _torch()
        self.build, self.image, self.training = build, image, training
        self.torch.set_num_threads(kernels.num_threads())
        self.module = build()

    def initial(self, seed: int) -> Parameters:
        """torch's own draw."""
        with self.torch.random.fork_rng(devices=[]):
            self.torch.manual_seed(seed)
            return self._flat(self.build())

    def updates(
        self, parameters: Parameters, clients: Sequence[Samples], epochs: Sequence[int], seeds: Sequence[Seed]
    ) -> Parameters:
        """(n, d) what each client's training changes, one client after the other."""
        rows = map(self._trained, [parameters] * len(clients), clients, epochs, seeds)
        return np.asarray(np.stack(list(rows)) - parameters)

    def scores(self, parameters: Parameters, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(samples, classes) log-probabilities."""
        self._load(parameters)
        with self.torch.no_grad():
            logits = [self.module(self._images(x[k : k + CHUNK])) for k in range(0, len(x), CHUNK)]
            return np.asarray(self.torch.log_softmax(self.torch.cat(logits), dim=1).numpy())

    def _trained(self, parameters: Parameters, samples: Samples, epochs: int, seed: Seed) -> Parameters:
        x, y = samples
        self._load(parameters)
        descent = self.torch.optim.SGD(
            self.module.parameters(), lr=self.training.learning_rate, momentum=self.training.momentum
        )
        size = min(self.training.batch, len(y))
        for chosen in batches(len(y), size, size, epochs, np.random.default_rng(seed)):
            chosen = chosen[chosen >= 0]
            descent.zero_grad()
            logits = self.module(self._images(x[chosen]))
            self.torch.nn.functional.cross_entropy(logits, self.torch.from_numpy(y[chosen])).backward()
            descent.step()
        return self._flat(self.module)

    def _images(self, x: NDArray[np.float32]) -> Any:
        return self.torch.from_numpy(x).reshape(-1, *self.image)

    def _load(self, parameters: Parameters) -> None:
        flat = self.torch.from_numpy(parameters.copy())
        with self.torch.no_grad():
            self.torch.nn.utils.vector_to_parameters(flat, self.module.parameters())

    def _flat(self, module: Any) -> Parameters:
        with self.torch.no_grad():
            flat = self.torch.nn.utils.parameters_to_vector(module.parameters())
            return np.array(flat.numpy(), np.float32)


def cnn(image: tuple[int, int, int], classes: int) -> Any:
    """Two convolutions of 5 x 5 with pooling, 32 and 64 channels, and a hidden layer of 128. (McMahan et al., 2017.)"""
    nn = _torch().nn
    channels, height, width = image
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (height // 4) * (width // 4), 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


def resnet18(image: tuple[int, int, int], classes: int) -> Any:
    """ResNet-18 for small images (He et al., 2016): a stem of 3 x 3 without pooling, and group norm in place of batch
    norm, whose running statistics are no parameters (Hsieh et al., 2020)."""
    nn = _torch().nn

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, n_in: int, n_out: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
                nn.GroupNorm(32, n_out),
                nn.ReLU(),
                nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
                nn.GroupNorm(32, n_out),
            )
            same = stride == 1 and n_in == n_out
            short = [nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.GroupNorm(32, n_out)]
            self.short = nn.Identity() if same else nn.Sequential(*short)

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.body(x) + self.short(x))

    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    blocks = [Block(n_in, n_out, 2 if n_in != n_out else 1) for n_in, n_out in pairwise(widths)]
    stem = (nn.Conv2d(image[0], 64, 3, 1, 1, bias=False), nn.GroupNorm(32, 64), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
