"""One round of a rule, or of an intake, at a time, and its last step in one go."""

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


def turn(owner: Any) -> threading.RLock:
    """The lock that whoever changes or reads the state of a rule or an intake holds; a copy has one of its own."""
    lock = _locks.get(owner)
    if lock is None:
        with _making:
            lock = _locks.setdefault(owner, threading.RLock())
    return lock


SIGNALS = (int(signal.SIGINT), int(signal.SIGTERM))


class uninterrupted:
    """Ctrl-C, or another signal that Python handles, waits until the block is done.

    Signals reach Python code in the main thread only; elsewhere there is nothing to hold back.
    """

    def __enter__(self) -> None:
        self._came: list[int] = []
        self._before: list[tuple[int, Any]] = []
        try:
            for number in SIGNALS:
                if callable(handler := _signal.getsignal(number)):
                    self._before.append((number, handler))
                    _signal.signal(number, self._wait)
        except ValueError:  # not the main thread
            self._before.clear()
        except BaseException:  # one signal's handler, before the other waits
            self._release()
            raise

    def _wait(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        """Handlers in their places again, then what has come; an exception of one keeps none of the others back."""
        try:
            while self._before:
                _signal.signal(*self._before[-1])
                self._before.pop()
            while self._came:
                signal.raise_signal(self._came.pop(0))
        except BaseException:
            self._release()
            raise
