"""Truth discovery: what a crowd's answers are worth, what poisons them, and what defends them."""

from robustagg.truth import attacks
from robustagg.truth.claims import Claims
from robustagg.truth.defences import MIE, MWA
from robustagg.truth.estimators import CATD, CRH, GTM, Estimator, MajorityVote, Mean, Median
from robustagg.truth.metrics import estimation_error, gold_error
from robustagg.truth.reputation import Reputation
from robustagg.truth.results import Result

__all__ = [
    "CATD",
    "CRH",
    "GTM",
    "MIE",
    "MWA",
    "Claims",
    "Estimator",
    "MajorityVote",
    "Mean",
    "Median",
    "Reputation",
    "Result",
    "attacks",
    "estimation_error",
    "gold_error",
]
