"""What a round is made of: the question, the decision, the answer, and who takes part in it."""

from robustagg.names import Client, Floats
from robustagg.protocol.outcome import Outcome
from robustagg.protocol.result import Result
from robustagg.protocol.round import NON_FINITE, ROUNDS, Block, Round, Span, spans
from robustagg.protocol.verbs import Divisible, Executor, Holder, Notes, Partition, Sink, Source, Verbs, offers
from robustagg.protocol.verdict import Certificate, Standing, Verdict, Words

__all__ = [
    "NON_FINITE",
    "ROUNDS",
    "Block",
    "Certificate",
    "Client",
    "Divisible",
    "Executor",
    "Floats",
    "Holder",
    "Notes",
    "Outcome",
    "Partition",
    "Result",
    "Round",
    "Sink",
    "Source",
    "Span",
    "Standing",
    "Verbs",
    "Verdict",
    "Words",
    "offers",
    "spans",
]
