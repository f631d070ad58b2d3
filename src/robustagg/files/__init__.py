"""Rounds over files that are larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike

from robustagg.protocol import Client, Result
from robustagg.rules.base import Rule

__all__ = ["aggregate_files"]


def aggregate_files(
    rule: Rule,
    paths: Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    ids: Iterable[Client] | None = None,
    sample_counts: Sequence[float] | Mapping[Client, float] | None = None,
    round: int | None = None,
    max_memory: int | str = "1 GiB",
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Aggregate one file per client, block by block."""
    raise NotImplementedError
