"""Tensors that are one: which they are, and which of them counts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.inputs.policy import Policy
from robustagg.inputs.tensors import Path, is_tensor


def place_of(tensor: Any) -> Any:
    """Where a tensor's values are, equal for tensors that share them all; None where nobody knows."""
    if isinstance(tensor, np.ndarray):
        address, strides = tensor.__array_interface__["data"][0], tensor.strides
        return (address, tensor.shape, strides, tensor.dtype.str) if tensor.size else None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        if tensor.layout != torch.strided or not tensor.numel() or not tensor.data_ptr():
            return None
        return tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.is_neg()
    return ("object", id(tensor)) if is_tensor(tensor) else None


def twins_of(
    policy: Policy, ties: Sequence[Sequence[str]], model: Mapping[int, tuple[Path, str, tuple[int, ...] | None]]
) -> dict[int, int]:
    """The leaves of each tie but its first, which they are tied to; the model is its tensors by their index."""
    at = {policy.name(path): k for k, (path, _, _) in model.items()}
    twins = {}
    for names in ties:
        for name in names:
            if name not in at:
                raise errors.no_such_tie(name)
        tied = sorted({at[name] for name in names})
        for k in tied[1:]:
            if model[k][1:] != model[tied[0]][1:]:
                raise errors.other_ties(policy.name(model[tied[0]][0]), policy.name(model[k][0]))
            twins[k] = tied[0]
    return twins
