"""Runs a rule over blocks, wherever they come from."""

from robustagg.engine.run import result_of, run
from robustagg.engine.turns import turn, uninterrupted

__all__ = ["result_of", "run", "turn", "uninterrupted"]
