"""Convolutional networks through torch, the clients of a round trained together where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import errors, kernels
from robustagg.simulation.models.base import Parameters, Seed, Training, planned
from robustagg.simulation.tasks import Samples

DEVICES = ("auto", "cpu", "cuda")
"""Where networks of torch may be trained."""

TOGETHER = {
    "cpu": 1,
    "cuda": 16,
}  # clients that are trained at once: on a processor, convolutions of several are slower
CHUNK = 500  # images that are scored together


def _torch() -> Any:
    try:
        import torch
    except ImportError as cause:
        raise errors.optional_package("torch", "torch") from cause
    return torch


def _device(name: str) -> str:
    """The device of a name."""
    found = _torch().cuda.is_available()
    if name == "cuda" and not found:
        raise errors.no_device(name)
    return {"auto": "cuda" if found else "cpu"}.get(name, name)


@contextmanager
def exact() -> Iterator[None]:
    """Within, a GPU computes in full float32 and the same bits each time; the process has its own settings again after.

    By default cuDNN rounds what it convolves to the 11 bits of TF32; flags that a kernel has read are those of its
    operation where torch (2.9 on) knows such, and they alone agree with whatever a process has set.
    """
    backends = _torch().backends
    of_operations = hasattr(backends.cudnn, "conv")
    name, value = ("fp32_precision", "ieee") if of_operations else ("allow_tf32", False)
    convolution = backends.cudnn.conv if of_operations else backends.cudnn
    settings = (
        (backends.cudnn, "deterministic", True),
        (backends.cudnn, "benchmark", False),
        (convolution, name, value),
        (backends.cuda.matmul, name, value),
    )
    before = [getattr(owner, name) for owner, name, _ in settings]
    try:
        for setting in settings:
            setattr(*setting)
        yield
    finally:
        for (owner, name, _), value in zip(settings, before, strict=True):
            setattr(owner, name, value)


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
    device : {"auto", "cpu", "cuda"}
        Where it is trained: a GPU if torch finds one, the processor, a GPU.
    """

    def __init__(
        self, build: Callable[[], Any], image: tuple[int, int, int], training: Training, device: str = "auto"
    ) -> None:
        self.torch = _torch()
        self.build, self.image, self.training = build, image, training
        self.device = _device(device)
        self.torch.set_num_threads(kernels.num_threads())
        self.module = build()
        self.names, each = zip(*self.module.named_parameters(), strict=True)
        self.shapes = [parameter.shape for parameter in each]
        self.held: dict[int, tuple[NDArray[np.float32], Any]] = {}

    def initial(self, seed: int) -> Parameters:
        """torch's own draw, the same for every device."""
        with self.torch.random.fork_rng(devices=[]):
            self.torch.manual_seed(seed)
            each = [parameter.detach().numpy().ravel() for parameter in self.build().parameters()]
        return np.asarray(np.concatenate(each), np.float32)

    def updates(
        self, parameters: Parameters, clients: Sequence[Samples], epochs: Sequence[int], seeds: Sequence[Seed]
    ) -> Parameters:
        """(n, d) what each client's training changes; NaN where it diverges."""
        longest_first, plans = planned(clients, epochs, seeds, self.training.batch)
        trained = np.empty((len(clients), len(parameters)), np.float32)
        together = TOGETHER[self.device]
        for k in range(0, len(clients), together):
            cohort = longest_first[k : k + together]
            orders = [plans[client][0] for client in cohort]
            with exact():
                trained[cohort] = self._trained(parameters, [clients[client] for client in cohort], orders)
        return trained

    def scores(self, parameters: Parameters, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(samples, classes) log-probabilities."""
        parts, images = self._parts(parameters), self._images(x)
        with self.torch.no_grad(), exact():
            logits = [self._logits(parts, images[k : k + CHUNK]) for k in range(0, len(x), CHUNK)]
            return np.asarray(self.torch.cat(logits).log_softmax(dim=1).cpu().numpy())

    def _trained(
        self, parameters: Parameters, samples: Sequence[Samples], orders: Sequence[NDArray[np.intp]]
    ) -> Parameters:
        """(g, d) what the training of g clients changes, those with most steps first."""
        plan = np.full((len(orders[0]), len(orders), orders[0].shape[1]), -1)
        for client, order in enumerate(orders):
            plan[: len(order), client] = order
        counts = (plan >= 0).sum(axis=2)
        starts = np.cumsum([0, *(len(y) for _, y in samples[:-1])])
        chosen = self._sent(plan.clip(0) + starts[:, None])
        share = self._sent(((plan >= 0) / np.maximum(counts, 1)[..., None]).astype(np.float32))
        images = self.torch.cat([self._images(x) for x, _ in samples])
        labels = self._sent(np.concatenate([y for _, y in samples]))
        weights = [part.repeat(len(samples), *[1] * part.dim()) for part in self._parts(parameters)]
        speeds = [self.torch.zeros_like(weight) for weight in weights] if self.training.momentum else []
        for step, sizes in enumerate(counts):
            active, widest = int((sizes > 0).sum()), int(sizes.max())
            rows = chosen[step, :active, :widest]
            now = [weight[:active] for weight in weights]
            gradients = self._gradients(now, images[rows], labels[rows], share[step, :active, :widest])
            self._descend(now, gradients, [speed[:active] for speed in speeds])
        after = self.torch.cat([weight.flatten(1) for weight in weights], dim=1).cpu().numpy()
        return np.asarray(after - parameters)

    def _gradients(self, weights: Sequence[Any], images: Any, labels: Any, share: Any) -> Sequence[Any]:
        """Of each client's negative log-likelihood, in which a sample has a share: those of their sum, as none has a
        part in another's. A single client's is made without the detour of an axis of clients."""
        leaves = [weight.detach().requires_grad_() for weight in weights]
        if len(images) > 1:
            logits = self.torch.func.vmap(self._logits)(leaves, images)
        else:
            logits = self._logits([leaf.squeeze(0) for leaf in leaves], images.squeeze(0))[None]
        scores = logits.log_softmax(dim=-1).gather(-1, labels[..., None]).squeeze(-1)
        return self.torch.autograd.grad(-(scores * share).sum(), leaves)  # type: ignore[no-any-return]

    def _descend(self, weights: Sequence[Any], gradients: Sequence[Any], speeds: Sequence[Any]) -> None:
        for k, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            if speeds:
                gradient = speeds[k].mul_(self.training.momentum).add_(gradient)
            weight.sub_(gradient, alpha=self.training.learning_rate)

    def _logits(self, parts: Sequence[Any], images: Any) -> Any:
        named = dict(zip(self.names, parts, strict=True))
        return self.torch.func.functional_call(self.module, named, (images,))

    def _parts(self, parameters: Parameters) -> list[Any]:
        """The module's parameters on the device."""
        flat = self._sent(parameters).split([shape.numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(flat, self.shapes, strict=True)]

    def _images(self, x: NDArray[np.float32]) -> Any:
        """Samples as images on the device, where they stay: they are the same in every round."""
        if id(x) not in self.held:
            self.held[id(x)] = (x, self._sent(x).reshape(-1, *self.image))
        return self.held[id(x)][1]

    def _sent(self, values: NDArray[Any]) -> Any:
        return self.torch.tensor(values, device=self.device)


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
