"""One round of a rule at a time, and its last step in one go."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal makes enums of what it is told, 10 microseconds a round
import os
import signal
import threading
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


SIGNALS = (int(signal.SIGINT), int(signal.SIGTERM))


class uninterrupted:
    """Ctrl-C, or another signal that Python handles, waits until the block is done.

    Signals reach Python code in the main thread only; elsewhere there is nothing to hold back.
    """

    def __enter__(self) -> None:
        self._came: list[int] = []
        before: list[tuple[int, Any]] = []
        self._before = before
        for number in SIGNALS:
            if callable(handler := _signal.getsignal(number)):
                before.append((number, handler))
                try:
                    _signal.signal(number, self._wait)
                except ValueError:  # not the main thread
                    before.clear()
                    return

    def _wait(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            _signal.signal(number, handler)
        for number in self._came:
            signal.raise_signal(number)
