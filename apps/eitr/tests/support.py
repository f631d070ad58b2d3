"""A server of one's own on loopback, and people for it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from eitr import corpus, site
from eitr.people import Person
from eitr.updates import expected
from safetensors.numpy import save

OPEN = {
    "invitation": "come-in",
    "admin_password": "boss",
    "quorum": 5,
    "target": 5,
    "rate_join": "1000/minute",
    "rate_host": "100000/minute",
    "rate_client": "1000/minute",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[str]:
    """The made-up web's server in `folder`, a process; its address."""
    site.make_demo(folder, {**OPEN, **settings})
    with running(folder) as (url, _):
        yield url


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "eitr", "serve", str(folder), "--port", str(port), *options])
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                httpx.get(f"{url}/round")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url, process
    finally:
        process.kill()
        process.wait()


def people(url: str, count: int) -> list[Person]:
    """People who say what is right of six pages each, one of them about the fresh topic."""
    found = []
    for i in range(count):
        topics = [*corpus.CLASSES[i % 3 :: 2], corpus.FRESH, corpus.FRESH]
        pages = [corpus.page(topic, 5000 + 10 * i + j) for j, topic in enumerate(topics)]
        found.append(Person(url, "come-in", [corpus.words(p) for p in pages], [p["label"] for p in pages]).join())
    return found


def noise(seed: int, scale: float = 0.01) -> bytes:
    """A well-formed update of random numbers."""
    rng = np.random.default_rng(seed)
    layout = expected(281, 6)
    return save({name: rng.normal(0, scale, shape).astype(np.float32) for name, shape in layout.items()})
