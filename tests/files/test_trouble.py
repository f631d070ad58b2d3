"""What goes wrong at the server fails the round, and costs no client its vote; what a file does costs its own."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

import robustagg as ra
from robustagg.files import foreign, storage

BREAKING = """
import os, sys
sys.path.remove({here!r})
del sys.modules["h5py"]
import h5py

class File(h5py.File):
    def __init__(self, file, mode):
        super().__init__(file, mode)
        if "kill" in self:
            os.kill(os.getppid(), 9)
        if "stall" in self:
            os.kill(os.getppid(), 19)

h5py.File = File
"""


@pytest.fixture
def paths(tmp_path):
    """Files of which some are converted, and some are not."""
    h5py = pytest.importorskip("h5py", reason="HDF5 is read by h5py")
    for i in range(4):
        np.savez(tmp_path / f"a{i}.npz", w=np.full(3, i, np.float32))
        write(h5py, tmp_path / f"b{i}.h5")
    return sorted(tmp_path.glob("??.*"))


def write(h5py, path, *marks):
    with h5py.File(path, "w") as file:
        file["w"] = np.ones(3, np.float32)
        for mark in marks:
            file[mark] = np.ones(3, np.float32)


def refused(paths, told):
    """The round fails, and leaves no trace."""
    rule, out = ra.Reputation(), paths[0].with_name("out.npz")
    out.write_text("the last round's")
    with pytest.raises(OSError, match=told) as fault:
        ra.aggregate_files(rule, paths, out)
    assert rule.last_round is None
    assert out.read_text() == "the last round's"
    assert [path for path in out.parent.iterdir() if path.name.startswith(".")] == []
    return fault.value


def test_no_room_for_private_copies(paths, monkeypatch):
    def full(disk, offset, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("robustagg.memory.vectors.Disk.write", full)
    refused(paths, "No space left on device")


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize("after", [0, 4, 30])
def test_nothing_left_to_open_files_with(paths, code, after, monkeypatch):
    opened = iter(range(after))

    def opener(path, flags, real=storage._opener):
        if next(opened, None) is None:
            raise OSError(code, os.strerror(code), path)
        return real(path, flags)

    monkeypatch.setattr(storage, "_opener", opener)
    assert refused(paths, os.strerror(code)).errno == code


def test_a_folder_that_cannot_be_listed_is_its_clients_fault(paths, tmp_path, monkeypatch):
    def scandir(path, real=os.scandir):
        if str(path).endswith("site"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    (tmp_path / "site").mkdir()
    monkeypatch.setattr(os, "scandir", scandir)
    result = ra.aggregate_files(ra.Mean(), [*paths, tmp_path / "site"], tmp_path / "out.npz")
    assert result.reasons[-1] == "not admitted: cannot be read: Permission denied"


def test_a_library_that_cannot_be_imported(paths, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "h5py.py").write_text("raise ImportError('libhdf5.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    refused(paths, "does 'import h5py' work")


def test_a_library_that_is_never_imported(paths, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "h5py.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(foreign, "START", 0.5)
    refused(paths, "does 'import h5py' work")


@pytest.mark.parametrize(("mark", "reason"), [("kill", "signal 9"), ("stall", "time")])
def test_a_file_that_takes_its_reader_along_is_left_out_alone(paths, mark, reason, tmp_path, monkeypatch):
    import h5py

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "h5py.py").write_text(BREAKING.format(here=str(tmp_path / "site")))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(foreign, "PATIENCE", 2.0)
    write(h5py, tmp_path / "b1.h5", mark)
    result = ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz")
    assert result.admitted.tolist() == [path.name != "b1.h5" for path in paths]
    assert result.reasons[5] == f"not admitted: cannot be read within the limits set for strangers' files: {reason}"


def test_a_reader_that_breaks_by_itself(paths, tmp_path, monkeypatch):
    """Here it cannot fork."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "h5py.py").write_text("import os; os.fork = None")
    monkeypatch.syspath_prepend(tmp_path / "site")
    refused(paths, "does 'import h5py' work")


def test_a_reader_that_was_killed_meanwhile_is_another(paths, tmp_path, monkeypatch):
    def convert(server, *arguments, real=foreign._Server.convert):
        server._process.kill()
        server._process.wait()
        real(server, *arguments)

    monkeypatch.setattr(foreign._Server, "convert", convert)
    assert ra.aggregate_files(ra.Mean(), paths, tmp_path / "out.npz").admitted.all()
