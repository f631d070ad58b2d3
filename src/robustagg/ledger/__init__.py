"""The reputation model: its memory, and the SQLite file that keeps it and tells why."""

from robustagg.ledger.memory import Ledger
from robustagg.ledger.sqlite import load, save
from robustagg.ledger.trail import RoundRecord, history, rounds

__all__ = ["Ledger", "RoundRecord", "history", "load", "rounds", "save"]
