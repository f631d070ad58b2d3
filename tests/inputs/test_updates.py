"""Whatever kind of tensor comes in, the same kind goes out, and nothing is copied or written to that need not be."""

from __future__ import annotations

import array
import sys
from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import robustagg as ra
from robustagg import inputs

torch = pytest.importorskip("torch", reason="torch tensors need torch")

MIDDLE = [0.0, -1.0, 2.0]
ROWS = [[1.0, -1.0, 2.0], [0.0, -1.0, 5.0], [-7.0, 3.0, 0.0]]


def matrix(dtype=np.float32):
    return np.array(ROWS, dtype)


# --- kinds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, ">f4", ">f8"])
def test_numpy_keeps_its_dtype(dtype):
    for updates in (matrix(dtype), list(matrix(dtype)), iter(matrix(dtype))):
        update = ra.Median()(updates)
        assert update.dtype == np.dtype(dtype).newbyteorder("=")  # as torch takes no other
        assert update.tolist() == MIDDLE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_stays_torch(dtype):
    tensors = torch.tensor(ROWS, dtype=dtype)
    for updates in (tensors, list(tensors), [t.requires_grad_() for t in tensors.clone().detach().unbind()]):
        update = ra.Median()(updates)
        assert isinstance(update, torch.Tensor)
        assert update.dtype == dtype
        assert update.tolist() == MIDDLE


def test_bfloat16_is_exact_to_the_bit():
    values = torch.randn(3, 1000, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    assert torch.equal(ra.Median()(values), values.median(dim=0).values)


class OnlyDlpack:
    """A tensor of a framework that offers nothing but DLPack."""

    def __init__(self, host):
        self.host, self.shape, self.dtype = host, host.shape, host.dtype

    def __dlpack__(self, **arguments):
        return self.host.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.host.__dlpack_device__()


class OnDevice:
    """An array as CuPy's are: on a device, in which results have to be made."""

    entered = 0

    def __init__(self, host):
        self.host, self.shape, self.dtype, self.device = host, host.shape, host.dtype, self

    def __array__(self, *arguments, **more):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self):
        return self.host.copy()

    def __enter__(self):
        OnDevice.entered += 1

    def __exit__(self, *exception):
        OnDevice.entered -= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cupy_stays_on_its_device(dtype, monkeypatch):
    def asarray(host):
        assert OnDevice.entered == 1
        return OnDevice(host)

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=OnDevice, asarray=asarray))
    for updates in (OnDevice(matrix(dtype)), [OnDevice(row) for row in matrix(dtype)]):
        update = ra.Median()(updates)
        assert isinstance(update, OnDevice)
        assert update.dtype == dtype
        assert update.host.tolist() == MIDDLE


@pytest.mark.parametrize(
    "kind",
    [
        lambda row: array.array("d", row),
        lambda row: memoryview(np.array(row)),
        lambda row: OnlyDlpack(np.array(row)),
        list,
    ],
    ids=["array.array", "memoryview", "dlpack", "list of numbers"],
)
def test_buffers_dlpack_and_numbers_come_back_as_numpy(kind):
    update = ra.Median()([kind(row) for row in ROWS])
    assert isinstance(update, np.ndarray)
    assert update.dtype == np.float64
    assert update.tolist() == MIDDLE


def test_array_api_tensors_come_back_as_their_own_kind():
    class Namespace:
        @staticmethod
        def asarray(host, device=None):
            return Tensor(host, device)

    class Tensor:
        def __init__(self, host, device="here"):
            self.host, self.shape, self.dtype, self.device = host, host.shape, host.dtype, device

        def __array__(self, dtype=None, copy=None):
            return self.host

        def __array_namespace__(self):
            return Namespace

    update = ra.Median()([Tensor(np.array(row)) for row in ROWS])
    assert isinstance(update, Tensor)
    assert (update.device, update.host.tolist()) == ("here", MIDDLE)


# --- structures -----------------------------------------------------------------------------------------------------

Layer = namedtuple("Layer", "weight bias")


def nested(k):
    return OrderedDict(
        b=[np.full((2, 3), k, np.float32), (np.full(4, 10.0 * k),)],
        a=Layer(torch.full((2,), float(k), dtype=torch.bfloat16), np.array(k, np.float16)),
    )


def test_structures_come_back_leaf_by_leaf():
    update = ra.Median()([nested(k) for k in (3, 1, 2)])
    assert isinstance(update, OrderedDict)
    assert list(update) == ["b", "a"]
    assert isinstance(update["a"], Layer)
    assert update["a"].weight.dtype == torch.bfloat16
    assert update["a"].weight.tolist() == [2, 2]
    assert (update["a"].bias.shape, update["a"].bias.dtype) == ((), np.float16)
    assert update["b"][0].tolist() == [[2.0] * 3] * 2
    assert isinstance(update["b"][1], tuple)
    assert update["b"][1][0].tolist() == [20.0] * 4


def test_a_mapping_names_the_clients():
    result = ra.Median().aggregate({"ada": nested(1), "bob": nested(2), "cem": nested(9)})
    assert result.clients == ("ada", "bob", "cem")
    assert result.update["b"][0][0, 0] == 2


def test_a_torch_models_state_dict_with_its_integer_buffers():
    def state(seed, steps):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        model[1].num_batches_tracked += steps
        return model.state_dict()

    states = [state(seed, steps) for seed, steps in enumerate([100, 7, 9, 8])]
    update = ra.Mean()(states)
    assert list(update) == list(states[0])
    torch.testing.assert_close(update["0.weight"], torch.stack([s["0.weight"] for s in states]).mean(0))
    assert update["1.num_batches_tracked"].dtype == torch.int64
    assert int(update["1.num_batches_tracked"]) == 8
    torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).load_state_dict(update)


def test_the_order_of_a_clients_keys_changes_nothing():
    first, second = {"a": np.ones(3), "b": np.zeros(2)}, {"b": np.zeros(2), "a": np.full(3, 3.0)}
    assert ra.Mean()([first, second])["a"].tolist() == [2, 2, 2]
    assert list(ra.Mean()([second, first])) == ["b", "a"]


def test_reputation_sees_a_structure_as_its_flat_values():
    flat = np.random.default_rng(0).normal(size=(6, 50))
    trees = [{"w": row[:30].reshape(5, 6), "b": row[30:]} for row in flat]
    one, two = ra.Reputation().aggregate(flat), ra.Reputation().aggregate(trees)
    np.testing.assert_array_equal(one.rejected, two.rejected)
    np.testing.assert_array_equal(one.update[:30], two.update["w"].ravel())
    np.testing.assert_array_equal(one.update[30:], two.update["b"])


# --- no copies, no writes -------------------------------------------------------------------------------------------


def test_contiguous_rows_are_viewed_not_copied():
    updates = np.zeros((3, 10), np.float32)
    leaf = inputs.gather(updates).leaves[0]
    assert all(np.shares_memory(row, updates) for row in leaf.rows)
    tensors = [torch.zeros(10) for _ in range(3)]
    rows = inputs.gather(tensors).leaves[0].rows
    assert all(np.shares_memory(row, t.numpy()) for row, t in zip(rows, tensors, strict=True))


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "readonly", "unaligned"])
def test_any_layout_gives_the_same_bits_and_is_left_alone(layout, monkeypatch):
    monkeypatch.setattr(inputs.updates, "CONTIGUOUS_BLOCK", 64)  # several blocks
    plain = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    updates = {
        "fortran": lambda: np.asfortranarray(plain),
        "strided": lambda: np.repeat(plain, 2, axis=1)[:, ::2],
        "reversed": lambda: plain[:, ::-1].copy()[:, ::-1],
        "readonly": lambda: np.frombuffer(plain.tobytes(), np.float32).reshape(plain.shape),
        "unaligned": lambda: np.frombuffer(b"x" + plain.tobytes(), np.float32, offset=1).reshape(plain.shape),
    }[layout]()
    for rule in (ra.Mean(), ra.Median(), ra.TrimmedMean(f=1), ra.Reputation()):
        np.testing.assert_array_equal(rule(updates), rule.__class__(**rule.parameters)(plain))
    np.testing.assert_array_equal(updates, plain)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("updates", "error", "words"),
    [
        ([{"w": np.zeros(3)}, {"v": np.zeros(3)}], ValueError, r"client 1.*lacks 'w', adds 'v'"),
        (
            [{"w": {"x": np.zeros(3)}}, {"w": {"x": np.zeros(4)}}],
            ValueError,
            r"client 1, at 'w.x': shape \(4,\).*\(3,\)",
        ),
        ([{"w": np.zeros(3)}, {"w": np.zeros(3, np.float32)}], TypeError, r"client 1, at 'w': dtype float32.*float64"),
        ([{"w": "text"}], TypeError, r"client 0, at 'w': expected a tensor, got str"),
        ([{"w": None}], TypeError, r"client 0, at 'w': expected a tensor, got NoneType"),
        ([np.zeros(3, np.longdouble)], TypeError, r"client 0: dtype \w+ cannot be aggregated"),
        ([np.zeros(3, int)], TypeError, r"client 0: the update holds integers only \(int64\)"),
        ([np.float64(1.0)], ValueError, r"client 0: an update must have at least one dimension"),
        ({"ada": np.zeros(3), 1.5: np.zeros(3)}, TypeError, r"a client id must be a str or an int, got 1.5"),
    ],
)
def test_bad_updates_name_the_client_and_the_place(updates, error, words):
    with pytest.raises(error, match=words):
        ra.Mean()(updates, strict=True)


def test_a_mapping_and_clients_contradict_each_other():
    with pytest.raises(ValueError, match="mapping"):
        ra.Mean().aggregate({"ada": np.zeros(2)}, clients=["ada"])


def test_the_int_1_and_the_str_1_are_two_clients_and_numpy_integers_are_ints():
    result = ra.Mean().aggregate(np.zeros((3, 2)), clients=[np.int64(1), "1", 2])
    assert result.clients == (1, "1", 2)
    assert type(result.clients[0]) is int
