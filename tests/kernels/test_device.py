"""Rounds of tensors on a device: the answers of the host, in the sender's kind, where the tensors are.

Where there is none, the bodies as plain C++ compute, and arrays that mix with none of NumPy's stand for CuPy's.
"""

from __future__ import annotations

import copy

import cuda_host
import numpy as np
import pretended
import pytest
import zoo
from cases import ASKING, CASES

import robustagg as ra
from robustagg import kernels
from robustagg.engine import shared
from robustagg.inputs import relative
from robustagg.kernels.interface import GRAM_TILE

torch = pytest.importorskip("torch", reason="tensors on a device are torch's here")

DTYPES = ["float16", "bfloat16", "float32", "float64"]
HERE = "cuda" in kernels.available()
needs_device = pytest.mark.skipif(not HERE, reason="needs a CUDA device and CuPy")


class Computing(cuda_host.Host):
    launched = 0

    def launch(self, *launched):
        self.launched += 1
        super().launch(*launched)


@pytest.fixture
def device(monkeypatch):
    """A pretended one, on which something must then be computed; None where there is a real one."""
    if HERE:
        yield None
        return
    if cuda_host.COMPILER is None:
        pytest.skip("needs a device, or a C++ compiler")
    machine = Computing(resident=False)
    yield pretended.Device(monkeypatch, torch, machine)
    assert machine.launched


@pytest.fixture
def sent(device):
    """From an array, or a tree of such, to the same on the device."""
    return lambda rows: each(torch.from_numpy if device else lambda row: torch.from_numpy(row).cuda(), rows)


@pytest.fixture
def at_home(device):
    """A tensor of torch's that is at the host."""
    return device.at_home if device else lambda tensor: tensor


def each(job, tree):
    if isinstance(tree, dict):
        return {name: each(job, branch) for name, branch in tree.items()}
    return [each(job, branch) for branch in tree] if isinstance(tree, list) else job(tree)


def model(seed, scale=1.0):
    """More than a block of one tensor, and small ones that are packed."""
    drawn = np.random.default_rng(seed)
    shapes = {"w": (5, GRAM_TILE), "b": (7,), "odd": (90,)}
    return {name: (scale * drawn.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def whole_models():
    """A global model, and what clients have made of it."""
    center = model(0, scale=100.0)
    return center, [{name: center[name] + v for name, v in model(i, scale=0.1).items()} for i in range(1, 6)]


def agree(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].is_cuda
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name].cpu().numpy(), values, **tolerance)


@pytest.mark.parametrize("case", [*CASES, *ASKING], ids=str)
def test_every_rule_answers_as_at_the_host(case, sent):
    rows = np.array(zoo.rows_of(12, GRAM_TILE + 500))
    with kernels.use_backend("numpy"):
        expected = case.make(2).aggregate(list(rows), **case.extras(rows))
    found = case.make(2).aggregate(sent(list(rows)), **sent(case.extras(rows)))
    assert found.update.is_cuda
    np.testing.assert_allclose(found.update.cpu().numpy(), expected.update, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_state_dict_comes_back_as_it_was(dtype, sent):
    updates = [
        {
            "weight": sent(np.full((3, 4), i, np.float32)).to(getattr(torch, dtype)),
            "norm.running_mean": sent(np.full(3, i, np.float32)),
            "norm.num_batches_tracked": sent(np.array(7)),
        }
        for i in (1, 2, 900)
    ]
    update = ra.Median().aggregate(updates, policy=ra.Policy()).update
    assert update["weight"].dtype == getattr(torch, dtype)
    assert all(tensor.is_cuda for tensor in update.values())
    assert (update["weight"] == 2).all()
    assert update["norm.num_batches_tracked"] == 7


@pytest.mark.parametrize("rule", [ra.Suspicion(f=2), ra.AlignIns(), ra.DnC(2), ra.GeometricMedian()], ids=str)
def test_tensors_of_several_dtypes_are_one_model_there(rule, sent):
    rows = np.random.default_rng(0).normal(1, 1, (7, 6)).astype(np.float32)
    trees = [{"a": row[:3], "b": row[3:].astype(np.float64)} for row in rows]
    extras = {"global_model": trees[0]} if isinstance(rule, ra.AlignIns) else {}
    expected = copy.deepcopy(rule).aggregate(trees, **extras)
    found = rule.aggregate([sent(tree) for tree in trees], **{name: sent(tree) for name, tree in extras.items()})
    assert found.reasons == expected.reasons


@pytest.mark.parametrize("reference", [None, np.ones(4, np.float32)], ids=["", "whole models"])
def test_who_sends_a_nan_costs_itself_alone(reference, sent):
    rows = np.arange(20.0, dtype=np.float32).reshape(5, 4)
    rows[1, 2] = np.nan
    result = ra.Median().aggregate(sent(list(rows)), reference=reference)
    assert result.weights[1] == 0
    assert result.update.is_cuda
    assert result.update.tolist() == [10, 11, 12, 13]


@pytest.fixture
def brought(monkeypatch):
    """Bytes that were brought home."""
    if HERE:
        pytest.skip("counts what is brought home by arrays that stand for CuPy's")
    home, sizes = cuda_host.Host.home, []
    monkeypatch.setattr(cuda_host.Host, "home", lambda machine, row: sizes.append(row.nbytes) or home(machine, row))
    return sizes


@pytest.mark.parametrize("value", [1.0, np.nan], ids=["one", "all"])
def test_for_who_sends_a_nan_nobody_elses_update_is_brought_home(value, sent, brought, monkeypatch):
    monkeypatch.setattr(shared, "STRETCH", 4 * 1000)
    rows = np.arange(9.0 * 50_000, dtype=np.float32).reshape(9, -1)
    rows[1] *= np.float32(value)
    rows[1, -1] = np.nan
    assert ra.Median().aggregate(sent(list(rows))).weights[1] == 0
    own = rows[1].nbytes if np.isnan(value) else 4 * 1000
    assert own <= sum(brought) < own + 200


@pytest.mark.parametrize("rule", [ra.Median(), ra.Reputation()], ids=["Median", "Reputation"])
def test_for_a_mask_that_all_share_its_own_block_is_brought_home(rule, sent, brought):
    mask = np.array([0, -np.inf, 1, -np.inf], np.float32)
    trees = [{"w": np.full(2**18, i, np.float32), "mask": mask, "head": np.ones(9, np.float32)} for i in range(5)]
    update = rule(sent(trees))
    assert update["mask"].tolist() == mask.tolist()
    assert (update["w"] == 2).all()
    assert sum(brought) < trees[0]["w"].nbytes  # it lies in a block of small tensors, and the first tile of w


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("center", [None, 1.0, -np.inf], ids=["", "whole models", "in the reference too"])
def test_an_infinity_that_all_share_is_nobodys_fault(center, dtype, sent):
    rows = np.arange(20.0, dtype=np.float32).reshape(5, 4)
    rows[:, 2] = -np.inf
    there = [row.to(getattr(torch, dtype)) for row in sent(list(rows))]
    reference = None if center is None else torch.tensor([1.0, 1.0, center, 1.0]).to(getattr(torch, dtype))
    result = ra.Median().aggregate(there, reference=reference)
    assert result.update.is_cuda
    assert result.update.tolist() == [8, 9, -np.inf, 11]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "rule", [ra.Median(), ra.CenteredClipping(tau=1.0), ra.Reputation()], ids=lambda rule: type(rule).__name__
)
def test_whole_models_are_compared_with_the_global_one_where_they_are(rule, dtype, sent, monkeypatch):
    monkeypatch.setattr(relative, "THERE", 5 * 4 * 2 * GRAM_TILE)
    kind, one, other = getattr(torch, dtype), copy.deepcopy(rule), copy.deepcopy(rule)
    center, whole = (each(lambda tensor: tensor.to(kind), each(torch.from_numpy, tree)) for tree in whole_models())
    there = each(lambda tensor: tensor.to(kind), sent(whole_models()[1]))
    for reference in (center, each(lambda tensor: tensor.to(kind), sent(whole_models()[0]))):
        with kernels.use_backend("numpy"):
            expected = one.aggregate(whole, reference=center)
        found = other.aggregate(there, reference=reference)
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-5, atol=1e-6)
        for name, values in expected.update.items():
            assert found.update[name].dtype == kind
            assert found.update[name].is_cuda
            near = {"bfloat16": 2**-7, "float16": 2**-10}.get(dtype, 1e-5)
            np.testing.assert_allclose(found.update[name].cpu().double(), values.double(), rtol=near)


@pytest.mark.parametrize("there", [True, False], ids=["there", "at the host"])
@pytest.mark.parametrize(
    ("rule", "name"), [(ra.FLTrust(), "server_update"), (ra.CenteredClipping(tau=1.0), "center")], ids=["FLTrust", "CC"]
)
def test_what_a_rule_asks_for_besides_may_be_anywhere(rule, name, there, sent):
    updates, own = [model(i) for i in range(1, 6)], model(7)
    expected = rule(updates, **{name: own})
    agree(rule(sent(updates), **{name: sent(own) if there else own}), expected, rtol=1e-5, atol=1e-6)


def test_a_certificate_is_made_there(sent):
    updates = [model(i) for i in range(5)]
    expected = ra.Reputation().aggregate(updates, certify=True).certificate
    found = ra.Reputation().aggregate(sent(updates), certify=True).certificate
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


@pytest.mark.parametrize("member", [ra.NNM(f=1), ra.Bucketing(s=2), ra.NormClipping(c=1.0)], ids=str)
def test_a_pre_aggregation_on_its_own_leaves_its_rows_there(member, sent):
    updates = [model(i) for i in range(1, 6)]
    for found, expected in zip(member(sent(updates)), member(updates), strict=True):
        agree(found, expected, rtol=1e-5, atol=1e-6)
    rows = np.stack([update["odd"] for update in updates])
    np.testing.assert_allclose(member(sent(rows)).cpu().numpy(), member(rows), rtol=1e-5, atol=1e-6)


def test_where_a_client_or_a_tensor_is_at_the_host_the_others_stay(sent):
    updates = [model(i) for i in range(1, 6)]
    mixed = [{"w": sent(tree["w"]), "b": tree["b"], "odd": sent(tree["odd"])} for tree in updates]
    mixed[3] = updates[3]
    expected, found = ra.Median()(updates), ra.Median()(mixed)
    assert isinstance(found["b"], np.ndarray)
    for name, values in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name].cpu() if name != "b" else found[name]), values)


@pytest.mark.parametrize(
    "first", [lambda row: row, np.asfortranarray, "of torch"], ids=["", "Fortran's order", "torch"]
)
@pytest.mark.parametrize("aggregate", [ra.Median(), lambda updates: ra.NNM(f=1)(updates)[2]], ids=["Median", "NNM"])
def test_a_tensor_lies_where_the_first_client_has_it(first, aggregate, sent, at_home):
    updates = [np.arange(12, dtype=np.float32).reshape(3, 4) * i for i in range(5)]
    of_torch = first == "of torch"
    head = at_home(torch.from_numpy(updates[0])) if of_torch else first(updates[0])
    found = aggregate([head, *sent(updates[1:])])
    assert isinstance(found, torch.Tensor if of_torch else np.ndarray)
    np.testing.assert_allclose(np.asarray(found), aggregate(updates), rtol=1e-6)
    found = aggregate([sent(updates[1]), head, *sent(updates[2:])])
    assert found.is_cuda
    np.testing.assert_allclose(found.cpu().numpy(), aggregate([updates[1], updates[0], *updates[2:]]), rtol=1e-6)


class Own(ra.Rule[ra.Verdict]):
    """A rule of somebody's who knows NumPy."""

    def observe(self, block, round, verdict):
        return np.array([row.astype(float) @ row for row in block.rows]), None

    def combine(self, block, note, verdict):
        return np.mean(block.rows, axis=0)


def test_a_rule_of_ones_own_gets_rows_of_the_host(sent):
    updates = [model(i) for i in range(1, 6)]
    intake = ra.Intake(Own(), like=sent(updates[0]), reference=True)
    for client, tree in enumerate(updates):
        assert intake.add(client, sent(tree)) is None
    expected = Own()(updates)
    for found in (Own()(sent(updates)), Own()(sent(updates), reference=updates[0]), intake.close().update):
        agree(found, expected, rtol=1e-5, atol=1e-6)
    ra.Median()(sent(updates))  # which is computed there


def test_what_most_share_with_the_reference_is_no_difference(sent):
    mask = np.array([0, -np.inf, 1], np.float32)
    trees = [{"w": np.full(3, i, np.float32), "mask": mask + np.float32([i, 0, 0])} for i in range(5)]
    trees[4]["mask"] = np.zeros(3, np.float32)
    result = ra.Median().aggregate(sent(trees), reference=sent({"w": np.ones(3, np.float32), "mask": mask}))
    assert result.admitted.tolist() == [True] * 4 + [False]
    assert result.update["mask"].tolist() == [1.5, -np.inf, 1]
    with pytest.raises(ValueError, match="NaN or infinite values in reference"):
        ra.Median().aggregate(sent(list(np.ones((3, 2)))), reference=sent(np.array([1.0, np.nan])))


def test_on_what_is_to_be_equal_clients_can_agree_there(sent):
    trees = [{"w": np.full(3, i, np.float32), "head": np.arange(9.0)} for i in range(5)]
    trees[4]["head"] = np.zeros(9)
    result = ra.Median().aggregate(sent(trees), buffers={"head": "equal"})
    assert result.admitted.tolist() == [True] * 4 + [False]
    assert result.update["head"].tolist() == list(range(9))


@pytest.mark.parametrize("place", ["there", "at the host"])
def test_an_intake_computes_where_the_servers_model_is(place, sent):
    center, whole = whole_models()
    rounds = {}
    for where in ("numpy", "there"):
        lies = sent if where == "there" else lambda tree: tree
        like = lies(center) if place == "there" else center
        intake = ra.Intake(ra.Median(), like=like, reference=True)
        for number in range(2):
            for client, tree in enumerate(whole):
                assert intake.add(client, lies(tree)) is None
            assert intake.add(6 + number, each(lambda row: row * np.float32(np.nan), lies(center))) is None
            rounds[where, number] = intake.close()
    for number in range(2):
        found, expected = rounds["there", number], rounds["numpy", number]
        assert list(found.admitted) == list(expected.admitted)
        for name, values in expected.update.items():
            assert isinstance(found.update[name], torch.Tensor if place == "there" else np.ndarray)
            np.testing.assert_array_equal(np.asarray(found.update[name]), values)
    if place != "there":
        ra.Median()(sent(whole))  # the model was at home, and nothing computed elsewhere


@pytest.mark.parametrize("other", [0, 1], ids=["tied", "not tied"])
def test_what_an_intakes_model_ties_is_compared_there(other, sent):
    shared = np.zeros(GRAM_TILE, np.float32)
    intake = ra.Intake("median", like=dict.fromkeys("ab", sent(shared)))
    for i in range(3):
        assert intake.add(i, {"a": sent(shared + i), "b": sent(shared + i + other)}) is None
    update = intake.close().update
    assert update["a"].is_cuda
    assert (update["a"] == 1).all()
    assert (update["b"] == 1 + other).all()
    assert (update["a"].data_ptr() == update["b"].data_ptr()) == (other == 0)


@needs_device
def test_a_round_waits_for_what_torch_has_queued_and_torch_for_the_result(sent):
    rows = sent(list(np.zeros((3, 4096), np.float32)))
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10**8)
        for row, value in zip(rows, (1.0, 2.0, 900.0), strict=True):
            row.fill_(value)
        later = ra.Median()(rows) + 1
    torch.cuda.synchronize()
    assert (later == 3).all()


@needs_device
def test_arrays_of_cupy_share_their_memory():
    import cupy

    rows = [cupy.arange(4, dtype=np.float32) + i for i in range(3)]
    assert isinstance(ra.Median()(rows), cupy.ndarray)
    with kernels.use_backend("numpy"):
        assert isinstance(ra.Median()(rows), cupy.ndarray)
