"""Rounds on a cluster of two nodes whose workers and nodes are killed: the bits of the same round on one machine."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

import robustagg as ra
from robustagg import config

if not os.environ.get("ROBUSTAGG_RAY"):
    pytest.skip("takes minutes; nox -s ray sets ROBUSTAGG_RAY", allow_module_level=True)

import ray
from commandline import MAIN, robustagg
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from raycluster import NODE, Interrupted, Losing, Sabotaged, Stopped, cluster_of_two, limit

from robustagg.engine.ray import Ray
from robustagg.inputs import dispersed

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
    with limit(240):
        while len(cluster.worker_nodes) < 1:
            cluster.add_node(temp_dir=cluster.head_node.get_temp_dir_path(), **NODE)
        wanted = {node.node_id for node in (cluster.head_node, *cluster.worker_nodes)}
        while {node["NodeID"] for node in ray.nodes() if node["Alive"]} != wanted:  # nor one that was killed just now
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


def update(k):
    """What client k sends by reference."""
    rng = np.random.default_rng(k)
    rows = {"body": rng.normal(k == 5, 0.1, WIDE).astype(np.float32), "head": rng.normal(size=7).astype(np.float16)}
    return {**rows, "steps": np.array(k, np.int64)}


def held(rule, refs, executor):
    """Two rounds of updates that lie in object stores."""
    results = [rule.aggregate(refs, executor=executor) for _ in range(2)]
    told = [result.to_dict() for result in results]
    return told, flattened(ray.get(results[-1].update))


def flattened(tree):
    return b"".join(name.encode() + array.dtype.str.encode() + array.tobytes() for name, array in tree.items())


def here(rule, clients=range(6)):
    """What comes out in memory."""
    results = [rule.aggregate({f"client-{k}": update(k) for k in clients}) for _ in range(2)]
    return [result.to_dict() for result in results], flattened(results[-1].update)


@pytest.fixture(scope="module")
def in_memory():
    return {name: here(make()) for name, make in RULES.items()}


@ray.remote(num_cpus=0)
class Client:
    """A client of a federation on Ray: trains, and keeps its update until somebody asks for it."""

    def __init__(self, k):
        self._k = k

    def train(self):
        return update(self._k)

    def stored(self):
        """Its update as an object of its own, whose owner dies with it."""
        return [ray.put(update(self._k))]


def on(node):
    return NodeAffinitySchedulingStrategy(node.node_id, soft=True)


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


SLOW = """
import time
from robustagg.engine.ray import Ray
each = Ray.each

def slow(self, work, common, tasks):
    def working(*arguments):
        time.sleep(60)
        return work(*arguments)

    working.__name__ = "slow"
    print("begun", flush=True)
    return each(self, working, common, tasks)

Ray.each = slow
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_the_command_line_is_stopped(name, code, cluster, files, tmp_path):
    command = ["aggregate", *map(str, files), "--rule", "median", "--out", str(tmp_path / "out.npz")]
    command += ["--max-memory", MEMORY, "--ray", cluster.address]
    process = subprocess.Popen([sys.executable, "-c", SLOW + MAIN, *command], stdout=-1, stderr=-1, text=True)
    with process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(1)
        process.send_signal(getattr(signal, name))
        _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert told == ""
    assert not list(tmp_path.iterdir())


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


def test_a_fault_of_workers_is_told_once(caplog):
    """By the caller's error; Ray writes down what nobody has asked for, of every task."""
    sent = {f"client-{k}": update(k) for k in range(6)}
    reference = update(0) | {"body": np.full(WIDE, np.nan, np.float32)}
    logging.getLogger("ray").addHandler(caplog.handler)
    try:
        with pytest.raises(ValueError, match="NaN or infinite values in reference"):
            ra.CenteredClipping().aggregate(sent, reference=reference, executor=Ray())
        gc.collect()  # what is asked for no more
        time.sleep(1)
    finally:
        logging.getLogger("ray").removeHandler(caplog.handler)
    assert not caplog.records


def test_a_round_that_is_stopped_leaves_its_process(monkeypatch):
    """To cancel what goes on may abort the process that has begun it: "Tried to complete task that was not pending"."""
    monkeypatch.setattr(dispersed, "TURNS", 20)
    monkeypatch.setattr(dispersed, "LEAST", 1)
    refs, rule = {f"client-{k}": ray.put(update(k)) for k in range(6)}, ra.Reputation()
    executor, stopped = Stopped(), 0
    for k in range(20):
        executor.after = 0.01 + 0.02 * (k % 10)
        state = rule.last_round
        try:
            rule.aggregate(refs, executor=executor)
        except KeyboardInterrupt:
            stopped += 1
            assert rule.last_round == state
    assert stopped >= 2
    same(held(ra.Reputation(), refs, Ray()), here(ra.Reputation()))


# --- updates in object stores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_updates_of_actors(name, in_memory, monkeypatch):
    """The bits of memory; of what comes here there is little."""
    actors = {f"client-{k}": Client.remote(k) for k in range(6)}
    taken, get = [], ray.get

    def counted(*refs):
        taken.append(len(pickle.dumps(found := get(*refs))))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(ray, "get", counted)
        refs = {client: actor.train.remote() for client, actor in actors.items()}
        results = [RULES[name]().aggregate(refs, executor=Ray())]
    remembered = 4 * WIDE if results[0].rule == "CenteredClipping" else 0  # and comes with its piece of the result
    assert sum(taken) < 50_000 + 2.1 * remembered
    same(held(RULES[name](), refs, Ray()), in_memory[name])


@pytest.mark.parametrize("work", ["observe", "combine"])
@pytest.mark.parametrize("name", ["reputation", "pipeline"])
def test_workers_killed_while_they_have_updates(name, work, in_memory, tmp_path):
    refs = {f"client-{k}": ray.put(update(k)) for k in range(6)}
    executor = Sabotaged(tmp_path, work, block=1)
    same(held(RULES[name](), refs, executor), in_memory[name])
    assert executor.killed >= 2


@pytest.mark.parametrize("work", ["cut", "assembled"])
def test_workers_killed_while_they_cut_or_assemble(work, in_memory, tmp_path):
    refs = {f"client-{k}": ray.put(update(k)) for k in range(6)}
    same(held(RULES["reputation"](), refs, Interrupted(tmp_path, work)), in_memory["reputation"])
    assert [path.name for path in tmp_path.iterdir()] == [work]


@pytest.mark.parametrize("work", ["observe", "combine"])
def test_a_node_is_lost_whose_updates_can_be_made_again(work, cluster, in_memory):
    (node,) = cluster.worker_nodes
    train = ray.remote(num_cpus=1, max_retries=3, scheduling_strategy=on(node))(update)
    refs = {f"client-{k}": train.remote(k) for k in range(6)}
    same(held(RULES["reputation"](), refs, Losing(cluster, work, after=2)), in_memory["reputation"])
    assert not cluster.worker_nodes


def with_clients_away(cluster):
    """Updates of six clients, two of whom are on the other node."""
    (node,) = cluster.worker_nodes
    away = [Client.options(scheduling_strategy=on(node)).remote(k) for k in (1, 4)]
    refs = {f"client-{k}": ray.put(update(k)) for k in range(6)}
    return refs | {f"client-{k}": ray.get(actor.stored.remote())[0] for k, actor in zip((1, 4), away, strict=True)}


def test_a_node_is_lost_and_its_clients_with_it(cluster):
    """Nobody can make their updates again: they are left out, and the reasons say why."""
    refs = with_clients_away(cluster)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    result = RULES["reputation"]().aggregate(refs, executor=Ray())
    assert result.admitted.tolist() == [k not in (1, 4) for k in range(6)]
    assert "client 'client-1': its update cannot be had: O" in result.reasons[1]  # OwnerDiedError, ObjectLostError
    rest = RULES["reputation"]().aggregate({f"client-{k}": update(k) for k in (0, 2, 3, 5)})
    assert flattened(ray.get(result.update)) == flattened(rest.update)


@pytest.mark.parametrize("work", ["observe", "combine"])
def test_a_node_is_lost_with_its_clients_in_the_middle(work, cluster):
    """Whether their pieces are elsewhere by then is chance; either way the result is that of those who are admitted."""
    refs = with_clients_away(cluster)
    result = RULES["reputation"]().aggregate(refs, executor=Losing(cluster, work, after=1))
    assert not cluster.worker_nodes
    assert all(result.admitted[[0, 2, 3, 5]])
    rest = RULES["reputation"]().aggregate({f"client-{k}": update(k) for k in np.flatnonzero(result.admitted).tolist()})
    assert flattened(ray.get(result.update)) == flattened(rest.update)


@ray.remote
def train():
    raise RuntimeError("out of battery\nat home")


def test_a_client_that_fails(in_memory):

    refs = {f"client-{k}": ray.put(update(k)) for k in range(6)} | {"client-9": train.remote()}
    result = ra.Median().aggregate(refs, executor=Ray())
    assert "client 'client-9': its update cannot be had: RuntimeError: out of battery" in result.reasons[-1]
    assert flattened(ray.get(result.update)) == in_memory["median"][1]


def test_workers_of_another_version_are_no_clients_fault(monkeypatch):
    monkeypatch.setattr(config, "__version__", "0.0")
    with pytest.raises(ImportError, match=r"a worker has robustagg .*, whoever sent the work 0\.0"):
        ra.Median().aggregate({f"client-{k}": update(k) for k in range(6)}, executor=Ray())


def test_an_argument_that_fails():
    sent, rule = {f"client-{k}": update(k) for k in range(6)}, ra.CenteredClipping()
    with pytest.raises(ValueError, match=r"reference cannot be had: RuntimeError: out of battery$"):
        rule.aggregate(sent, reference=train.remote(), executor=Ray())
    assert rule.last_round is None


def test_an_intake_takes_what_references_stand_for():
    cluster, intake, ref = Ray(), ra.Intake("median", like=update(0)), ray.put(update(1))
    assert "expected a tensor, got ObjectRef" in intake.add("reference", ref)
    assert intake.add("value", lambda: cluster.value(ref)) is None
    assert intake.add("lost", lambda: cluster.value(train.remote())) == "RuntimeError: out of battery"


def test_a_result_is_the_next_rounds_reference():
    sent = {f"client-{k}": update(k) for k in range(6)}
    model = ra.Median().aggregate({client: ray.put(one) for client, one in sent.items()}, executor=Ray()).update
    there = ra.CenteredClipping().aggregate(sent, reference=model, executor=Ray())  # whoever has no references
    plain = ra.CenteredClipping().aggregate(sent, reference=ray.get(model))
    assert flattened(ray.get(there.update)) == flattened(plain.update)
