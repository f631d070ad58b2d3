"""Damaged files: nothing but the documented errors, in bounded time and memory."""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from trials import Broken, law, only

import robustagg as ra
from robustagg import ledger as ledgers
from robustagg.errors import InvalidLedger
from robustagg.protocol import NON_FINITE

SECONDS, MIB = 5.0, 512
KINDS = (".npz", ".npy", ".safetensors", "ledger", "state", "deflated")
BIG = (
    b"\xff" * 4,
    b"\x00" * 4,
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"9" * 12,
    b"-1",
    b"[" * 40,
    b"1e999",
    b"\x00\x00\x00\x80",
)


def model(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(20, 30)).astype(np.float32), "b": rng.normal(size=40), "steps": np.array(seed)}


@cache
def whole(kind: str) -> bytes:
    """A sound file of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{kind if kind[0] == '.' else ''}"
        if kind == "deflated":
            path = path.with_suffix(".npz")
            np.savez_compressed(path, **model(0))
        elif kind == ".npz":
            np.savez(path, **model(0))
        elif kind == ".npy":
            np.save(path, model(0)["w"])
        elif kind == ".safetensors":
            save_file(model(0), path)
        else:
            rule = ra.Reputation() if kind == "ledger" else ra.FoolsGold()
            for number in range(3):
                rule.aggregate([model(i + number)["w"] for i in range(4)], clients=["a", "b", 3, "d"])
                rule.save(path)
        return path.read_bytes()


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """A few bytes other than they were, most often in the first or last few hundred, where the formats' numbers are."""
    body = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        edge = min(len(body), int(rng.choice([64, 256, 1024])))
        at = int(rng.integers(max(len(body), 1)))
        if rng.random() < 0.7:
            at = int(rng.integers(max(edge, 1)))
            at = at if rng.random() < 0.5 else len(body) - 1 - at
        match rng.integers(6):
            case 0 if body:
                body[at] ^= 1 << int(rng.integers(8))
            case 1 if body:
                body[at] = int(rng.integers(256))
            case 2:
                piece = BIG[rng.integers(len(BIG))]
                body[at : at + len(piece)] = piece
            case 3:
                del body[at : at + int(rng.integers(1, 2000))]
            case 4:
                body[at:at] = body[: int(rng.integers(1, 500))]
            case _:
                body[at:at] = BIG[rng.integers(len(BIG))] * int(rng.integers(1, 20))
    return bytes(body)


def trial(seed: int, tally: Counter[str]) -> None:
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(KINDS))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = damaged(rng, whole(kind))
        if kind in ("ledger", "state"):
            of_a_rule(kind, data, Path(folder), tally)
        else:
            of_a_client(kind, data, Path(folder), tally)
    seconds = time.monotonic() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    law(f"{kind}: within {SECONDS:g} s", seconds < SECONDS, f"{seconds:.1f} s")
    law(f"{kind}: within {MIB} MiB", grown < MIB, f"{grown:.0f} MiB")


def of_a_client(kind: str, data: bytes, folder: Path, tally: Counter[str]) -> None:
    """One of four clients sends it: it is left out with a reason, or what it says is taken."""
    suffix = ".npz" if kind == "deflated" else kind
    paths = [folder / f"{i}{suffix}" for i in range(4)]
    for i, path in enumerate(paths[:3]):
        if kind == ".npy":
            np.save(path, model(i)["w"])
        elif kind == ".safetensors":
            save_file(model(i), path)
        else:
            np.savez(path, **model(i))
    paths[3].write_bytes(data)
    out = folder / f"out{suffix}"
    with only(what=f"{kind}: a damaged file leaves its client out"):
        result = ra.aggregate_files(ra.Median(), paths, out)
    law(f"{kind}: the sound files are taken", result.admitted[:3].all(), result.reasons)
    tally[f"{kind} {'taken' if result.admitted[3] else 'left out'}"] += 1
    try:
        with only(ValueError, what=f"{kind}: strict"):
            ra.aggregate_files(ra.Median(), paths, out, strict=True)
        usable = result.admitted[3] or result.reasons[3] == NON_FINITE
        law(f"{kind}: strict refuses what is left out", usable, result.reasons)
    except ValueError as error:
        law(f"{kind}: strict names the client", not result.admitted[3] and "'3'" in str(error), error)


def of_a_rule(kind: str, data: bytes, folder: Path, tally: Counter[str]) -> None:
    path = folder / "x"
    path.write_bytes(data)
    rule = ra.Reputation if kind == "ledger" else ra.FoolsGold
    try:
        with only(InvalidLedger, what=f"{kind}: load"):
            loaded = rule.load(path)
    except InvalidLedger:
        tally[f"{kind} refused"] += 1
    else:
        tally[f"{kind} taken"] += 1
        with only(ValueError, what=f"{kind}: a round after load"):
            try:
                result = loaded.aggregate([model(i)["w"] for i in range(4)], clients=["a", "b", 3, "d"])
                law(f"{kind}: a finite result", np.isfinite(result.update).all() and np.isfinite(result.weights).all())
            except Broken:
                raise
            except ValueError:
                tally[f"{kind} taken, and no round"] += 1
    if kind == "ledger":
        for ask in (ledgers.history, ledgers.rounds):
            try:
                with only(InvalidLedger, what=f"ledger: {ask.__name__}"):
                    ask(path)
            except InvalidLedger:
                pass
