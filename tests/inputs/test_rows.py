"""Tensors in any order of memory: the vote is on their values in C order, a result is laid out as the model is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import robustagg as ra
from robustagg.inputs.rows import Strided, flattened, laid_out, order_of

torch = pytest.importorskip("torch", reason="torch tensors need torch")

SHAPES = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@given(SHAPES, st.randoms(use_true_random=False), st.data())
def test_slices_of_any_layout_are_those_in_c_order(shape, random, data):
    axes = random.sample(range(len(shape)), len(shape))
    values = np.arange(np.prod(shape)).reshape(shape).transpose(axes)
    row = flattened(values)
    start, stop = sorted(data.draw(st.integers(0, values.size)) for _ in range(2))
    np.testing.assert_array_equal(row[start:stop], values.reshape(-1)[start:stop])
    np.testing.assert_array_equal(np.asarray(row), values.reshape(-1))
    twin = laid_out(np.ascontiguousarray(values), order_of(values))
    np.testing.assert_array_equal(twin, values)
    long = [axis for axis, length in enumerate(values.shape) if length > 1]
    assert [twin.strides[axis] for axis in long] == [values.strides[axis] for axis in long]


@pytest.mark.parametrize("rule", [ra.Median(), ra.Krum(f=1), ra.Mean()], ids=lambda rule: type(rule).__name__)
def test_channels_last_and_transposed_tensors_keep_their_strides(rule):
    def model(seed, last):
        drawn = torch.Generator().manual_seed(seed)
        conv, linear = torch.randn(6, 80, 9, 9, generator=drawn), torch.randn(30, 50, generator=drawn)
        return {"conv": conv.contiguous(memory_format=last) if last else conv, "linear": linear.T if last else linear}

    plain = rule([{**(tree := model(i, None)), "linear": tree["linear"].T.contiguous()} for i in range(5)])
    got = rule([model(i, torch.channels_last) for i in range(5)])
    assert got["conv"].is_contiguous(memory_format=torch.channels_last)
    assert not got["conv"].is_contiguous()
    assert got["linear"].stride() == (1, 50)
    for name, tensor in plain.items():
        assert torch.equal(got[name], tensor)
    mixed = rule(
        [
            model(i, torch.channels_last if i else None) | {"linear": tree}
            for i in range(5)
            for tree in [model(i, None)["linear"].T]
        ]
    )
    assert mixed["conv"].is_contiguous()
    assert torch.equal(mixed["conv"], plain["conv"])


def test_large_strided_tensors_are_copied_in_slices():
    values = np.zeros((64, 300, 200), np.float32).T
    row = flattened(values)
    assert isinstance(row, Strided)
    assert row[100:200].base is None
    assert flattened(values.T).base is not None


def test_arrays_in_fortran_order_come_back_so():
    update = ra.Median()([np.asfortranarray(np.full((4, 3), float(i))) for i in range(3)])
    assert update.flags.f_contiguous
    assert update.tolist() == [[1.0] * 3] * 4


def test_strided_tensors_that_must_be_equal():
    codes = np.arange(400, dtype=np.float32).reshape(20, 20)
    trees = [{"w": np.ones(3), "codes": codes.T.copy().T if i else codes} for i in range(3)]
    trees.append({"w": np.ones(3), "codes": codes.T})
    result = ra.Mean().aggregate(trees, buffers={"codes": "equal"})
    assert result.admitted.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(result.update["codes"], codes)
