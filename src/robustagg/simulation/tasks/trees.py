"""Files in folders and archives, as a walk over both: what a data set is packed in makes no difference."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from robustagg import errors

Found: TypeAlias = tuple[tuple[str, ...], bytes]
"""The names of a file's folders and its own, and what is in it; an archive counts as a folder."""

SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")


def walk(path: Path) -> Iterator[Found]:
    """Every file below a folder or in an archive, archives in the folder included, in the order of their names."""
    if not path.exists():
        raise errors.no_data(path)
    if path.is_file():
        yield from _archive(path)
        return
    for file in sorted(path.rglob("*")):
        folders = file.relative_to(path).parts[:-1]
        if file.is_file() and stem(file.name) != file.name:
            for names, content in _archive(file):
                yield (*folders, stem(file.name), *names), content
        elif file.is_file():
            yield (*folders, file.name), file.read_bytes()


def stem(name: str) -> str:
    """A name without an archive's suffix."""
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def _archive(path: Path) -> Iterator[Found]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/"):
                    yield PurePosixPath(name).parts, archive.read(name)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for member in archive:  # in the order of the file: a compressed one cannot be read in any other
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield PurePosixPath(member.name).parts, content.read()
    else:
        raise errors.not_an_archive(path)
