"""A Flower network on this machine alone: servers as processes of their own group, on loopback, ended at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

APP = Path(__file__).parents[2] / "examples" / "flower"


class Network:
    """Starts Flower's commands in a folder, with a home of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._running: list[subprocess.Popen[bytes]] = []
        bin = Path(sys.executable).parent
        self._environment = {
            **os.environ,
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": "local",  # not a cluster whose killed head has left its address behind
            "OMP_NUM_THREADS": "1",
        }
        shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["patch", "-p1", "-i", "robust.diff"], cwd=folder / "app", check=True)
        (folder / "home").mkdir()
        (folder / "home" / "config.toml").write_text(
            f'[superlink.here]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\noptions.num-supernodes = 10\n'
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A server, in the background; its output goes to a file."""
        with (self.folder / f"{len(self._running)}-{command[0]}.log").open("wb") as log:
            started = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self._running.append(started)
        return started

    def superlink(self, *options: str) -> subprocess.Popen[bytes]:
        plain = ("--insecure", "--disable-runtime-dependency-installation", "--host", "127.0.0.1")
        started = self.start("flower-superlink", *plain, "--port", str(self.port), *options)
        until(lambda: answers(self.port), 60)
        return started

    def supernodes(self, n: int) -> list[subprocess.Popen[bytes]]:
        plain = ("--insecure", "--superlink", f"127.0.0.1:{self.port}", "--host", "127.0.0.1")
        return [
            self.start(
                "flower-supernode",
                *(*plain, "--port", str(free_port())),
                *("--node-config", f"partition-id={i} num-partitions={n}"),
            )
            for i in range(n)
        ]

    def run(self, stream: bool = True, timeout: float = 180, **config: str | int) -> str:
        """Run the app; what the server has logged, where it is streamed."""
        values = [f"{name}={value if isinstance(value, int) else repr(value)}" for name, value in config.items()]
        command = ["flwr", "run", "app", "here", *["--stream"] * stream, "--run-config", " ".join(values)]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill(self, *servers: subprocess.Popen[bytes]) -> None:
        """As if the power failed: a server and all that it has started."""
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def close(self) -> None:
        self.kill(*self._running)


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network, of which nothing is left afterwards."""
    here = Network(folder)
    try:
        yield here
    finally:
        here.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def until(happens: Callable[[], bool], seconds: float) -> None:
    """Wait; raises where it has not happened in time."""
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)
