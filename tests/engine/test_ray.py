"""Rounds on a cluster of two nodes whose workers and nodes are killed: the bits of the same round on one machine."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

import robustagg as ra

if not os.environ.get("ROBUSTAGG_RAY"):
    pytest.skip("takes minutes; nox -s ray sets ROBUSTAGG_RAY", allow_module_level=True)

import ray
from commandline import robustagg
from raycluster import NODE, Losing, Sabotaged, cluster_of_two, limit

from robustagg.engine.ray import Ray

pytestmark = pytest.mark.filterwarnings(  # Ray's own
    "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

WIDE = 60 * 8192 + 77
RULES = {
    "mean": ra.Mean,
    "median": ra.Median,
    "krum": lambda: ra.Krum(f=1),
    "reputation": ra.Reputation,
    "pipeline": lambda: ra.Pipeline(ra.NNM(f=1), ra.Reputation()),
    "centered-clipping": ra.CenteredClipping,
}
OBSERVING = [name for name in RULES if name not in ("mean", "median")]
MEMORY = "4 MiB"


@pytest.fixture(scope="module")
def cluster():
    with cluster_of_two() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def whole(cluster):
    """Two nodes at the beginning of each test, and an end to each."""
    with limit(150):
        while len(cluster.worker_nodes) < 1:
            cluster.add_node(temp_dir=cluster.head_node.get_temp_dir_path(), **NODE)
        while sum(node["Alive"] for node in ray.nodes()) < 2:
            time.sleep(0.2)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    for k in range(6):
        rng = np.random.default_rng(k)
        model = {
            "body": rng.normal(k == 5, 0.1, WIDE).astype(np.float32),
            "head.bias": rng.normal(size=7).astype(np.float16),
            "steps": np.array(k, np.int64),
        }
        save_file(model, folder / f"client-{k}.safetensors")
    return sorted(folder.iterdir())


def rounds(rule, files, out, executor=None):
    """Two rounds, so that what is remembered of the first counts; who was told what, and the file of the second."""
    told = [ra.aggregate_files(rule, files, out, max_memory=MEMORY, executor=executor).to_dict() for _ in range(2)]
    return told, out.read_bytes()


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    """What comes out on one machine."""
    out = tmp_path_factory.mktemp("serial") / "out.safetensors"
    return {name: rounds(make(), files, out) for name, make in RULES.items()}


def same(found, expected):
    (told, bits), (told_there, bits_there) = found, expected
    assert bits == bits_there
    strip = [{key: value for key, value in one.items() if key != "update"} for one in (*told, *told_there)]
    assert strip[:2] == strip[2:]


@pytest.mark.parametrize("name", RULES)
def test_the_bits_of_one_machine(name, files, expected, tmp_path):
    same(rounds(RULES[name](), files, tmp_path / "out.safetensors", Ray()), expected[name])
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


@pytest.mark.parametrize("name", OBSERVING)
def test_workers_killed_while_they_observe(name, files, expected, tmp_path):
    (marks := tmp_path / "marks").mkdir()
    executor = Sabotaged(marks, "observe")
    same(rounds(RULES[name](), files, tmp_path / "out.safetensors", executor), expected[name])
    assert executor.killed >= 2


@pytest.mark.parametrize("name", RULES)
def test_workers_killed_while_they_combine(name, files, expected, tmp_path):
    (marks := tmp_path / "marks").mkdir()
    executor = Sabotaged(marks, "combine")
    same(rounds(RULES[name](), files, tmp_path / "out.safetensors", executor), expected[name])
    assert executor.killed >= 2


@pytest.mark.parametrize("lost", ["median combine", "reputation observe", "reputation combine"])
def test_a_node_is_lost(lost, cluster, files, expected, tmp_path):
    name, work = lost.split()
    executor = Losing(cluster, work, after=3)
    same(rounds(RULES[name](), files, tmp_path / "out.safetensors", executor), expected[name])
    assert not cluster.worker_nodes


def test_the_command_line(files, expected, tmp_path):
    out = tmp_path / "out.safetensors"
    robustagg("aggregate", *files, "--rule", "median", "--out", out, "--max-memory", MEMORY, "--ray", "auto")
    assert out.read_bytes() == expected["median"][1]


def test_memory_that_no_node_has(files, tmp_path):
    with pytest.raises(ValueError, match="no node of the cluster has more than"):
        ra.aggregate_files(ra.Mean(), files, tmp_path / "out.safetensors", max_memory="2 GiB", executor=Ray())
    assert not list(tmp_path.iterdir())


def test_a_fault_of_a_worker_is_the_callers(files, tmp_path):
    bad = tmp_path / "bad.safetensors"
    model = {"body": np.full(WIDE, np.nan, np.float32), "head.bias": np.zeros(7, np.float16), "steps": np.array(9)}
    save_file(model, bad)
    with pytest.raises(ValueError, match="client 'bad'"):
        ra.aggregate_files(
            ra.Median(nonfinite="raise"), [*files, bad], tmp_path / "out.safetensors", max_memory=MEMORY, executor=Ray()
        )
