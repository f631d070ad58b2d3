"""A device where there is none: torch's tensors say that they are on it, and CuPy shares their memory, the host's."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
from cuda_host import Host, There

from robustagg import kernels
from robustagg.kernels.cuda.primitives import Primitives


class Counting(Host):
    """A machine that launches nothing, finds zeros, and counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__(resident=False)
        self.counted: Counter[str] = Counter()
        self.arrays = SimpleNamespace(empty=lambda *told: There.of(np.zeros(*told)), zeros=self._zeros)

    def _zeros(self, *told: Any) -> There:
        self.counted["zeros"] += 1
        return There.of(np.zeros(*told))

    def bring(self, array: Any) -> Any:
        self.counted["sent"] += not self.holds(array)
        return super().bring(array)

    def home(self, array: Any) -> Any:
        self.counted["brought home"] += self.holds(array)
        return super().home(array)

    def launch(self, *launched: Any) -> None:
        for value in launched[-1]:
            assert isinstance(value, np.generic) or self.holds(value)
        self.counted["launched"] += 1


class Event:
    cuda_event = 7


class Device:
    """What is asked of CuPy and of torch's streams."""

    def __init__(self, monkeypatch: Any, torch: Any, machine: Host | None = None) -> None:
        self.machine, self.shared, self.waits = machine or Counting(), 0, []
        self.index, self.stream = 0, 0
        self.copied: list[Any] = []
        self._at_home: set[int] = set()
        self._events: weakref.WeakSet[Event] = weakref.WeakSet()
        place, cpu, to = torch.device("cuda", 0), torch.device("cpu"), torch.Tensor.to
        here = lambda tensor: tensor.data_ptr() in self._at_home  # noqa: E731

        def moved(tensor: Any, *told: Any, **named: Any) -> Any:
            self.copied += [one for one in told if isinstance(one, torch.device) and one != place]
            return to(tensor, *(one for one in told if not isinstance(one, torch.device)), **named)

        monkeypatch.setitem(sys.modules, "cupy", self._cupy())
        monkeypatch.setattr(torch.cuda, "current_stream", self._of_torch)
        monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: not here(tensor)), raising=False)
        device = property(lambda tensor: cpu if here(tensor) else place)
        monkeypatch.setattr(torch.Tensor, "device", device, raising=False)
        monkeypatch.setattr(torch.Tensor, "to", moved)
        monkeypatch.setattr(torch, "from_dlpack", lambda array: torch.from_numpy(array.get()))
        monkeypatch.setattr(kernels, "stay", lambda: kernels._forced.get() in (None, "cuda"))
        loaded, ours = kernels._load, Primitives(self.machine)
        monkeypatch.setattr(kernels, "_load", lambda name: ours if name == "cuda" else loaded(name))

    def at_home(self, tensor: Any) -> Any:
        """A tensor that says it is at the host."""
        self._at_home.add(tensor.data_ptr())
        return tensor

    def _cupy(self) -> Any:
        runtime = SimpleNamespace(getDevice=lambda: self.index, streamWaitEvent=self._waited)
        cuda = SimpleNamespace(
            get_current_stream=lambda: SimpleNamespace(ptr=0),
            UnownedMemory=self._memory,
            MemoryPointer=lambda memory, offset: memory,
            runtime=runtime,
        )
        return SimpleNamespace(
            ndarray=There,
            asarray=lambda values: values if isinstance(values, There) else There.of(getattr(values, "values", values)),
            ascontiguousarray=lambda values: There.of(np.ascontiguousarray(values.get())),
            cuda=cuda,
        )

    def _memory(self, pointer: int, size: int, owner: Any, device: int) -> Any:
        self.shared += 1
        memory = (ctypes.c_char * max(size, 1)).from_address(pointer) if pointer else (ctypes.c_char * 1)()
        memory.owner = owner
        return memory

    def _waited(self, stream: int, event: int) -> None:
        (recorded,) = self._events  # it must not be destroyed before
        assert recorded.cuda_event == event
        self.waits.append((stream, event))

    def _of_torch(self, device: Any) -> Any:
        return SimpleNamespace(cuda_stream=self.stream, record_event=self._recorded)

    def _recorded(self) -> Event:
        event = Event()
        self._events.add(event)
        return event
