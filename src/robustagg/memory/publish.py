"""The one way to publish a file or a folder: made aside, and given its name in one step when it is whole.

A draft is a private folder beside the target, ``.NAME.0123456789abcdef.partial``, with a lock in it that its process
holds. What a killed process has left there is nobody's, and is swept when the same target is next written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

LOCK = "lock"
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EINVAL}


class Draft:
    """Where something is made before it has its name; left without :meth:`publish`, it is deleted.

    Parameters
    ----------
    target : path
        The name to give. Its folder must exist.

    Attributes
    ----------
    path : Path
        The draft's own name, of the target's suffix: nothing is there yet. What is written beside it goes with it.

    Raises
    ------
    OSError
        If the target's folder cannot be written to.
    """

    def __init__(self, target: str | os.PathLike[str]) -> None:
        self.target = Path(target)
        sweep(self.target)
        self._folder, self._lock = _claimed(self.target)
        self.path = self._folder / self.target.name

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._lock)  # first: what is open cannot be deleted everywhere
        shutil.rmtree(self._folder, ignore_errors=True)

    def publish(self, *, replace: bool = True) -> None:
        """Give the draft its name, once its bytes are on disk.

        Parameters
        ----------
        replace : bool
            Whether to replace a file of that name; a :class:`FileExistsError` otherwise.
        """
        _synchronise(self.path)
        if replace:
            self.path.replace(self.target)
        else:
            _give_unless_taken(self.path, self.target)
        with suppress(OSError):  # some file systems cannot; the name is given all the same
            _synchronise(self.target.parent)


def sweep(target: Path) -> None:
    """Delete our own drafts of a target whose processes are gone."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.partial")
    with suppress(OSError), os.scandir(target.parent) as entries:
        left = [
            entry.path for entry in entries if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
        for folder in left:
            with suppress(OSError):
                _delete_if_dead(folder)


def _claimed(target: Path) -> tuple[Path, int]:
    """A new draft's folder and lock."""
    while True:
        folder = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
        try:
            folder.mkdir(0o700)
        except OSError as fault:
            fault.filename = os.fspath(target)  # nobody knows the draft's
            raise
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # swept before it was locked
            continue
        with suppress(OSError):  # where files cannot be locked nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)


def _delete_if_dead(folder: str) -> None:
    if os.lstat(folder).st_uid != os.geteuid():
        return
    try:
        lock = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        with suppress(OSError):
            os.rmdir(folder)  # made and never locked, it is empty
        return
    with suppress(OSError):  # its process holds the lock
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as fault:
        if not path.is_dir() or fault.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def _give_unless_taken(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
        return
    except OSError as fault:
        if fault.errno not in NO_LINKS:
            raise
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))  # the name is ours from here on
    try:
        path.replace(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
