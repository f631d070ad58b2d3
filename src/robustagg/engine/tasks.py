"""What runs as a task of Ray: a round's work, given its parts; and what is brought back of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from robustagg import config, errors


def unpacked(task: tuple[Any, ...]) -> tuple[Any, ...]:
    """A task with its partition's pieces as arguments of their own: Ray brings these before the task begins."""
    partition, *more = task
    return replace(partition, pieces=dict.fromkeys(partition.pieces)), *partition.pieces.values(), *more


def given(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work on such a task; of a fault it tells, as Ray writes all faults down that nobody asks for."""

    def with_pieces(common: Any, partition: Any, *rest: Any) -> Any:
        n = len(partition.pieces)
        own = replace(partition, pieces=dict(zip(partition.pieces, rest[:n], strict=True)))
        try:
            return work(common, own, *rest[n:])
        except Exception as fault:
            return fault, None

    with_pieces.__name__ = work.__name__
    return with_pieces


def versioned(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, done by the version that the caller has or not at all."""
    sender = config.__version__

    def checked(*arguments: Any) -> Any:
        if config.__version__ != sender:
            raise errors.other_version(sender, config.__version__)
        return work(*arguments)

    checked.__name__ = work.__name__
    return checked


def probe(common: None, piece: Any) -> None:
    """Done where a piece is, if it is anywhere."""


def fetched(refs: Sequence[Any]) -> list[Any]:
    """What object references stand for; in place of what is lost, or came to nothing, :class:`errors.Unreadable`."""
    import ray

    if refs:
        ray.wait(list(refs), num_returns=len(refs))  # all of them on their way at once
    found: list[Any] = []
    for ref in refs:
        try:
            found.append(ray.get(ref))
        except Exception as fault:  # the task's that was to make it, or Ray's
            if (told := unfit(fault)) is not None:
                raise told from None
            found.append(errors.reference_lost(getattr(fault, "cause", None) or fault))
    return found


def unfit(fault: Exception) -> Exception | None:
    """What is wrong with a worker that cannot do our work, if that is what it says: it is no client's fault."""
    cause = getattr(fault, "cause", None) or fault
    if isinstance(cause, errors.OtherVersion):
        return cause
    without = type(cause).__name__ == "RaySystemError" and "No module named 'robustagg" in str(cause)
    return errors.worker_without() if without else None
