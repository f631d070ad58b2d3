"""Files of vectors that have lost their names."""

from __future__ import annotations

from pathlib import Path

from robustagg.memory.vectors import Disk, Named


def test_a_folder_that_could_not_be_deleted_goes_with_the_last_who_knows_its_file(tmp_path: Path) -> None:
    folder = tmp_path / ".out.npy.0123456789abcdef.partial"
    folder.mkdir()
    named = Named.made(folder)
    kept = Disk.of(named)
    (only,) = folder.iterdir()
    only.rename(folder / ".nfs1")  # what NFS does to a file that is deleted while it is open
    del named
    assert folder.exists()
    (folder / ".nfs1").unlink()  # and when nobody has it open any more
    del kept
    assert not folder.exists()
