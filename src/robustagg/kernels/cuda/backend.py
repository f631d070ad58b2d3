"""The primitives on a GPU, by kernels that NVRTC compiles when they are first needed; see docs/gpu.md.

Rows of the host go there block by block, rows that are there stay there. ImportError where there is no device, and
where one does not answer as the specification does: then tensors go by way of the host.
"""

from __future__ import annotations

from typing import Any

from robustagg.kernels.cuda.device import Device
from robustagg.kernels.cuda.primitives import Primitives
from robustagg.kernels.cuda.trial import answers

device = Device()
primitives = Primitives(device)

answers(primitives)


def __getattr__(name: str) -> Any:
    return getattr(primitives, name)
