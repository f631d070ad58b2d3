"""Runs a rule over blocks, wherever they come from."""

from robustagg.engine.run import run
from robustagg.engine.turns import turn, uninterrupted

__all__ = ["run", "turn", "uninterrupted"]
