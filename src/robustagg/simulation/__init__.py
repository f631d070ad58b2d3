"""Federated training under attack, on data that everybody has: what a rule does, seen before it is trusted.

>>> from robustagg.simulation import Settings, picture, simulate
>>> simulation = simulate(Settings(attack="backdoor", rounds=2, rules=("reputation", "mean")))
>>> [run.rule for run in simulation.runs]
['reputation', 'mean']
"""

from robustagg.attacks import ATTACKS
from robustagg.rules.table import UNAIDED as RULES
from robustagg.simulation.pictures import picture
from robustagg.simulation.results import RoundRecord, RuleRun, Simulation
from robustagg.simulation.run import simulate
from robustagg.simulation.settings import CHOICES, PAYLOADS, Settings

__all__ = [
    "ATTACKS",
    "CHOICES",
    "PAYLOADS",
    "RULES",
    "RoundRecord",
    "RuleRun",
    "Settings",
    "Simulation",
    "picture",
    "simulate",
]
