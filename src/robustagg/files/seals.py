"""What each client's bytes were in the first pass, so that every later pass is known to have seen the same.

A file can change between two passes with its size, its inode and all its times as they were: a store through a shared
mapping sets them late, or never.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence

import numpy as np

from robustagg.kernels.interface import Array

WORDS = 2**14  # 32-bit words that are hashed at a time: they and their keys stay in the cache


class Seals:
    """A keyed digest of each client's rows.

    A strip of 32-bit words w becomes the sum of k w modulo 2^64, with secret 64-bit keys k. Two different strips
    have the same sum with a probability of at most 2^-32 (multilinear hashing, Lemire and Kaser, Comput. J. 57, 2014).
    The sums go through BLAKE2.
    """

    def __init__(self, secret: bytes | None = None, first: Mapping[int, bytes] | None = None) -> None:
        key = secrets.token_bytes(32) if secret is None else secret
        self._keys = np.frombuffer(hashlib.shake_256(key).digest(WORDS * 8), np.uint64)
        self.first = dict(first or {})
        """The digests of the first pass."""
        self._now: dict[int, hashlib.blake2b] = {}

    def begin(self, kept: Sequence[int]) -> None:
        """A pass over these clients."""
        self._now = {i: hashlib.blake2b(digest_size=16) for i in kept}

    def add(self, rows: Array) -> None:
        """The next piece of each client's row."""
        for row, digest in zip(rows, self._now.values(), strict=True):
            values = row.view(np.uint8)
            words = values[: len(values) // 4 * 4].view(np.uint32)
            sums = [self._sum(words[start : start + WORDS]) for start in range(0, words.size, WORDS)]
            digest.update(np.array(sums, np.uint64).tobytes() + values[words.size * 4 :].tobytes())

    def changed(self) -> list[int]:
        """Who is not as in the first pass, at the end of one."""
        digests = {i: digest.digest() for i, digest in self._now.items()}
        return [i for i, digest in digests.items() if self.first.setdefault(i, digest) != digest]

    def _sum(self, words: Array) -> np.uint64:
        return np.dot(words.astype(np.uint64), self._keys[: words.size])  # type: ignore[no-any-return]
