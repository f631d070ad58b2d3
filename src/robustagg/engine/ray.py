"""Work on the machines of a Ray cluster."""

from __future__ import annotations

import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from robustagg import errors
from robustagg.engine.tasks import fetched, given, probe, unfit, unpacked, versioned

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Ray"]

AHEAD = 2  # tasks begun for each that runs: the next one's pieces are on their way
PATIENCE = 10  # seconds that an address has to answer


class Ray:
    """Has the work of a round done by plain Ray tasks: ``aggregate_files(..., executor=Ray(address))``.

    ``rule.aggregate(refs, executor=Ray(address))`` is a round of updates in Ray's object store, each an ``ObjectRef``
    to what the rule takes without; the result's update is one, too.

    A task reads one stretch of the clients' files, and writes that of the result. What it notes stays in the object
    store of the node that made it; what is added up over the model, numbers per client or pair of clients, comes to the
    caller. A task that is lost with its worker or its node is done again, and gives the same bits.

    Parameters
    ----------
    address : str, optional
        "HOST:PORT"; "auto", the cluster that this machine is part of; "local", a new one on this machine alone. Without
        one, as ``ray.init`` has it: what RAY_ADDRESS names, else a new one. A connection that is there is used.
    retries : int
        How often a task is begun again.

    Raises
    ------
    ImportError
        Without Ray (``robustagg[ray]``); in a round, if a worker has another version of this package.
    OSError
        If there is no such cluster; in a round, if a task is lost more often, or the cluster is.
    ValueError
        In a round, if no node has the memory that a task may take.

    Notes
    -----
    A task has one processor, computes with one thread, and asks Ray for the round's `max_memory`, over references for
    512 MiB: a node does as many at a time as it has processors and memory for. Its object store holds the notes: none
    for rules that look at coordinates alone or at distances, a bit per value and one number per coordinate for
    :class:`robustagg.Reputation`; Ray moves what does not fit to disk. Every machine has the same version of Python and
    of this package, and sees the files and the folder of a result under the same paths.

    Leaving a ``with`` block ends a connection that was begun here.

    Examples
    --------
    >>> from robustagg.engine.ray import Ray
    >>> with Ray("auto") as cluster:  # doctest: +SKIP
    ...     ra.aggregate_files(rule, paths, "global.safetensors", executor=cluster)
    ...     ra.Krum(f=1).aggregate({name: client.train.remote() for name, client in clients.items()}, executor=cluster)
    """

    def __init__(self, address: str | None = None, retries: int = 3) -> None:
        try:
            import ray
        except ImportError as missing:
            raise errors.optional_package("Ray", "ray") from missing
        self._ray, self._retries, self._nbytes = ray, retries, 0
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                answering(address or os.environ.get("RAY_ADDRESS", ""))
                with undisturbed():
                    ray.init(address=address, log_to_driver=False, logging_level="warning")
            except Exception as fault:  # Ray's are of many kinds, or of none
                raise errors.no_cluster(address, fault) from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._ours:
            self._ray.shutdown()

    @property
    def slots(self) -> int:
        """How many tasks run at a time, as far as Ray knows now."""
        return max(sum(self._fits(node) for node in self._nodes()), 1)

    def within(self, nbytes: int) -> Self:
        """The same, for tasks of which each may take so many bytes of memory."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _nbytes=nbytes)
        if not any(map(twin._fits, self._nodes())):
            raise errors.too_small_nodes(nbytes, max((node.get("memory", 0) for node in self._nodes()), default=0))
        return twin

    def each(
        self, work: Callable[..., tuple[Any, Any]], common: Any, tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any, Any]]:
        """(index, brief, kept) of every task, in the order in which they end; what is kept is an object reference.

        Few are begun ahead of others, so that few go on if the round fails: ``ray.cancel`` may abort whoever calls it.
        """
        ray = self._ray
        task, sent = self._task(given(work), 2), ray.put(common)
        running: dict[Any, tuple[int, Any]] = {}
        waiting = iter(enumerate(tasks))

        def begin(k: int, own: tuple[Any, ...]) -> None:
            brief, kept = task.remote(sent, *unpacked(own))
            running[brief] = k, kept

        try:
            for k, own in islice(waiting, AHEAD * self.slots):
                begin(k, own)
            while running:
                for brief in ray.wait(list(running))[0]:
                    k, kept = running.pop(brief)
                    try:
                        told = ray.get(brief)
                    except ray.exceptions.RayError:
                        partition, *more = tasks[k]
                        if not self._without_lost(partition.pieces):
                            raise
                        short = any(isinstance(partition.pieces[i], Exception) for i in common.round.kept)
                        begin(k, (partition, *(None if short else one for one in more)))  # notes may be lost, too
                    else:
                        if isinstance(told, Exception):
                            raise told
                        for following in islice(waiting, 1):
                            begin(*following)
                        yield k, told, kept
        except ray.exceptions.RayError as fault:
            cause = unfit(fault) or getattr(fault, "cause", fault)
            raise errors.cluster_lost(cause) if isinstance(cause, ray.exceptions.RayError) else cause from None

    def held(self, value: Any) -> Any:
        """An object reference; what is none is put into the object store."""
        return value if isinstance(value, self._ray.ObjectRef) else self._ray.put(value)

    def value(self, value: Any) -> Any:
        """What an object reference stands for, brought here; anything else as it is."""
        if not isinstance(value, self._ray.ObjectRef):
            return value
        (found,) = fetched([value])
        if isinstance(found, errors.Unreadable):
            raise found
        return found

    def there(
        self, work: Callable[..., Any], common: Any, tasks: Sequence[tuple[Any, ...]], count: int
    ) -> list[Sequence[Any]]:
        """For every task references to the `count` things it gives; it is done near the objects that it is given."""
        task, sent = self._task(versioned(work), count), self._ray.put(common)
        made = [task.remote(sent, *own) for own in tasks]
        return [[one] for one in made] if count == 1 else made

    @property
    def fetch(self) -> Callable[[Sequence[Any]], list[Any]]:
        """What brings objects to whoever calls it."""
        return fetched

    def _without_lost(self, pieces: dict[int, Any]) -> bool:
        """Put in place of pieces that are lost what has become of them; whether there were any."""
        refs = {i: ref for i, ref in pieces.items() if isinstance(ref, self._ray.ObjectRef)}
        probes = self.there(probe, None, [(ref,) for ref in refs.values()], 1) if refs else []
        told = zip(refs, self.fetch([there for (there,) in probes]), strict=True)
        lost = {i: fault for i, fault in told if fault is not None}
        pieces.update(lost)
        return bool(lost)

    def _task(self, work: Callable[..., Any], returns: int) -> Any:
        return self._ray.remote(work).options(
            num_returns=returns, num_cpus=1, memory=self._nbytes, max_retries=self._retries, name=work.__name__
        )

    def _nodes(self) -> list[dict[str, float]]:
        """What each node that is there has."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _fits(self, node: dict[str, float]) -> int:
        """How many tasks a node runs at a time."""
        cpus = int(node.get("CPU", 0))
        return min(cpus, int(node.get("memory", 0) // self._nbytes)) if self._nbytes else cpus


def answering(address: str) -> None:
    """Whether somebody listens at HOST:PORT, if that is what it is; Ray itself would try for ten minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ray may begin here, but neither give advice nor take the place of our caller's answer to SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
