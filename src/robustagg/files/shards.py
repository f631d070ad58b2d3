"""A model in several files with an index, or in a folder of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from robustagg import errors
from robustagg.files import safetensors
from robustagg.files.storage import File, Readable
from robustagg.files.tensors import Contents, in_common, in_order

INDEXES = (".safetensors.index.json", ".bin.index.json")
LONGEST = 2**24  # bytes of an index
MODELS = (
    "model.safetensors",
    "adapter_model.safetensors",
    "pytorch_model.bin",
    "adapter_model.bin",
    "model.weights.h5",
)
"""What their frameworks call every model; beside one, a folder may hold other files."""
ENTRIES = 10_000  # of a folder, at most


def model_in(folder: str, suffixes: Callable[[str], bool]) -> str:
    """The one index in a folder, or the one file that can be a model."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, ENTRIES))
    except OSError as fault:
        raise errors.cannot_open(fault) from None
    kinds = [[name for name in names if name.endswith(index)] for index in INDEXES]
    kinds += [[name] for name in MODELS if name in names]
    models = next(filter(None, kinds), None) or [name for name in names if suffixes(name)]
    if len(models) != 1:
        raise errors.no_model_in_folder(len(models))
    return str(inside(Path(folder), models[0]))


def parts(index: Path) -> set[Path]:
    """The files that an index names, as far as it can be read; whether they are there is not asked."""
    try:
        text = index.read_bytes() if index.is_file() and index.stat().st_size <= LONGEST else b"{}"
        return {index.parent / name for name in json.loads(text)["weight_map"].values()}
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError):
        return set()


def opened(
    index: str, limit: int, look: Callable[[str, int], tuple[Readable, Contents]]
) -> tuple[tuple[Readable, ...], Contents]:
    """The parts of a model, and the tensors in all of them; `look` opens one, whose header has no more than a limit."""
    file = File(index)
    if file.size > limit:
        raise errors.header_too_long(file.size, limit)
    with file.open() as handle:
        where = safetensors.parsed(handle.read(0, file.size)).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(shard, str) for shard in where.values()):
        raise errors.bad_index("it has no weight_map of tensors' names to files' names")
    names = list(dict.fromkeys(where.values()))
    paths = [str(inside(Path(index).parent, name)) for name in names]
    files, found, metadata = [], [], None
    for which, (name, path) in enumerate(zip(names, paths, strict=True)):
        shard, part = look(path, limit)
        files.append(shard)
        limit -= sum(len(tensor.name) for tensor in part.tensors)  # of all headers together
        for tensor, place in zip(part.tensors, part.places.tolist(), strict=True):
            if where.get(tensor.name) != name:
                raise errors.misplaced_in_shards(tensor.name, name)
            found.append((tensor, (*place[:-1], which)))
        metadata = part.metadata if metadata is None else in_common(metadata, part.metadata)
    ranks = {name: rank for rank, name in enumerate(where)}
    found.sort(key=lambda pair: ranks[pair[0].name])
    missing = ranks.keys() - {tensor.name for tensor, _ in found}
    if missing:
        raise errors.misplaced_in_shards(min(missing), where[min(missing)])
    contents = in_order([(tensor, place[:-1]) for tensor, place in found], metadata)
    contents.places["file"] = np.array([place[-1] for _, place in found])[np.argsort(contents.order)]
    return tuple(files), contents


def inside(folder: Path, name: str) -> Path:
    """A file of a folder, which may not lead out of it."""
    path = folder / name
    if name in (".", "..") or any(sign in name for sign in "/\\\0") or path.resolve().parent != folder.resolve():
        raise errors.leads_out(name)
    return path
