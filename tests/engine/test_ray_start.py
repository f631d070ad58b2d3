"""How a connection to Ray begins, whether Ray is installed or not: what stands for it here does what it may do."""

from __future__ import annotations

import signal
import socket
import sys
import time
import warnings
from types import SimpleNamespace

import pytest

from robustagg.engine.ray import Ray
from robustagg.engine.tasks import fetched


@pytest.fixture
def beginning(monkeypatch):
    """In place of Ray, something that begins in a given way, and notes where."""

    def stand_in(init=lambda: None):
        begun = []
        fake = SimpleNamespace(
            is_initialized=lambda: False, init=lambda address, **options: (begun.append(address), init())
        )
        monkeypatch.setitem(sys.modules, "ray", fake)
        return begun

    return stand_in


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_an_address_that_nobody_answers(by, beginning, monkeypatch):
    """Ray itself would try for ten minutes."""
    begun = beginning()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        if by == "environment":
            monkeypatch.setenv("RAY_ADDRESS", address)
        start = time.monotonic()
        with pytest.raises(OSError, match=r"there is no Ray cluster.*refused"):
            Ray(address if by == "argument" else None)
    assert time.monotonic() - start < 5
    assert not begun


def test_an_address_that_somebody_answers(beginning):
    begun = beginning()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        Ray(address)
    assert begun == [address]


@pytest.mark.parametrize("address", ["auto", "local", "garbage", "ray://127.0.0.1:1"])
def test_what_is_no_host_and_port_is_for_ray_to_judge(address, beginning):
    begun = beginning()
    Ray(address)
    assert begun == [address]


@pytest.mark.parametrize("kind", [RuntimeError, Exception, ConnectionError, ValueError])
def test_whatever_ray_says_is_one_error(kind, beginning):
    """The command line knows it as one that is not its own."""

    def refusing():
        raise kind("Version mismatch")

    beginning(refusing)
    with pytest.raises(OSError, match=rf"there is no Ray cluster at 'auto': {kind.__name__}: Version mismatch"):
        Ray("auto")


def test_who_answers_sigterm_still_does(beginning, recwarn):
    """Ray would end the process with the signal's number, and write down where it was."""

    def greedy():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        warnings.warn("a tip", FutureWarning, stacklevel=2)

    def ours(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, ours)
    try:
        beginning(greedy)
        Ray("local")
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not recwarn.list


class RaySystemError(Exception):
    """As Ray's is called."""


def test_workers_without_this_package_are_no_clients_fault(monkeypatch):
    def get(ref):
        raise RaySystemError("System error: No module named 'robustagg'\ntraceback: ...")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(wait=lambda refs, num_returns: None, get=get))
    with pytest.raises(ImportError, match="a worker has no robustagg"):
        fetched(["reference"])
