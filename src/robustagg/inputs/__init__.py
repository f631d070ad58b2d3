"""Any framework's tensors as rows for the kernels, and results back as what the caller sent."""

from robustagg.inputs.updates import Leaf, Updates, client_ids, flat, gather, matched

__all__ = ["Leaf", "Updates", "client_ids", "flat", "gather", "matched"]
