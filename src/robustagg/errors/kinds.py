"""The kinds of exceptions that are not Python's own, signals between layers among them."""

from __future__ import annotations

from collections.abc import Mapping


class NonFinite(Exception):
    """A kernel met a NaN or an infinity. The engine finds out whose it is and runs the round again without them."""


class Unusable(Exception):
    """Clients' updates turned out to be unusable in the middle of a round. The engine begins it again without them."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class NoRound(ValueError):
    """No round can be held with the clients that are left."""


class Unreadable(Exception):
    """A file is not what an update has to be; its text says why. Its client is left out, or the caller told."""


class HeaderTooLong(Unreadable):
    """A file's header is longer than the memory budget has room for."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"a header of {length} bytes, where {limit} are allowed by max_memory")
        self.excess = length / limit


class BackendUnavailable(ImportError):
    """A compute backend was asked for by name and cannot be loaded."""


class OtherVersion(ImportError):
    """A worker has not the version of this package that whoever sent the work has."""


class InvalidLedger(ValueError):
    """A file is not a ledger, or not one that this rule may continue."""
