"""Torch's tensors on a device, where there is none: what is looked at, what is shared, and what is waited for."""

from __future__ import annotations

import sys
import warnings
from collections import Counter, OrderedDict

import numpy as np
import pretended
import pytest
from cuda_host import There
from numpy.testing import assert_array_equal

import robustagg as ra
from robustagg.inputs import gather

torch = pytest.importorskip("torch")
VALUES = torch.arange(12.0).reshape(3, 4)


@pytest.fixture
def device(monkeypatch):
    return pretended.Device(monkeypatch, torch)


def rows_of(sent):
    return gather(sent).leaves[0].rows


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("tree", [lambda t: t, lambda t: {"w": t}, lambda t: OrderedDict(w=t), lambda t: [t]])
def test_whatever_a_tensor_is_like_its_row_has_its_values_and_its_memory_where_that_is_in_order(device, dtype, tree):
    values = VALUES.to(dtype) if dtype == torch.float32 else VALUES.type(dtype)
    other_order = values.T.contiguous().T
    learnt = torch.nn.Parameter(values.clone())
    sent = [values, values.clone(), other_order, learnt, values.clone().requires_grad_(), values.expand(3, 4)]
    rows = rows_of(list(map(tree, sent)))
    bits = torch.int16 if dtype == torch.bfloat16 else dtype
    for row, tensor in zip(rows, sent, strict=True):
        assert type(row) is There
        values_of = row.get().view(np.int16) if bits != dtype else row.get()
        assert_array_equal(values_of, values.view(bits).numpy().reshape(-1))
        assert (row.data.ptr == tensor.data_ptr()) == (tensor is not other_order)


def test_a_state_dict_with_counters_stays_but_for_these(device):
    sent = [OrderedDict(w=torch.ones(2, 3), steps=torch.tensor(i)) for i in range(3)]
    weights, steps = gather(sent).leaves[::-1]
    assert [(type(row), row.tolist()) for row in steps.rows] == [(np.ndarray, [i]) for i in range(3)]
    assert [type(row) for row in weights.rows] == [There] * 3


@pytest.mark.parametrize("there", [True, False])
def test_whose_memory_is_exchanged_later_has_sent_what_it_had(there, monkeypatch):
    if there:
        pretended.Device(monkeypatch, torch)
    sent = [torch.arange(5000.0) for _ in range(3)]
    rows = rows_of(sent)
    for tensor in sent:
        tensor.data = torch.zeros(5000)
    for row in rows:
        assert_array_equal(row.get() if there else row, np.arange(5000.0))


def test_negated_views_and_tensors_without_values(device):
    negated = torch._neg_view(torch.arange(3.0))
    assert_array_equal(rows_of([torch.ones(3), negated])[1].get(), [0, -1, -2])
    assert [row.size for row in rows_of([torch.empty(0, 3), torch.empty(0, 3)])] == [0, 0]


def freed():
    tensor = torch.ones(3)
    tensor.untyped_storage().resize_(0)
    return tensor


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype, says torch
        return torch.nested.nested_tensor([torch.ones(3)])


OTHERS = {
    "shape": lambda: torch.ones(4),
    "float64": lambda: torch.ones(3, dtype=torch.float64),
    "sparse": lambda: torch.ones(3).to_sparse(),
    "nested": nested,
    "storage is empty": freed,
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_tensor_unlike_the_others_costs_its_client_alone(device, what):
    sent = [torch.ones(3), torch.ones(3), OTHERS[what](), torch.ones(3)]
    found = gather(sent)
    assert list(found.excluded) == [2]
    assert what in found.excluded[2]
    with pytest.raises((TypeError, ValueError), match=what):
        gather(sent, strict=True)


def test_what_derives_from_a_tensor_may_have_no_memory_and_goes_by_way_of_the_host(device):
    class Wrapped(torch.Tensor):
        pass

    rows = rows_of([torch.ones(3), torch.ones(3).as_subclass(Wrapped)])
    assert [type(row) for row in rows] == [There, There]


class Holder:
    """An array that says where on a device it is, and no more."""

    __cuda_array_interface__ = ()

    def __init__(self, values):
        self.values, self.dtype, self.shape = values, values.dtype, values.shape


def test_a_number_on_a_device_stays_one(device):
    sent = [{"scale": Holder(np.array(value)), "w": Holder(np.ones((2, 3)).T)} for value in (1.0, 2.0)]
    scale, weights = gather(sent).leaves
    assert (scale.shape, weights.shape) == ((), (3, 2))
    assert [row.tolist() for row in scale.rows] == [[1.0], [2.0]]


def test_integers_that_say_where_on_a_device_they_are_come_home(device):
    sent = [{"n": Holder(np.array([i, 7])), "w": Holder(np.ones(3, np.float32))} for i in range(3)]
    found = ra.Median()(sent)
    assert found["n"].tolist() == [1, 7]


def calls_of(job):
    """How often functions of the package are called, and from it those that are not Python's."""
    calls = Counter()

    def count(frame, event, _):
        calls[event] += event in ("call", "c_call") and "/robustagg/" in frame.f_code.co_filename

    sys.setprofile(count)
    try:
        job()
    finally:
        sys.setprofile(None)
    return calls["call"], calls["c_call"]


@pytest.mark.parametrize(("there", "python", "others"), [(True, 6, 9), (False, 9, 14)], ids=["there", "at the host"])
def test_another_client_like_the_first_costs_few_calls(there, python, others, monkeypatch):
    if there:
        pretended.Device(monkeypatch, torch)
    sent = [torch.ones(9) for _ in range(60)]
    few, many = calls_of(lambda: gather(sent[:10])), calls_of(lambda: gather(sent))
    assert (many[0] - few[0]) / 50 <= python
    assert (many[1] - few[1]) / 50 <= others


def test_one_wait_for_what_torch_has_queued_on_another_stream(device):
    sent = [torch.ones(3) for _ in range(100)]
    rows_of(sent)
    assert not device.waits
    device.stream = 5
    rows_of(sent)
    assert device.waits == [(0, 7)]


def test_tensors_of_another_device_are_copied_to_that_which_computes(device):
    sent = [torch.ones(3) for _ in range(10)]
    device.index = 1
    rows = rows_of(sent)
    assert device.copied == [torch.device("cuda", 1)] * 10
    assert [type(row) for row in rows] == [There] * 10
    assert isinstance(ra.Mean()(sent), torch.Tensor)


@pytest.mark.parametrize(
    ("rule", "d", "launched", "sent", "home", "zeros"),
    [
        (ra.Mean(), 1100, 1, 1, 1, 1),
        (ra.Median(), 1100, 1, 1, 1, 1),
        (ra.Reputation(), 1100, 3, 2, 2, 2),
        (ra.Krum(f=2), 1100, 3, 2, 3, 3),
        (ra.Krum(f=2), 20000, 4, 3, 4, 4),
        (ra.Suspicion(f=2), 1100, 9, 10, 10, 9),
        (ra.ResidualReweighting(), 1100, 2, 2, 2, 2),
        (ra.DnC(f=2), 1100, 11, 11, 11, 11),
    ],
)
def test_a_round_asks_little_of_a_device(device, rule, d, launched, sent, home, zeros):
    """The numbers of docs/gpu.md."""
    updates = [{"v": torch.ones(d - 100), "w": torch.ones(10, 10)} for _ in range(10)]
    assert isinstance(rule.aggregate(updates).update["w"], torch.Tensor)
    assert device.machine.counted == {"launched": launched, "sent": sent, "brought home": home, "zeros": zeros}
    assert device.shared == 20
