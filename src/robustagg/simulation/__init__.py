"""Federated training under attack, on data that everybody has: what a rule does, seen before it is trusted.

>>> from robustagg.simulation import Settings, picture, simulate
>>> simulation = simulate(Settings(attack="backdoor", rounds=2, rules=("reputation", "mean")))
>>> [run.rule for run in simulation.runs]
['reputation', 'mean']
"""

from robustagg.attacks import ATTACKS
from robustagg.rules.table import RULES as ENTRIES
from robustagg.simulation.models import DEVICES, MODELS
from robustagg.simulation.pictures import picture
from robustagg.simulation.results import RoundRecord, RuleRun, Simulation
from robustagg.simulation.run import simulate
from robustagg.simulation.settings import CHOICES, PAYLOADS, Settings
from robustagg.simulation.tasks import SPLITS, TASKS, Task, arrays

RULES = tuple(entry.name for entry in ENTRIES)
"""The rules by name; any specification that :func:`robustagg.rule` takes is one too."""

__all__ = [
    "ATTACKS",
    "CHOICES",
    "DEVICES",
    "MODELS",
    "PAYLOADS",
    "RULES",
    "SPLITS",
    "TASKS",
    "RoundRecord",
    "RuleRun",
    "Settings",
    "Simulation",
    "Task",
    "arrays",
    "picture",
    "simulate",
]
