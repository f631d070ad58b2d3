"""How far a round has come, for those who watch."""

from __future__ import annotations

import copy
from collections.abc import Callable

from robustagg.files.survey import Survey


class Progress:
    """Bytes read, of the bytes that the passes planned will read; more if the round has to begin again."""

    def __init__(self, callback: Callable[[int, int], None] | None, found: Survey, passes: int) -> None:
        self._callback, self.passes = callback, passes
        self._votes = sum(tensor.nbytes for tensor in found.tensors if tensor.votes)
        self._rest = sum(tensor.nbytes for tensor in found.tensors) - self._votes
        equal = sum(tensor.nbytes for tensor in found.tensors if tensor.action == "equal")  # read once more, before
        self._done, self._total = 0, len(found.files) * (passes * self._votes + self._rest + equal)

    def begin_pass(self, clients: int) -> None:
        self._total = max(self._total, self._done + clients * (self._votes + self._rest))

    @property
    def unwatched(self) -> Progress:
        """One that tells nobody."""
        progress = copy.copy(self)
        progress._callback = None
        return progress

    def add(self, nbytes: int) -> None:
        self._done += nbytes
        if self._callback is not None:
            self._callback(self._done, self._total)
