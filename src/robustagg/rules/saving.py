"""A rule's state as a file: an .npz archive of arrays and a JSON text, so that reading one executes nothing."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array

STATE = "state"  # the archive's member with the JSON text
ARRAY, PAIRS = "#array", "#pairs"  # marks of what JSON cannot say: an array, a mapping whose keys are not all text


def write(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a state; the file is complete, or as it was before."""
    found: list[Array] = []
    text = json.dumps(_plain(state, found))
    arrays = {f"{k}": array for k, array in enumerate(found)}
    partial = Path(f"{os.fspath(path)}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **{STATE: np.frombuffer(text.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | Path) -> dict[str, Any]:
    """The state that :func:`write` has written."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            state = _restored(json.loads(archive[STATE].tobytes()), archive)
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as fault:
        raise errors.file_is_no_state(path, fault) from fault
    if not isinstance(state, dict) or not {"rule", "parameters"} <= state.keys():
        raise errors.file_is_no_state(path, "it names no rule")
    return state


def _plain(value: Any, found: list[Array]) -> Any:
    """The value as JSON can say it; its arrays go to `found`."""
    if isinstance(value, np.ndarray):
        found.append(value)
        return {ARRAY: f"{len(found) - 1}"}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item, found) for key, item in value.items()}
        return {PAIRS: [[key, _plain(item, found)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(item, found) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _restored(value: Any, archive: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_restored(item, archive) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return archive[value[ARRAY]]
    if PAIRS in value:
        return {key: _restored(item, archive) for key, item in value[PAIRS]}
    return {key: _restored(item, archive) for key, item in value.items()}
