"""Every error text of the package, and the one signal that layers pass to each other.

Each function returns the exception for its caller to raise, so that a traceback ends where the fault was found.
A text names the client and the numbers; whoever reads it at night should need no debugger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class NonFinite(Exception):  # noqa: N818 - a signal between layers, not an error that users see
    """A kernel met a NaN or an infinity. The engine finds out whose it is and runs the round again without them."""


class BackendUnavailable(ImportError):  # noqa: N818 - reads as a sentence where it is raised
    """A compute backend was asked for by name and cannot be loaded."""


class InvalidLedger(ValueError):  # noqa: N818
    """A file is not a ledger, or not one that this rule may continue."""


# --- backends and threads -------------------------------------------------------------------------------------------


def unknown_backend(name: object, known: Sequence[str]) -> ValueError:
    return ValueError(f"unknown backend {name!r}; choose one of {', '.join(known)}")


def backend_unavailable(name: str, cause: ImportError) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} is not available here: {cause}")


def bad_thread_count(count: object) -> ValueError:
    return ValueError(f"the number of threads must be an integer of at least 1, got {count!r}")


# --- parameters -----------------------------------------------------------------------------------------------------


def out_of_range(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} must be {allowed}, got {value!r}")


def not_one_of(name: str, value: object, options: Iterable[str]) -> ValueError:
    return ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
