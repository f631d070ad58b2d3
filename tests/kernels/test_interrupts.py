"""Long computations hear Ctrl-C, and threads in one do not disturb the end of the interpreter."""

import subprocess
import sys

import pytest

from robustagg import kernels

SETUP = """
import os, signal, sys, threading, time
import numpy as np
import robustagg as ra
ra.use_backend(sys.argv[1])
rows = list(np.random.default_rng(0).standard_normal((60, 400_000), np.float32))
rule = ra.Reputation()
ra.Reputation()([row[:100] for row in rows])
"""
CTRL_C = """
def press():
    global pressed
    pressed = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.3, press).start()
try:
    while True: rule(rows)
except KeyboardInterrupt:
    print(time.monotonic() - pressed)
"""
DAEMON = """
def rounds():
    while True: ra.Reputation()(rows)
for _ in range(3): threading.Thread(target=rounds, daemon=True).start()
time.sleep(0.5)
"""


def output(code: str, backend: str) -> str:
    done = subprocess.run([sys.executable, "-c", SETUP + code, backend], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("backend", kernels.available())
def test_ctrl_c_is_heard_within_seconds(backend):
    assert float(output(CTRL_C, backend)) < 5  # some tenths of one where the machine is idle


def test_a_daemon_thread_in_a_round_lets_the_interpreter_end():
    output(DAEMON, kernels.active_name())
