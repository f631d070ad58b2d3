"""A round over files, from what the clients sent to what everybody sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from robustagg import errors, inputs
from robustagg.files import budget, foreign
from robustagg.files.folder import Folder
from robustagg.files.opener import Opener
from robustagg.files.output import Target
from robustagg.files.parts import SharedFiles, Watched
from robustagg.files.progress import Progress
from robustagg.files.source import Files
from robustagg.files.storage import Scratch
from robustagg.files.survey import Entrants, Survey, model_file, survey
from robustagg.files.tensors import Model
from robustagg.memory.publish import Draft
from robustagg.memory.vectors import Disk, Named
from robustagg.protocol import Executor, Result, Source, spans
from robustagg.rules.base import Rule


def held(
    rule: Rule[Any],
    entrants: Entrants,
    target: Callable[[Model], Target | Folder],
    out: Path,
    max_memory: int | str,
    progress: Callable[[int, int], None] | None,
    buffers: Mapping[str, str] | None,
    policy: inputs.Policy | None = None,
    reference: Any = None,
    executor: Executor | None = None,
    **arguments: Any,
) -> Result:
    """One round of files; where the result goes is made once the model's tensors are known.

    With an executor, everything that workers read and write lies beside `out` under a name, until the round is done.
    """
    memory, policy = budget.parse(max_memory), inputs.Policy.of(buffers, policy)
    policy.check_for_files()
    with nullcontext() if executor is None else Draft(out) as draft:
        shared = None if draft is None else draft.path.absolute().parent
        disk = partial(Disk.nameless, out.absolute().parent) if shared is None else partial(Named.made, shared)
        found, reference = _surveyed(entrants, Scratch(disk), memory, reference, anywhere=shared is not None)
        found = found.under(policy)
        plan = _plan(rule, found, memory, rule.further_rows + (reference is not None))
        looks = rule.unguarded and executor is None
        work = Progress(progress, found, passes=1 + rule.readings + looks)
        opened = Files if shared is None else partial(SharedFiles, folder=shared)
        with target(found.model) as drafted, opened(entrants, found, plan, drafted, work) as files:
            source: Source = files if reference is None else inputs.Relative(files, reference)
            if executor is not None:
                arguments["executor"] = Watched(executor.within(memory), work)
            return rule.hold(source, policy, **arguments)


def _surveyed(entrants: Entrants, scratch: Scratch, memory: int, reference: Any, anywhere: bool) -> tuple[Survey, Any]:
    """What the clients' files hold, and the reference, where it is a file, opened."""
    for path in (*entrants.paths, entrants.reference or ""):
        foreign.library(path)
    with foreign.Converters(scratch) as converters:
        opener = Opener(budget.header_limit(memory), scratch, converters, anywhere)
        found = survey(entrants, opener)
        if entrants.reference is not None:
            reference = model_file(entrants.reference, opener, found.tensors)
    if found.tensors and not any(tensor.votes for tensor in found.tensors):
        raise errors.only_integers(entrants.clients[min(found.files)], found.tensors[0].dtype)
    return found, reference


def _plan(rule: Rule[Any], found: Survey, memory: int, rows: int) -> budget.Budget:
    """How the memory is divided, where so many rows for each client are held besides its own."""
    voting = [tensor for tensor in found.tensors if tensor.votes]
    itemsize = max((tensor.storage.itemsize for tensor in voting), default=1)
    n = len(found.files)
    placed = spans((tensor.name, tensor.shape) for tensor in voting)
    evidence = rule.evidence_bytes(n, placed[-1].stop if placed else 0, itemsize) + rule.tensors_bytes(n, placed)
    return budget.divide(memory, n, n * rows, itemsize, found.nbytes + evidence)
