"""Checkpoints that only other libraries can read, turned into safetensors by a process of its own.

What they are read with is not to be trusted with memory, time or the machine: the process (:mod:`worker`) gets the open
file and a pipe, limits on both, and can write no file. A process that reads many files forks for each.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustagg import errors
from robustagg.files.storage import File, Region, Scratch

PIECE = 2**20  # bytes that are taken from the pipe at a time
EXPANSION = 4  # times a file's bytes that its tensors may take: tied weights are stored once
ROOM = 2**26  # bytes that they may take besides
START = 300.0  # seconds until the library is imported
PATIENCE = 60.0  # seconds that a file may take
SPEED = 10e6  # and bytes per second beyond
DAMAGED = "1"  # the answer where values are


class Library(NamedTuple):
    """What reads a kind of file."""

    package: str
    least: str
    install: str


TORCH = Library("torch", "2.6", "torch")  # before, its weights_only loader could be made to run code (CVE-2025-32434)
HDF5 = Library("h5py", "3.0", "robustagg[files]")
LIBRARIES = {".pt": TORCH, ".pth": TORCH, ".bin": TORCH, ".h5": HDF5, ".hdf5": HDF5, ".keras": HDF5}


def library(path: str) -> Library | None:
    """What reads such a file, if it needs anything; an error if that is not installed."""
    suffix = Path(path).suffix.lower()
    if suffix not in LIBRARIES:
        return None
    needed = LIBRARIES[suffix]
    try:
        installed = metadata.version(needed.package)
    except metadata.PackageNotFoundError:
        installed = ""
    if _version(installed) < _version(needed.least):
        raise errors.converter_needs(suffix, needed.package, needed.least, needed.install)
    return needed


class Converters:
    """The processes, each started when it is first needed, and where the tensors go."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._servers: dict[str, _Server] = {}

    def __enter__(self) -> Converters:
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers.values():
            server.stop()

    def convert(self, path: str, needed: Library) -> Region:
        """A file's tensors as a private safetensors file."""
        file, begin = File(path), self._scratch.end
        server = self._servers.get(needed.package)
        if server is None:
            server = self._servers[needed.package] = _Server(needed)
        try:
            with file.open() as handle:
                server.convert(handle.fileno(), Path(path).suffix.lower(), file.size, self._scratch)
        except errors.Unreadable:
            self._scratch.end = begin
            raise
        except BaseException:
            self._servers.pop(needed.package).stop()
            raise
        return self._scratch.region(begin)


class _Server:
    """A process that has imported the library, and forks for every file.

    That it does not come up, or breaks, is our trouble, and an :class:`OSError`. Whoever kills it or lets it wait is
    the file that it reads.
    """

    def __init__(self, needed: Library) -> None:
        ours, theirs = socket.socketpair()
        worker = str(Path(__file__).with_name("worker.py"))
        quiet = {"OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::", "HDF5_USE_FILE_LOCKING": "FALSE"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", worker, needed.package, json.dumps(sys.path)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **quiet},
                start_new_session=True,
            )
        self._socket, self._needed = ours, needed
        try:
            self._answer(START)
        except (EOFError, TimeoutError):
            self.stop()
            raise errors.worker_gone(needed.package) from None

    def stop(self) -> None:
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def convert(self, descriptor: int, suffix: str, size: int, scratch: Scratch) -> None:
        if self._process.poll() is not None:  # killed while it had nothing to do
            self._restart()
        limit, seconds = EXPANSION * size + ROOM, PATIENCE + size / SPEED
        task = {"suffix": suffix, "memory": limit, "seconds": int(seconds)}
        ours, theirs = os.pipe()
        try:
            try:
                with suppress(BrokenPipeError):  # its answer tells
                    socket.send_fds(self._socket, [json.dumps(task).encode()], [descriptor, theirs])
            finally:
                os.close(theirs)
            kind, text = self._taken(ours, scratch, limit, time.monotonic() + seconds)
        finally:
            os.close(ours)
        status = self._status()
        if kind == b"-":
            raise errors.not_converted(str(text, "utf-8", "replace"))
        if status == DAMAGED:
            raise errors.damaged_values()
        if status != "0" or not kind:
            raise errors.converter_stopped(status)

    def _taken(self, pipe: int, scratch: Scratch, limit: int, deadline: float) -> tuple[bytes, bytes]:
        """Append what comes to the scratch; or the text of an error. The stream's first byte tells which it is."""
        kind, text, taken = b"", b"", 0
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._restart()
                    raise errors.converter_stopped("time")
                data = os.read(pipe, PIECE)
                if not data:
                    break
                kind, data = (kind, data) if kind else (data[:1], data[1:])
                taken += len(data)
                if taken > limit:
                    self._restart()
                    raise errors.converter_stopped(f"{limit} bytes of tensors")
                if kind == b"+":
                    scratch.append(np.frombuffer(data, np.uint8))
                else:
                    text += data[:1000]
        return kind, text

    def _status(self) -> str:
        """How the process that read the file has ended; where it took ours with it, there is a new one."""
        try:
            return self._answer(PATIENCE)
        except TimeoutError:
            status = "time"
        except EOFError:
            code = self._process.wait()
            if code >= 0:
                raise errors.worker_gone(self._needed.package) from None
            status = f"signal {-code}"
        self._restart()
        return status

    def _answer(self, seconds: float) -> str:
        """A line of the process's; EOFError if it has ended, TimeoutError if it says nothing for so long."""
        self._socket.settimeout(seconds)
        answer = b""
        while not answer.endswith(b"\n"):
            try:
                data = self._socket.recv(1024)
            except ConnectionResetError:  # it has not even read what it was asked
                data = b""
            if not data:
                raise EOFError
            answer += data
        return str(answer, "utf-8", "replace").strip()

    def _restart(self) -> None:
        self.stop()
        self.__init__(self._needed)  # type: ignore[misc]


def _version(text: str) -> list[int]:
    numbers = []
    for part in text.split(".")[:2]:
        digits = "".join(sign for sign in part if sign.isdigit())
        numbers.append(int(digits) if digits else 0)
    return numbers
