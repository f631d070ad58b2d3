"""Runs a rule over blocks, wherever they come from."""

from robustagg.engine.run import result_of, run

__all__ = ["result_of", "run"]
