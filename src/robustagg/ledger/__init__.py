"""A rule's memory as a file that tells why: any rule's state and trail, and the reputations of clients."""

from robustagg.ledger.course import Course, course
from robustagg.ledger.reading import State, load, summary
from robustagg.ledger.reputation import WINDOW, Ledger, checked_round
from robustagg.ledger.trail import Past, RoundRecord, history, rounds
from robustagg.ledger.writing import saving

__all__ = [
    "WINDOW",
    "Course",
    "Ledger",
    "Past",
    "RoundRecord",
    "State",
    "checked_round",
    "course",
    "history",
    "load",
    "rounds",
    "saving",
    "summary",
]
