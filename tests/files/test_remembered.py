"""Rules that remember vectors, over files: the bits of memory, bounded memory, and nothing left of what fails."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from updatefiles import ALL_LARGE, least_memory, model, needs_peaks, peak_over_files, read, same, write_all

import robustagg as ra
from robustagg.ledger import pieces
from robustagg.memory.vectors import Stored

RULES = {
    "foolsgold": lambda: ra.FoolsGold(),
    "foolsgold-features": lambda: ra.FoolsGold(features=(9000, 30_000), variant="authors"),
    "mixed-foolsgold": lambda: ra.Pipeline(ra.NNM(1), ra.FoolsGold()),
    "centered-clipping": lambda: ra.CenteredClipping(tau=100.0, iterations=2),
    "mixed-centered-clipping": lambda: ra.Pipeline(ra.ARC(1), ra.CenteredClipping(tau=100.0)),
}
ROUNDS = (["ada", "bob", "cem"], ["bob", "dan", "ada", "eve"], ["dan", "cem"], ["ada", "bob", "cem", "dan", "eve"])
TILES = (1, 10**6, 2, 3)  # how many at a time, about, in each round

each_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


def sent(number, dtype="float32"):
    return {name: model(100 * number + k, dtype) for k, name in enumerate(ROUNDS[number])}


def over_files(rule, folder, updates, **options):
    folder.mkdir(exist_ok=True)
    return ra.aggregate_files(rule, write_all(folder, updates, ".npz"), folder.parent / "out.npz", **options)


def budget(make, folder, updates, tiles=1):
    """Memory for blocks of so many tiles."""
    return tiles * least_memory(partial(over_files, make(), folder, updates))


def open_files(folder):
    """How many files of a folder this process has open, those without a name included."""
    known = Path("/proc/self/fd")
    return sum(os.path.realpath(known / name).startswith(str(folder)) for name in os.listdir(known))


def arrays_of(state):
    """What a state holds, bit for bit."""
    if isinstance(state, dict):
        return {key: arrays_of(value) for key, value in state.items()}
    return (state.dtype.str, state.tobytes()) if isinstance(state, np.ndarray) else state


# --- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@each_rule
def test_bits_of_memory_while_clients_come_and_go(tmp_path, make, dtype):
    streamed, whole = make(), make()
    for number, tiles in enumerate(TILES):
        updates = sent(number, dtype)
        memory = budget(make, tmp_path / "any", updates, tiles)
        found = over_files(streamed, tmp_path / str(number), updates, max_memory=memory)
        expected = whole.aggregate(updates)
        assert found.to_dict() == expected.to_dict()
        same(read(found.update), expected.update)
        assert arrays_of(streamed.state_dict()) == arrays_of(whole.state_dict())


@each_rule
def test_rounds_in_memory_and_over_files_alternate(tmp_path, make):
    mixed, whole = make(), make()
    for number in range(4):
        updates = sent(number)
        expected = whole.aggregate(updates)
        result = over_files(mixed, tmp_path / str(number), updates) if number % 2 else mixed.aggregate(updates)
        same(read(result.update) if number % 2 else result.update, expected.update)
        assert arrays_of(mixed.state_dict()) == arrays_of(whole.state_dict())


def test_a_client_that_is_left_out_in_the_middle_keeps_its_history(tmp_path):
    streamed, whole = ra.FoolsGold(), ra.FoolsGold()
    for number in (1, 3):
        updates = sent(number)
        if number == 3:
            updates["bob"]["layer.0"][-1] = np.nan
        memory = budget(ra.FoolsGold, tmp_path / "any", updates)
        over_files(streamed, tmp_path / str(number), updates, max_memory=memory)
        whole.aggregate(updates)
    assert arrays_of(streamed.state_dict()) == arrays_of(whole.state_dict())


@pytest.mark.parametrize("make", [ra.FoolsGold, ra.CenteredClipping])
def test_a_model_without_coordinates(tmp_path, make):
    rule, updates = make(), {name: {"w": np.empty((0, 3), np.float32)} for name in ROUNDS[0]}
    for number in (1, 2):
        assert over_files(rule, tmp_path / "in", updates).round == number


# --- saved and loaded -----------------------------------------------------------------------------------------------


@each_rule
def test_a_process_per_round(tmp_path, make):
    """What a job that runs once a day does: load, aggregate, save over the same file."""
    whole, state = make(), tmp_path / "state"
    for number in range(4):
        rule = type(whole).load(state) if number else make()
        updates = sent(number)
        found = over_files(rule, tmp_path / str(number), updates)
        rule.save(state)
        same(read(found.update), whole.aggregate(updates).update)
    assert arrays_of(type(whole).load(state).state_dict()) == arrays_of(whole.state_dict())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3", "out.npz", "state"]


def overwrite(path):
    path.write_bytes(b"something else")


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


def replace(path):
    path.with_name("new").write_bytes(b"something else")
    path.with_name("new").replace(path)


@pytest.mark.parametrize("small", [0, 2**20])
@pytest.mark.parametrize("become", [Path.unlink, replace, overwrite, cut_short])
def test_a_loaded_state_may_become_anything(tmp_path, monkeypatch, become, small):
    monkeypatch.setattr(pieces, "SMALL", small)
    rule, path = ra.FoolsGold(), tmp_path / "state"
    over_files(rule, tmp_path / "in", sent(1))
    rule.save(path)
    loaded = ra.FoolsGold.load(path)
    assert {type(vector) for vector in loaded.vectors.values()} == {np.ndarray if small else Stored}
    become(path)
    assert loaded.state_dict() == rule.state_dict()
    same(read(over_files(loaded, tmp_path / "in", sent(3)).update), rule.aggregate(sent(3)).update)


def test_a_damaged_state_is_told(tmp_path):
    rule, path = ra.FoolsGold(), tmp_path / "state"
    over_files(rule, tmp_path / "in", sent(1))
    rule.save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1], whole[:50], b""):
        path.write_bytes(content)
        with pytest.raises(ra.InvalidLedger, match=r"state is not a ledger"):
            ra.FoolsGold.load(path)


def test_copies_are_in_memory(tmp_path):
    rule = ra.FoolsGold()
    over_files(rule, tmp_path / "in", sent(1))
    for other in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert all(isinstance(vector, np.ndarray) for vector in other.vectors.values())
        assert arrays_of(other.state_dict()) == arrays_of(rule.state_dict())


# --- whole or not at all --------------------------------------------------------------------------------------------


class Stop(Exception):
    """Stands for whatever can go wrong."""


@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.9])
@each_rule
def test_a_failure_leaves_everything_as_it_was(tmp_path, make, fraction):
    def stop(done, total):
        if done >= fraction * total:
            raise Stop

    rule, again = make(), make()
    for each in (rule, again):
        over_files(each, tmp_path / "1", sent(1))
    memory = budget(make, tmp_path / "1", sent(3))
    before, files, out = rule.state_dict(), sorted(tmp_path.iterdir()), (tmp_path / "out.npz").read_bytes()
    with pytest.raises(Stop):
        over_files(rule, tmp_path / "1", sent(3), max_memory=memory, progress=stop)
    assert sorted(tmp_path.iterdir()) == files
    assert (tmp_path / "out.npz").read_bytes() == out
    assert arrays_of(rule.state_dict()) == arrays_of(before)
    updates = sent(3)
    assert over_files(rule, tmp_path / "3", updates).to_dict() == again.aggregate(updates).to_dict()


KILLED = """
import os, signal, sys
import robustagg as ra

def progress(done, total):
    if killing and done >= 0.8 * total:
        os.kill(os.getpid(), signal.SIGKILL)

rule = ra.FoolsGold()
for killing in (False, True):
    ra.aggregate_files(rule, sys.argv[2:], sys.argv[1], progress=progress)
"""


def test_killed_in_the_middle(tmp_path):
    (tmp_path / "in").mkdir()
    paths = write_all(tmp_path / "in", sent(1), ".npz")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out.npz"), *map(str, paths)])
    assert killed.returncode == -signal.SIGKILL
    left = [path for path in tmp_path.iterdir() if path.suffix != ".partial"]
    assert sorted(path.name for path in left) == ["in", "out.npz"]


# --- memory, disk, open files ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in Linux's /proc")
def test_one_file_is_open_and_none_has_a_name(tmp_path):
    rule = ra.FoolsGold()
    for number in (0, 1, 2, 3, 2, 0):
        over_files(rule, tmp_path / "in", sent(number))
        assert open_files(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.npz"]
    rule.aggregate(sent(3))
    assert open_files(tmp_path) == 0


SOME_ROUNDS = """
rule = {rule}
for those in (files[:4], files):
    ra.aggregate_files(rule, those, folder / "out.npy", max_memory={memory})
rule.save(folder / "state")
ra.aggregate_files(type(rule).load(folder / "state"), files[2:], folder / "out.npy", max_memory={memory})
"""


BOUNDED = (
    "ra.FoolsGold()",
    "ra.CenteredClipping()",
    "ra.Pipeline(ra.NNM(1), ra.FoolsGold())",
    "ra.Pipeline(ra.NNM(1), ra.Reputation())",  # remembers little, but its notes must be gone when the round is
)


@needs_peaks
@pytest.mark.parametrize("rule", BOUNDED)
def test_memory_stays_within_the_budget(tmp_path, rule):
    memory = 32 * 2**20
    assert peak_over_files(tmp_path, ".npy", SOME_ROUNDS.format(rule=rule, memory=memory)) < memory < ALL_LARGE


@needs_peaks
def test_evidence_counts_too(tmp_path):
    memory, rule = 40 * 2**20, "ra.DnC(1, iterations=40)"  # draws of 10 MiB in all
    assert peak_over_files(tmp_path, ".npy", SOME_ROUNDS.format(rule=rule, memory=memory)) < memory


def test_evidence_that_does_not_fit_is_told_before_the_work(tmp_path):
    paths = [tmp_path / f"{i}.npy" for i in range(9)]
    for path in paths:
        np.save(path, np.ones(60_000, np.float32))
    with pytest.raises(ValueError, match="max_memory is 6291456 bytes; a round of this model with 9 clients needs"):
        ra.aggregate_files(ra.DnC(1, iterations=20), paths, tmp_path / "out.npy", max_memory="6 MiB")
    assert not (tmp_path / "out.npy").exists()
