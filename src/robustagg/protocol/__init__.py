"""What a round is made of: the question, the decision, the answer, and who takes part in it."""

from robustagg.names import Client, Floats
from robustagg.protocol.result import Result
from robustagg.protocol.round import NON_FINITE, Block, Remember, Round
from robustagg.protocol.verbs import Notes, Sink, Source
from robustagg.protocol.verdict import Standing, Verdict

__all__ = [
    "NON_FINITE",
    "Block",
    "Client",
    "Floats",
    "Notes",
    "Remember",
    "Result",
    "Round",
    "Sink",
    "Source",
    "Standing",
    "Verdict",
]
