"""The reputation model: its memory, and the SQLite file that keeps it and tells why."""

from robustagg.ledger.memory import Ledger
from robustagg.ledger.sqlite import RoundRecord, check_parameters, history, load, rounds, save

__all__ = ["Ledger", "RoundRecord", "check_parameters", "history", "load", "rounds", "save"]
