"""The primitives, one name in four backends, and the choice between them.

``active()`` is the backend in force: the one of the innermost :func:`use_backend`, else the one that the environment
variable ``ROBUSTAGG_BACKEND`` names when it is first asked for, else the fastest that can be loaded. A backend asked
for by name that cannot be loaded is an error, never a silent fallback.
"""

from __future__ import annotations

import importlib
import os
import re
from contextvars import ContextVar, Token
from functools import cache
from typing import cast

from robustagg import errors
from robustagg.kernels.interface import Detection, Kernels, Rows

__all__ = [
    "BACKENDS",
    "Detection",
    "Kernels",
    "Rows",
    "active",
    "active_name",
    "available",
    "num_threads",
    "set_num_threads",
    "stay",
    "use_backend",
]

BACKENDS = {
    "native": "robustagg.kernels.native",
    "numba": "robustagg.kernels.numba",
    "numpy": "robustagg.kernels.numpy",
    "cuda": "robustagg.kernels.cuda.backend",
}
"""By name, the module; for rows of the host the fastest first, among which a GPU at the end of a bus is none."""
MOST_THREADS = 256  # systems refuse thousands, and OpenMP then ends the process

_forced: ContextVar[str | None] = ContextVar("robustagg_backend", default=None)
_threads: int | None = None


@cache
def _load(name: str) -> Kernels:
    if name not in BACKENDS:
        raise errors.unknown_backend(name, BACKENDS)
    try:
        return cast(Kernels, importlib.import_module(BACKENDS[name]))
    except ImportError as cause:
        raise errors.backend_unavailable(name, cause) from cause


@cache
def _default_backend() -> str:
    name = os.environ.get("ROBUSTAGG_BACKEND") or next(name for name in BACKENDS if _loads(name))
    if name not in BACKENDS:
        raise errors.unknown_backend(name, BACKENDS)
    return name


@cache
def _default() -> Kernels:
    return _load(_default_backend())


@cache
def _loads(name: str) -> bool:
    try:
        _load(name)
    except errors.BackendUnavailable:
        return False
    return True


def available() -> tuple[str, ...]:
    """Names of the backends that can be loaded here, fastest first."""
    return tuple(name for name in BACKENDS if _loads(name))


def active_name() -> str:
    """Name of the backend in force."""
    return _forced.get() or _default_backend()


def stay() -> bool:
    """Whether tensors on a device are to stay there: not if another backend was named, or CUDA's cannot be loaded."""
    named = _forced.get() or os.environ.get("ROBUSTAGG_BACKEND")
    return (named == "cuda" and bool(_load(named))) or (not named and _loads("cuda"))


def active() -> Kernels:
    """The backend in force."""
    name = _forced.get()
    return _load(name) if name else _default()


class Switched:
    """What ends a switch of the backend, with a ``with`` block."""

    def __init__(self, token: Token[str | None]) -> None:
        self._token = token

    def __enter__(self) -> None:
        """The switch has taken place."""

    def __exit__(self, *_: object) -> None:
        _forced.reset(self._token)


def use_backend(name: str) -> Switched:
    """Compute with the backend `name` from now on, in this thread or task; in a ``with`` statement, until its end.

    Parameters
    ----------
    name : {"native", "numba", "numpy", "cuda"}
        The backend.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    BackendUnavailable
        If it cannot be loaded here (an :class:`ImportError`).

    Examples
    --------
    >>> import robustagg as ra
    >>> with ra.use_backend("numpy"):
    ...     ra.Median()([[1.0], [2.0], [900.0]])
    array([2.])
    """
    _load(name)
    return Switched(_forced.set(name))


def num_threads() -> int:
    """Threads that a kernel may use: what was set, else ``OMP_NUM_THREADS``, else the processors of this process."""
    return _threads or _default_threads()


@cache
def _default_threads() -> int:
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if re.fullmatch("[0-9]{1,9}", first) and int(first) > 0:
        return min(int(first), MOST_THREADS)
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, MOST_THREADS)


def set_num_threads(count: int | None) -> None:
    """Let each kernel use `count` threads, at most 256; None goes back to the default. Results do not depend on it.

    Parameters
    ----------
    count : int or None
        At least 1.

    Raises
    ------
    ValueError
        If it is neither None nor an integer of at least 1.
    """
    global _threads
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise errors.bad_thread_count(count)
    _threads = None if count is None else min(count, MOST_THREADS)
