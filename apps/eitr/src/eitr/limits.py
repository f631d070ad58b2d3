"""How often a client or a host may ask."""

from __future__ import annotations

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from eitr.store import Refused


class Rates:
    """Moving windows, in memory: after a restart everybody starts afresh."""

    def __init__(self) -> None:
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, rate: str, *who: str) -> None:
        if not self._windows.hit(parse(rate), *who):
            raise Refused(429, f"more than {rate.replace('/', ' requests a ')}")
