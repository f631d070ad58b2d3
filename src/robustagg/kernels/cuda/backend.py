"""The primitives on a GPU, by kernels that NVRTC compiles when they are first needed; see docs/gpu.md.

Rows of the host go there block by block, rows that are there stay there. ImportError where there is no device.
"""

from __future__ import annotations

from typing import Any

from robustagg.kernels.cuda.device import Device
from robustagg.kernels.cuda.primitives import Primitives

device = Device()
primitives = Primitives(device)


def __getattr__(name: str) -> Any:
    return getattr(primitives, name)
