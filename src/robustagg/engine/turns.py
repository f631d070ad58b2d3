"""One round of a rule at a time, and its last step in one go."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_making = threading.Lock()


def _forget() -> None:
    """A forked child has none of the threads that hold its parent's locks."""
    global _making
    _locks.clear()
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def turn(rule: Any) -> threading.RLock:
    """The lock that whoever changes or reads a rule's state holds; a copy of the rule has one of its own."""
    lock = _locks.get(rule)
    if lock is None:
        with _making:
            lock = _locks.setdefault(rule, threading.RLock())
    return lock


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C, or another signal that Python handles, waits until the block is done.

    Signals reach Python code in the main thread only; elsewhere there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(signum)):
            before[signum] = signal.signal(signum, wait)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        for number in came:
            signal.raise_signal(number)
