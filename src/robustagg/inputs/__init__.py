"""Any framework's tensors as rows for the kernels, and results back as what the caller sent."""

from robustagg.inputs.clients import client_ids
from robustagg.inputs.dispersed import by_reference
from robustagg.inputs.elsewhere import comparable
from robustagg.inputs.gather import copied, flat, gather
from robustagg.inputs.leaves import Leaf, matched, narrowed
from robustagg.inputs.policy import PLAIN, Policy, reduced
from robustagg.inputs.relative import Relative
from robustagg.inputs.survey import odd_ones
from robustagg.inputs.tensors import numbers, stored
from robustagg.inputs.updates import Updates

__all__ = [
    "PLAIN",
    "Leaf",
    "Policy",
    "Relative",
    "Updates",
    "by_reference",
    "client_ids",
    "comparable",
    "copied",
    "flat",
    "gather",
    "matched",
    "narrowed",
    "numbers",
    "odd_ones",
    "reduced",
    "stored",
]
