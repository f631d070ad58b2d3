"""Trees come back as the kind of tree they were, with what is no tensor in its place."""

from __future__ import annotations

import copy
import io
import sys
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace

import attr
import numpy as np
import pytest

import robustagg as ra

torch = pytest.importorskip("torch", reason="torch tensors need torch")

Layer = namedtuple("Layer", "weight bias")


class Frozen(Mapping):
    """As flax's FrozenDict."""

    def __init__(self, values):
        self._values = dict(values)

    def __getitem__(self, key):
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


@dataclass(frozen=True)
class State:
    weight: np.ndarray
    step: int = 3
    name: str = field(default="adam", kw_only=True)


@attr.s(frozen=True, slots=True)
class Slotted:
    weight = attr.ib()


class Registered:
    """A node that only torch's registry knows."""

    def __init__(self, weight):
        self.weight = weight


torch.utils._pytree.register_pytree_node(Registered, lambda n: ([n.weight], None), lambda parts, _: Registered(*parts))

CONTAINERS = {
    "dict": lambda w: {"w": w},
    "OrderedDict": lambda w: OrderedDict(w=w),
    "defaultdict": lambda w: defaultdict(list, w=w),
    "mappingproxy": lambda w: MappingProxyType({"w": w}),
    "UserDict": lambda w: UserDict(w=w),
    "Frozen": lambda w: Frozen({"w": w}),
    "list": lambda w: [w],
    "tuple": lambda w: (w,),
    "deque": lambda w: deque([w], maxlen=3),
    "namedtuple": lambda w: Layer(w, None),
    "dataclass": State,
    "attrs": Slotted,
    "registered": Registered,
    "ParameterDict": lambda w: torch.nn.ParameterDict({"w": torch.from_numpy(w)}),
    "ParameterList": lambda w: torch.nn.ParameterList([torch.from_numpy(w)]),
}


def only(tree):
    """The one tensor of such a tree."""
    values = tree.values() if isinstance(tree, (Mapping, torch.nn.ParameterDict)) else tree
    first = next(iter(values)) if hasattr(values, "__iter__") else tree.weight
    return first.tolist()


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_come_back_as_their_own_kind(name):
    make = CONTAINERS[name]
    sent = [{"x": make(np.full(3, i, np.float32))} for i in (1, 2, 9)]
    update = ra.Median()(sent)["x"]
    assert type(update) is type(sent[0]["x"])
    assert only(update) == [2, 2, 2]
    assert [only(tree["x"]) for tree in sent] == [[i] * 3 for i in (1, 2, 9)]
    if name == "defaultdict":
        assert update["new"] == []
    if name == "dataclass":
        assert (update.step, update.name) == (3, "adam")


class Known(Frozen):
    """A mapping that a framework knows as a node without names, as JAX does Flax' FrozenDict."""


class Named(Registered):
    """A node that torch knows, and what its branch is called."""


PYTREE = torch.utils._pytree
PYTREE.register_pytree_node(Known, lambda n: ([*n.values()], [*n]), lambda v, names: Known(zip(names, v, strict=True)))
PYTREE.register_pytree_node(
    Named,
    lambda node: ([node.weight], None),
    lambda branches, _: Named(*branches),
    flatten_with_keys_fn=lambda node: ([(PYTREE.GetAttrKey("weight"), node.weight)], None),
)


def test_nodes_that_frameworks_know_have_names():
    def frozen(i, name="encoder"):
        return Known({name: np.full(3, float(i)), "scale": np.full(3, 100.0)})

    sent = [*map(frozen, range(4)), frozen(-7, "zeta")]
    result = ra.Mean().aggregate(sent)
    assert "lacks 'encoder', adds 'zeta'" in result.reasons[4]
    assert type(result.update) is Known
    assert result.update["encoder"].tolist() == [1.5] * 3
    intake = ra.Intake("median", like=sent[0])  # a reply over a network is a dict
    assert intake.add(1, dict(sent[1])) is None
    assert intake.add(4, dict(sent[4])) is not None
    update = ra.Mean()([Named(np.ones(2) * i) for i in (1, 3)], policy=ra.Policy(exclude=("weight",)))
    assert update.weight.tolist() == [1, 1]  # the lower median


def test_a_named_tuple_of_numbers_is_a_node():
    update = ra.Mean()([{"bounds": Layer(1.0 * i, 2.0)} for i in range(4)])
    assert update["bounds"] == Layer(1.5, 2.0)


def test_constants_of_the_result_are_its_own():
    sent = [{"w": np.ones(2), "sizes": [1, 2], "name": bytearray(b"x")} for _ in range(3)]
    update = ra.Mean()(sent)
    update["sizes"].append(3)
    update["name"][:] = b""
    assert (sent[0]["sizes"], sent[0]["name"]) == ([1, 2], b"x")


def test_a_memoryview_is_rows():
    assert ra.Median()(memoryview(np.arange(6.0).reshape(3, 2))).tolist() == [2, 3]


def test_a_state_dicts_metadata_and_order_stay():
    states = [torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).state_dict() for _ in range(3)]
    update = ra.Median()(states)
    assert update._metadata == states[0]._metadata
    assert list(update) == list(states[0])


def test_nodes_that_jax_knows(monkeypatch):
    class Node:
        def __init__(self, weight):
            self.weight = weight

    def tree_flatten(tree, is_leaf):
        return ([tree.weight], "definition") if isinstance(tree, Node) else ([tree], None)

    def tree_unflatten(definition, parts):
        assert definition == "definition"
        return Node(*parts)

    util = SimpleNamespace(__name__="jax.tree_util", tree_flatten=tree_flatten, tree_unflatten=tree_unflatten)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(tree_util=util))
    update = ra.Median()([{"x": Node(np.full(2, i))} for i in (1.0, 2.0, 9.0)])["x"]
    assert isinstance(update, Node)
    assert update.weight.tolist() == [2, 2]


# --- what is no tensor ----------------------------------------------------------------------------------------------

CONSTANTS = [None, True, 3, "recipe", b"123", {"amax": "x", "on": True}, [0, 1], {1, 2}, torch.float32, torch.Size([2])]


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_what_the_clients_agree_on_passes_through(value):
    update = ra.Median()([{"w": np.ones(2) * i, "x": copy.deepcopy(value)} for i in range(3)])
    assert type(update["x"]) is type(value)
    assert update["x"] == value


def test_equal_buffers_of_bytes_pass_through():
    update = ra.Median()([{"w": np.ones(2), "x": io.BytesIO(b"state")} for _ in range(3)])
    assert update["x"].getvalue() == b"state"


def test_the_odd_one_is_left_out_and_without_a_majority_it_is_an_error():
    trees = [{"w": np.ones(2) * i, "x": "a" if i else "b"} for i in range(4)]
    result = ra.Median().aggregate(trees)
    assert result.admitted.tolist() == [False, True, True, True]
    assert "client 0, at 'x': 'b', but client 1 sent 'a'" in result.reasons[0]
    with pytest.raises(ValueError, match="client 0, at 'x'"):
        ra.Median().aggregate(trees, strict=True)
    with pytest.raises(ValueError, match=r"at 'x': the clients do not agree.*client 0 sent 0, client 1 sent 1"):
        ra.Median().aggregate([{"w": np.ones(2), "x": i} for i in range(4)])
    same = [{"w": np.ones(2), "x": value} for value in (1, True, 1.0)]  # equal, but not the same
    with pytest.raises(ValueError, match="do not agree"):
        ra.Median().aggregate(same[:2])


def test_a_float_is_a_tensor_and_a_list_of_floats_one_of_several():
    update = ra.Median()([{"w": np.ones(2), "lr": i / 4, "betas": (i, 0.5)} for i in (0.0, 1.0, 9.0)])
    assert (update["lr"], update["betas"]) == (0.25, (1.0, 0.5))
    assert type(update["lr"]) is float


@pytest.mark.parametrize("made", [np.asarray, torch.tensor])
def test_whose_list_is_not_like_the_others_is_left_out(made):
    def sent(*lengths):
        return [made([1.0] * length) for length in lengths]

    odd = [tuple(sent(3, 2)), sent(3), sent(3, 2, 1), sent(3, 1), [made([1, 1, 1]), made([1.0, 1.0])]]
    result = ra.Median().aggregate([sent(3, 2), *odd, *(sent(3, 2) for _ in range(6))], policy=ra.Policy())
    assert np.flatnonzero(result.weights == 0).tolist() == [1, 2, 3, 4, 5]
    assert [np.asarray(update).tolist() for update in result.update] == [[1.0] * 3, [1.0] * 2]


def test_an_optimizers_state_can_be_loaded_again():
    layers = [torch.nn.Linear(2, 2) for _ in range(3)]
    optimizers = [torch.optim.Adam(layer.parameters()) for layer in layers]
    for layer, optimizer in zip(layers, optimizers, strict=True):
        layer(torch.ones(2)).sum().backward()
        optimizer.step()
    update = ra.Median()([optimizer.state_dict() for optimizer in optimizers])
    assert update["param_groups"] == optimizers[0].state_dict()["param_groups"]
    optimizers[0].load_state_dict(update)


# --- tensors that NumPy does not hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("framework", ["torch", "ml_dtypes"])
def test_float8_is_aggregated_in_float32_and_narrowed_to_the_nearest(name, framework):
    values = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    if framework == "torch":
        sent = torch.from_numpy(values).to(getattr(torch, name))
        wide, update = sent.float().numpy(), ra.Mean()(sent)
        expected = torch.from_numpy(ra.Mean()(wide)).to(sent.dtype).float().tolist()
    else:
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="float8 in NumPy needs ml_dtypes")
        sent = values.astype(getattr(ml_dtypes, name))
        wide, update = sent.astype(np.float32), ra.Mean()(sent)
        expected = ra.Mean()(wide).astype(sent.dtype).astype(np.float32).tolist()
    assert update.dtype == sent.dtype
    assert [float(value) for value in update] == expected


def test_negative_and_conjugate_views_are_what_they_show():
    for dtype in (torch.float32, torch.bfloat16):
        assert ra.Median()([{"w": torch._neg_view(torch.ones(3, dtype=dtype))}] * 2)["w"].tolist() == [-1] * 3
    imaginary = torch.complex(torch.zeros(3), torch.ones(3)).conj().imag
    assert ra.Median()([{"w": imaginary}] * 2)["w"].tolist() == [-1] * 3


def test_torchs_tensors_are_left_as_they_were():
    tensors = [torch.ones(4, requires_grad=True) for _ in range(3)]
    ra.Mean()([{"w": tensor} for tensor in tensors])
    assert all(t.requires_grad and t.grad is None and t.untyped_storage().resizable() for t in tensors)
    assert not any(ra.inputs.gather(tensors).leaves[0].rows[0].flags[name] for name in ("WRITEABLE", "OWNDATA"))
