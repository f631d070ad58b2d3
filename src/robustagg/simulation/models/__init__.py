"""What the clients train: ``softmax``, ``mlp``, ``mlp:256-32``, ``paper``; through torch ``cnn`` and ``resnet18``."""

from __future__ import annotations

import re
from functools import partial

from robustagg import errors
from robustagg.simulation.models.base import Model, Parameters, Training, one_blas_thread
from robustagg.simulation.models.mlp import MLP
from robustagg.simulation.models.network import DEVICES, TorchNetwork, cnn, resnet18
from robustagg.simulation.tasks import Task

__all__ = ["DEVICES", "MODELS", "Model", "Parameters", "Training", "check", "model", "one_blas_thread"]

HIDDEN = {"softmax": "", "mlp": "32", "paper": "256-32"}
DROPOUT = {"paper": 0.5}
IMAGES = {"cnn": cnn, "resnet18": resnet18}
LEAST = {"cnn": 4, "resnet18": 1}  # pixels, the height and width that are left after pooling
MODELS = (*HIDDEN, "mlp:UNITS-UNITS...", *IMAGES)
"""What `model` knows: softmax regression, one hidden layer of 32, any layers, the paper's two; networks of torch."""


def check(name: str) -> None:
    """Raise unless there is such a model."""
    if name not in (*HIDDEN, *IMAGES) and not re.fullmatch(r"mlp:[1-9]\d*(-[1-9]\d*)*", str(name)):
        raise errors.not_one_of("the model", name, MODELS)


def model(name: str, task: Task, training: Training, device: str = "auto") -> Model:
    """The model of this name for a task; the device is that of networks of torch."""
    check(name)
    if name in IMAGES:
        if task.image is None:
            raise errors.no_image_task(name, task.title)
        if min(task.image[1:]) < LEAST[name]:
            raise errors.image_too_small(name, task.image, LEAST[name])
        return TorchNetwork(partial(IMAGES[name], task.image, len(task.classes)), task.image, training, device)
    kind, _, units = name.partition(":")
    hidden = [int(unit) for unit in (units or HIDDEN[kind]).split("-") if unit]
    return MLP([task.features, *hidden, len(task.classes)], training, DROPOUT.get(kind, 0.0))
