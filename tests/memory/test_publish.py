"""A file appears whole or not at all; drafts of the dead are swept, and nobody else's."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robustagg.memory.publish import Draft, sweep


def write(target: Path, data: bytes, *, replace: bool = True) -> None:
    with Draft(target) as draft:
        with draft.path.open("xb+") as file:
            file.write(data)
        draft.publish(replace=replace)


def killed(target: Path) -> None:
    """A process that dies by SIGKILL with a draft of the target."""
    code = f"""
import os, signal
from robustagg.memory.publish import Draft
draft = Draft({str(target)!r})
draft.path.open("xb+").write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL


def test_published_with_ordinary_permissions_and_nothing_left(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write(tmp_path / "out", b"one")
        write(tmp_path / "out", b"two")
    finally:
        os.umask(mask)
    assert (tmp_path / "out").read_bytes() == b"two"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["out"]


def test_a_draft_left_alone_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with Draft(tmp_path / "out") as draft:
        draft.path.open("xb+").close()
    assert (tmp_path / "out").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_where_no_draft_can_be_the_target_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as found:
        Draft(tmp_path / "no" / "out")
    assert str(found.value) == f"[Errno 2] No such file or directory: '{tmp_path}/no/out'"


@pytest.mark.parametrize("code", [None, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_exclusive_with_and_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    def no_links(source: object, target: object) -> None:
        raise OSError(code, "no links here")

    if code is not None:
        monkeypatch.setattr(os, "link", no_links)
    write(tmp_path / "out", b"first", replace=False)
    with pytest.raises(FileExistsError):
        write(tmp_path / "out", b"second", replace=False)
    assert (tmp_path / "out").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["out"]


def test_folders_that_cannot_be_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "not for folders")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write(tmp_path / "out", b"whole")
    with Draft(tmp_path / "folder") as draft:
        draft.path.mkdir()
        draft.publish()
    assert sorted(os.listdir(tmp_path)) == ["folder", "out"]


def test_drafts_of_the_dead_are_swept_and_no_others(tmp_path: Path) -> None:
    target, other = tmp_path / "out", tmp_path / "other"
    killed(target)
    killed(other)
    (dead,) = tmp_path.glob(".out.*")
    (foreign,) = tmp_path.glob(".other.*")
    stranger = tmp_path / ".out.0123456789abcdef.partial"
    stranger.write_text("a user's")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "lock").touch()
    link = tmp_path / ".out.fedcba9876543210.partial"
    link.symlink_to("kept", target_is_directory=True)
    with Draft(target) as living:
        sweep(target)
        assert not dead.exists()
        assert living.path.parent.is_dir()
        assert foreign.is_dir()
        assert stranger.read_text() == "a user's"
        assert (link / "lock").exists()
