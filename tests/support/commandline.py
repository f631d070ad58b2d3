"""The command line as the tests call it, and what they give it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

import robustagg as ra
from robustagg.cli.app import app

NAMES = ("berlin", "lima", "osaka", "quito", "tunis")
MAIN = "from robustagg.cli import main; main()"


def updates(round: int = 0) -> dict[str, dict[str, Any]]:
    """A model of two tensors from five clients, of whom lima is far off."""
    rng = np.random.default_rng(round)
    base = {"bias": rng.normal(size=7), "weight": rng.normal(size=(6, 5))}
    shift = dict.fromkeys(NAMES, 0.0) | {"lima": 1.0}
    noise = {name: {key: rng.normal(0, 0.01, value.shape) for key, value in base.items()} for name in NAMES}
    return {
        name: {key: (value + noise[name][key] + shift[name]).astype(np.float32) for key, value in base.items()}
        for name in NAMES
    }


def files(folder: Path, round: int = 0) -> list[str]:
    paths = [folder / f"{name}.npz" for name in NAMES]
    for path, update in zip(paths, updates(round).values(), strict=True):
        np.savez(path, **update)
    return list(map(str, paths))


def robustagg(*arguments: object, code: int = 0, columns: int | None = 80) -> Any:
    """Run in this process; the exit code is what it should be, and nothing escapes as a traceback."""
    environment = {"COLUMNS": None if columns is None else str(columns)}
    done = CliRunner().invoke(app, list(map(str, arguments)), env=environment, prog_name="robustagg")
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit | None)
    return done


def python(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own, as a person's shell would."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False, timeout=120
    )


def ledger(path: Path) -> Path:
    """A ledger of three rounds; in the third, osaka sends a NaN, and a client numbered 7 joins."""
    rule = ra.Reputation()
    for round in (1, 2, 3):
        sent: dict[Any, Any] = updates(round)
        if round == 3:
            sent["osaka"]["bias"][0] = np.nan
            sent[7] = sent["tunis"]
        rule.aggregate(sent)
        rule.save(path)
    return path
