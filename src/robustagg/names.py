"""Names of types that every layer uses."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Client: TypeAlias = int | str
Floats: TypeAlias = NDArray[np.float64]
