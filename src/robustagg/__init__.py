"""Robust aggregation of clients' updates in federated learning."""

from robustagg.config import __version__, show_config
from robustagg.errors import BackendUnavailable, InvalidLedger
from robustagg.files import aggregate_files
from robustagg.kernels import set_num_threads, use_backend
from robustagg.protocol import Result
from robustagg.rules.base import Rule
from robustagg.rules.coordinatewise import Mean, Median, TrimmedMean
from robustagg.rules.reputation import Reputation
from robustagg.rules.steps import confidence, rectify, repeated_median

__all__ = [
    "BackendUnavailable",
    "InvalidLedger",
    "Mean",
    "Median",
    "Reputation",
    "Result",
    "Rule",
    "TrimmedMean",
    "__version__",
    "aggregate_files",
    "confidence",
    "rectify",
    "repeated_median",
    "set_num_threads",
    "show_config",
    "use_backend",
]
