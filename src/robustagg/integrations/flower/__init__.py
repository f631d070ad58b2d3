"""Flower's strategies with robust aggregation; :mod:`.legacy` has those of ``flwr.server``."""

from robustagg.integrations.flower.messages import Robust, RobustStrategy

__all__ = ["Robust", "RobustStrategy"]
