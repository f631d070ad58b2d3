"""Rounds over files that are larger than memory: one file per client, block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from robustagg import errors, inputs
from robustagg.files import folder, output
from robustagg.files.folder import Folder
from robustagg.files.output import Target
from robustagg.files.rounds import held
from robustagg.files.shards import INDEXES, MODELS
from robustagg.files.survey import Entrants
from robustagg.files.writers import WRITERS
from robustagg.names import SampleCounts
from robustagg.protocol import Client, Executor, Result, offers
from robustagg.rules.base import Rule
from robustagg.rules.mixing.base import Mixer, PreAggregation

__all__ = ["aggregate_files", "preaggregate_files"]

AnyPath: TypeAlias = str | PathLike[str]
Paths: TypeAlias = Iterable[AnyPath] | Mapping[int, AnyPath] | Mapping[str, AnyPath] | Mapping[Client, AnyPath]


def aggregate_files(
    rule: Rule[Any],
    paths: Paths,
    out: AnyPath,
    *,
    ids: Iterable[Client] | None = None,
    sample_counts: SampleCounts | None = None,
    round: int | None = None,
    max_memory: int | str = "1 GiB",
    strict: bool = False,
    buffers: Mapping[str, str] | None = None,
    policy: inputs.Policy | None = None,
    reference: Any = None,
    progress: Callable[[int, int], None] | None = None,
    executor: Executor | None = None,
    **extras: Any,
) -> Result:
    """Turn one round of clients' files into one file, without ever holding the updates in memory.

    The same bits as ``rule.aggregate`` of the same tensors. The model is the most common structure (names, shapes
    and dtypes of the tensors) among the files, of several the first; a client whose file has another one, is damaged
    or not what it seems is left out, and the result says why. Nothing in a file is ever executed.

    Parameters
    ----------
    rule : Rule
        Any rule; its memory is that of its other rounds.
    paths : iterable of n paths, or mapping from client to path
        Files, told by their suffix: .safetensors, .npz and .npy; .pt, .pth and .bin, read by torch, and .h5, .hdf5 and
        .keras, read by h5py, each in a process of its own with limits. A folder with one model in it, or the
        ``*.index.json`` of a model in several .safetensors or .bin files, is one client's too.
    out : path
        The file to write, .safetensors, .npz or .npy; replaced if there is one. It appears when it is complete, or
        not at all. A .npy file is possible where the model is a single tensor. Tensors are listed as most clients
        list them, and are in Fortran order where most clients' are and the format has it; `__metadata__` that all
        clients share is kept. In .npz and .npy bfloat16 and float8 become float32, which holds the same numbers.
    ids : iterable of n str or int, optional
        Who sent what; defaults to the files' names without suffix, of ``model.safetensors`` and indexes the folders'.
    sample_counts : sequence of n numbers, or mapping from client to number, optional
        Training samples of each client, for rules that weigh by them.
    round : int, optional
        Number of the round; defaults to the previous one plus 1.
    max_memory : int or str
        Bytes, or a size like "512 MiB", that the round may take in memory beyond Python and the libraries themselves.
        What a rule must remember beyond it is kept in a temporary file beside `out`.
    strict : bool
        Whether a file that cannot be used is an error.
    buffers : mapping from pattern to action, optional
        What the result holds of tensors that do not vote, as :meth:`Rule.aggregate` takes it.
    policy : Policy, optional
        Which tensors vote, in place of `buffers`. Patterns fit names without their prefixes, which the clients must
        share; ties by name, and products of LoRA's factors, are not to be had over files.
    reference : path, or tensors by name, optional
        The global model, where files hold whole parameters, as :meth:`Rule.aggregate` takes it. A file is read block by
        block like the clients'.
    progress : callable, optional
        Called with the bytes read so far and the bytes to be read in all, which may grow.
    executor : Executor, optional
        Whoever does the work in place of this process, such as :class:`robustagg.engine.ray.Ray`; the bits are the
        same. The files and `out` are then on storage that every worker sees under the same path, and `max_memory` is
        what each piece of work may take.
    **extras
        What some rules need besides: tensors by name, like the model's, differences always; ``certify=True`` as
        :meth:`Rule.aggregate` takes it.

    Returns
    -------
    Result
        Its `update` is the path of the file written.

    Raises
    ------
    TypeError, ValueError
        If something of this does not hold, if nobody's file or not the reference can be used, or, with `strict`, if
        somebody's cannot; the text names the client. The rule is then as it was before, and so is `out`.
    OSError
        If `out` cannot be written, or the server cannot read: no room for private copies, no memory, descriptors or
        process left. That is nobody's fault, and everything is as it was before.
    ImportError
        If what reads somebody's file is not installed.

    Notes
    -----
    Every file is read once per pass: once for mean, median and trimmed mean, twice for the reputation rule. A file that
    fails, changes, or shows other bytes than in the first pass makes the round begin again without its client. Formats
    that other libraries read, and tensors in Fortran order, are copied to a temporary file beside `out` first.
    """
    if not isinstance(rule, Rule):
        raise errors.rule_expected(rule)
    if not (executor is None or offers(executor)):
        raise errors.no_executor(executor)
    listed, clients = senders(paths, ids)
    out = Path(out)
    is_file = isinstance(reference, (str, PathLike))
    output.check(out, [*listed, fspath(reference)] if is_file else listed)
    entrants = Entrants(clients, listed, strict, fspath(reference) if is_file else None)
    target = partial(Target, out, pieces=executor is not None)
    options: dict[str, Any] = {"buffers": buffers, "sample_counts": sample_counts, "number": round, "extras": extras}
    options |= {"policy": policy, "reference": reference, "executor": executor}
    return held(rule, entrants, target, out, max_memory, progress, **options)


def preaggregate_files(
    member: PreAggregation,
    paths: Paths,
    out: AnyPath,
    *,
    ids: Iterable[Client] | None = None,
    round: int | None = None,
    suffix: str | None = None,
    max_memory: int | str = "1 GiB",
    strict: bool = False,
    buffers: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Turn one round of clients' files into a folder of mixed updates, without ever holding them in memory.

    The same bits as ``member(updates)`` of the same tensors. What :func:`aggregate_files` says of files holds here. A
    chain of pre-aggregations and a rule needs no files between them: ``aggregate_files(Pipeline(...), ...)``.

    Parameters
    ----------
    member : PreAggregation
        NNM, ARC, NormClipping or Bucketing.
    paths, ids, round, max_memory, strict, buffers, progress
        As :func:`aggregate_files` takes them.
    out : path
        The folder to make; it may be there if it is empty. It appears when it is complete, or not at all. A file in it
        has the name of the client whose row it holds, or ``bucket-0``, ``bucket-1``, ... where rows are no client's.
    suffix : {".safetensors", ".npz", ".npy"}, optional
        Format of the files; defaults to that of the first path.

    Returns
    -------
    Result
        Its `update` is the list of the files written, in the order of the rows; a weight is a client's share of them.

    Raises
    ------
    TypeError, ValueError
        If something of this does not hold, if nobody's file can be used, or, with `strict`, if somebody's cannot; the
        text names the client. Nothing is left then.
    OSError
        If `out` cannot be written, or the server cannot read: no room for private copies, no memory, descriptors or
        process left. That is nobody's fault, and everything is as it was before.

    Notes
    -----
    Every file is read twice, for Bucketing once. While it runs, the mixed rows are on disk twice.

    Examples
    --------
    >>> import numpy as np, robustagg as ra, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for client, value in {"ada": 1.0, "bob": 2.0, "cem": 3.0, "eve": 900.0}.items():
    ...     np.save(folder / f"{client}.npy", np.array([value]))
    >>> result = ra.preaggregate_files(ra.NNM(f=1), sorted(folder.glob("*.npy")), folder / "mixed")
    >>> {path.name: np.load(path).tolist() for path in result.update[:2]}
    {'ada.npy': [2.0], 'bob.npy': [2.0]}
    """
    if not isinstance(member, PreAggregation):
        raise errors.preaggregation_expected(member)
    listed, clients = senders(paths, ids)
    names = clients if member.keeps_clients else None
    if suffix is None:
        suffix = Path(listed[0]).suffix
        suffix = suffix if suffix.lower() in WRITERS else ".safetensors"
    out = Path(out)
    folder.check(out, suffix, names or ())
    target = partial(Folder, out, suffix, names)
    entrants = Entrants(clients, listed, strict)
    result = held(Mixer(member), entrants, target, out, max_memory, progress, buffers=buffers, number=round)
    result.rule = type(member).__name__
    return result


def senders(paths: Paths, ids: Iterable[Client] | None) -> tuple[tuple[str, ...], tuple[Client, ...]]:
    """The paths, and who each is of."""
    if isinstance(paths, (str, bytes, PathLike)):
        raise errors.not_a_list_of_paths(paths)
    if isinstance(paths, Mapping):
        if ids is not None:
            raise errors.ids_twice()
        ids, paths = list(paths), list(paths.values())
    listed = tuple(fspath(path) for path in paths)
    if not listed:
        raise errors.no_clients()
    return listed, _named(listed) if ids is None else inputs.client_ids(ids, len(listed))


def _named(paths: Sequence[str]) -> tuple[Client, ...]:
    """Clients by their files' names."""
    names = [_name(path) for path in paths]
    first: dict[str, str] = {}
    for name, path in zip(names, paths, strict=True):
        if name in first:
            raise errors.same_stem(name, first[name], path)
        first[name] = path
    return tuple(names)


def _name(path: str) -> str:
    """The file's name without suffixes; its folder's where every client's file has the same one."""
    whole = Path(path).absolute()
    if os.path.isdir(path):
        return whole.name
    if path.endswith(INDEXES) or whole.name in MODELS:
        return whole.parent.name
    return whole.name.removesuffix(".weights.h5") if path.endswith(".weights.h5") else whole.stem
