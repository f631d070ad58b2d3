"""Runs a study: every rule of every cell with every seed, in processes, each result stored when it is there."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, TypeAlias

from robustagg import errors, kernels
from robustagg.rules.table import Spec, line
from robustagg.simulation import Settings
from robustagg.simulation.models import one_blas_thread
from robustagg.simulation.results import CLEAN
from robustagg.simulation.run import Federation
from robustagg.simulation.tasks import digest, load
from robustagg.studies.store import Place, Store
from robustagg.studies.study import Study, key_of

Progress: TypeAlias = Callable[[int, int, str], None]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One training: of a rule, or of the mean with nobody attacking."""

    place: Place
    settings: Settings
    spec: Spec | None
    clean: str | None = None


class Outcome(NamedTuple):
    """What came of it."""

    result: dict[str, Any] | str
    """Or the error in which it ended."""
    seconds: float
    data: str
    """A digest of the files that it learnt."""


def run_grid(
    study: Study,
    out: str | Path,
    *,
    jobs: int = 1,
    resume: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Run a study, or what is left of it.

    Parameters
    ----------
    study : Study
        From :func:`load_study` or :func:`study`.
    out : str or Path
        The folder of the results.
    jobs : int
        Trainings at a time, each in a process of one thread; 1 runs them in this process, with all its threads.
    resume : bool
        Whether to go on with results that are there already: what is done is not done again, what failed is.
    progress : callable, optional
        Called with the number of trainings done, their number in all, and what was done last.

    Returns
    -------
    Store
        Of all results. A training that fails is stored with its error, and the others go on; so it is where one of the
        processes is killed.

    Raises
    ------
    FileExistsError
        If there are results already and `resume` is not set.
    """
    store = Store(out)
    if store.path.exists() and not resume:
        raise errors.study_exists(store.path)
    store.create(study.title, study.text)
    planned = planned_jobs(study)
    done = store.done()
    left = [job for job in planned if job.place not in done]
    count = len(planned) - len(left)
    if progress is not None:
        progress(count, len(planned), "")
    for job, outcome in _in_processes(left, jobs) if jobs > 1 else _here(left):
        store.add(job.place, job.clean, job.settings, *outcome)
        count += 1
        if progress is not None:
            progress(count, len(planned), f"{job.place[1]}, seed {job.place[2]}")
    return store


def planned_jobs(study: Study) -> list[Job]:
    """Every training of a study, seed after seed, each once."""
    found: dict[Place, Job] = {}
    for seed in sorted({seed for cell in study.cells for seed in cell.seeds}):
        for cell in study.cells:
            if seed not in cell.seeds:
                continue
            settings = replace(cell.settings, seed=seed)
            clean = clean_settings(settings)
            beside = None if clean is None else key_of(clean)
            for spec in settings.rules:
                place = (cell.key, line(spec), seed)
                found[place] = Job(place, settings, spec, beside)
            if clean is not None and beside is not None:
                place = (beside, CLEAN, seed)
                found.setdefault(place, Job(place, clean, None))
    return list(found.values())


def strays(store: Store, study: Study) -> list[Place]:
    """What the store holds of an earlier form of the study."""
    planned = {job.place for job in planned_jobs(study)}
    return [place for row in store.rows() if (place := (row.cell, row.rule, row.seed)) not in planned]


def clean_settings(settings: Settings) -> Settings | None:
    """The situation whose run without attackers is that of these settings too; None without a target.

    The attack itself stays: it says which error is counted.
    """
    target = settings.attacks[-1] if settings.attacks and settings.f else None
    if target not in ("label-flip", "backdoor"):
        return None
    aims = {name: settings.options[name] for name in ("source", "target", "size") if name in settings.options}
    usual = Settings()
    return replace(
        settings,
        attack=target,
        payload=usual.payload,
        options=aims,
        adaptive=False,
        attackers=min(1, settings.clients - 1) / settings.clients,
        rules=("mean",),
        effort=1.0,
        server_samples=usual.server_samples,
    )


def train(job: Job) -> Outcome:
    """One training, to its end or the first error."""
    began, data = time.perf_counter(), ""
    try:
        task, data = load(job.settings.task, job.settings.seed), digest(job.settings.task)
        with one_blas_thread():
            federation = Federation(job.settings, task)
            run = federation.clean() if job.spec is None else federation.run(job.spec)
            result: dict[str, Any] | str = run.to_dict()
    except Exception as error:  # a rule of a user's own may raise anything
        result = _told(error)
    return Outcome(result, time.perf_counter() - began, data)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _here(jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
    for job in jobs:
        yield job, train(job)


def _in_processes(jobs: list[Job], count: int) -> Iterator[tuple[Job, Outcome]]:
    """Each as soon as it is there. Where a process is killed, what ran then is run again, each alone."""
    waiting = deque(jobs)
    with _one_thread_each():
        while lost := (yield from _side_by_side(waiting, count)):
            for job in lost:
                yield job, _alone(job)


def _side_by_side(waiting: deque[Job], count: int) -> Generator[tuple[Job, Outcome], None, list[Job]]:
    """No more are begun than there are processes, so that an interrupt is quick; returns what ran at a kill."""
    running: dict[Future[Outcome], Job] = {}
    with _pool(count) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < count:
                    future = pool.submit(train, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield running.pop(future), outcome
        except BrokenProcessPool:
            return list(running.values())
    return []


def _alone(job: Job) -> Outcome:
    """In a process of its own: if that is killed, it is this training that fails."""
    began = time.perf_counter()
    with _pool(1) as pool:
        pool.submit(os.getpid).result()  # where no process can be started at all, no training is at fault
        try:
            return pool.submit(train, job).result()
        except BrokenProcessPool:
            return Outcome(_told(errors.process_killed()), time.perf_counter() - began, "")


def _pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, get_context("spawn"), _begin)


def _begin() -> None:
    """What a process does first: it takes one thread, and will end when the one that has started it is killed."""
    kernels.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are begun in here have one thread for products and kernels."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
