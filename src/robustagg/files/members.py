"""The bytes of a zip archive's members, without holding more than a piece of them."""

from __future__ import annotations

import zlib
from typing import Any

from robustagg import errors
from robustagg.files.storage import Handle
from robustagg.files.tensors import DEFLATED

PIECE = 2**14  # compressed bytes that are read at a time
INFLATER = 2**16  # bytes that a member being inflated holds, rounded up


class Member:
    """One member, read front to back; its length and checksum must turn out as the archive's directory says."""

    def __init__(self, name: str, place: Any) -> None:
        self._name, self._at, self._left = name, int(place["offset"]), int(place["packed"])
        self._expected, self._checksum = int(place["checksum"]), 0
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if place["kind"] == DEFLATED else None

    def read_into(self, handle: Handle, view: memoryview) -> None:
        """Fill the view from the next bytes."""
        if self._inflater is None:
            if len(view) > self._left:
                raise errors.member_ends(self._name)
            handle.read_into(self._at, view)
            self._at, self._left = self._at + len(view), self._left - len(view)
        else:
            done = 0
            while done < len(view):
                data = self._inflate(handle, len(view) - done)
                if not data:
                    raise errors.member_ends(self._name)
                view[done : done + len(data)] = data
                done += len(data)
        self._checksum = zlib.crc32(view, self._checksum)

    def finish(self, handle: Handle) -> None:
        """Nothing may follow, and the checksum must be right."""
        ended = self._left == 0 if self._inflater is None else not self._inflate(handle, 1)
        if not ended:
            raise errors.member_goes_on(self._name)
        if self._checksum != self._expected:
            raise errors.wrong_checksum(self._name)

    def _inflate(self, handle: Handle, limit: int) -> bytes:
        """At least one and at most `limit` more bytes; none at the end."""
        inflater = self._inflater
        assert inflater is not None
        while not inflater.eof:
            packed = inflater.unconsumed_tail
            if not packed:
                size = min(PIECE, self._left)
                packed = handle.read(self._at, size)
                self._at, self._left = self._at + size, self._left - size
            try:
                data = inflater.decompress(packed, limit)
            except zlib.error as fault:
                raise errors.damaged_member(self._name, fault) from None
            if data:
                return data
            if not packed:
                raise errors.member_ends(self._name)
        return b""
