"""The example in Flower's engine, simulated and real: attackers, garbage, NaN, and a server that is killed."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest

from robustagg import ledger

if not os.environ.get("ROBUSTAGG_FLOWER"):
    pytest.skip("takes minutes; nox -s flower sets ROBUSTAGG_FLOWER", allow_module_level=True)

from flower_network import APP, network, until


def accuracy(folder) -> float:
    spec = importlib.util.spec_from_file_location("task", APP / "quickstart" / "task.py")
    task = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(task)
    return task.accuracy(np.load(folder / "model.npz"))


def reasons(folder, client):
    return [line["reason"] for line in ledger.history(folder / "ledger.sqlite", client)]


def rounds(folder):
    path = folder / "ledger.sqlite"
    return [line["round"] for line in ledger.rounds(path)] if path.exists() else []


def test_ten_clients_of_whom_half_are_bad(tmp_path):
    with network(tmp_path) as here:
        here.superlink("--simulation")
        log = here.run(folder=str(tmp_path), rounds=3)
    assert rounds(tmp_path) == [1, 2, 3], log
    assert accuracy(tmp_path) > 0.8
    assert all("not admitted: " in reason for reason in reasons(tmp_path, "site-3"))
    assert reasons(tmp_path, "site-4") == ["not admitted: NaN or infinite values"] * 3


def test_a_server_that_is_killed_goes_on(tmp_path):
    config = {"folder": str(tmp_path), "clients": 3, "attackers": 0, "nan": 0}
    with network(tmp_path) as here:
        killed = [here.superlink(), *here.supernodes(3)]
        here.run(stream=False, rounds=50, **config)
        until(lambda: len(rounds(tmp_path)) >= 1, 120)
        here.kill(*killed)
        before = rounds(tmp_path)
        here.superlink()
        here.supernodes(3)
        log = here.run(rounds=2, **config)
    assert rounds(tmp_path) == [*range(1, len(before) + 3)], log
    assert accuracy(tmp_path) > 0.8
    assert len(reasons(tmp_path, "site-1")) == len(before) + 2
    assert all("not admitted: " in reason for reason in reasons(tmp_path, "site-0"))
