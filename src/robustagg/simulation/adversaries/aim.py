"""What an attack is after on a task, and how far it got."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg.simulation.settings import Settings, options_of
from robustagg.simulation.tasks import Samples, Task

Predict: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.intp]]


class Aim:
    """The classes and the trigger of an attack with a target, and the arguments of every attack."""

    def __init__(self, settings: Settings, task: Task) -> None:
        self.settings, self.task = settings, task
        self.payload = settings.attacks[-1] if settings.attacks else "none"

    def arguments(self, attack: str) -> dict[str, Any]:
        """What the settings and the task say to an attack's function."""
        own = {name: value for name, value in self.settings.options.items() if name in options_of(attack)}
        if attack == "label-flip":
            flipped = {"source": self.task.source, "target": self.task.target}
            return {**own, **{name: self._class(own, name, usual) for name, usual in flipped.items()}}
        if attack == "backdoor":
            target = self._class(own, "target", self.task.marked_as)
            trigger = self.task.trigger(own.pop("size", None))
            return {**own, "trigger": trigger, "target": target}
        return own

    def _class(self, options: Mapping[str, Any], option: str, usual: int) -> int:
        """Number of the class that an option names, the usual one where it is not given."""
        return self.task.class_of(options[option]) if option in options else usual

    @cached_property
    def victims(self) -> tuple[Samples, int] | None:
        """Test samples that shall be mistaken, and the class that they shall be taken for; None without a target."""
        x, y = self.task.test
        if self.payload == "label-flip":
            arguments = self.arguments(self.payload)
            hit = y == arguments["source"]
        elif self.payload == "backdoor":
            arguments = self.arguments(self.payload)
            hit = y != arguments["target"]
            x = arguments["trigger"].on(x)
        else:
            return None
        return (x[hit], y[hit]), arguments["target"]

    def success(self, predict: Predict) -> float | None:
        """Share of the targeted test samples that the model takes for the target; None where none are."""
        if self.victims is None or not len(self.victims[0][1]):
            return None
        (x, _), target = self.victims
        return float((predict(x) == target).mean())
