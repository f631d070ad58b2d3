"""A rule's memory as a file that tells why: any rule's state and trail, and the reputations of clients."""

from robustagg.ledger.book import State, load, saving, summary
from robustagg.ledger.reputation import WINDOW, Ledger, checked_round
from robustagg.ledger.trail import Past, RoundRecord, history, rounds

__all__ = [
    "WINDOW",
    "Ledger",
    "Past",
    "RoundRecord",
    "State",
    "checked_round",
    "history",
    "load",
    "rounds",
    "saving",
    "summary",
]
