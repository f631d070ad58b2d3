"""Every error text of the package, by subject, and the one signal that layers pass to each other.

Each function returns the exception for its caller to raise, so that a traceback ends where the fault was found.
A text names the client and the numbers; whoever reads it at night should need no debugger.
"""

# ruff: noqa: F403 - whoever raises says errors.x(...), and need not know the subject

from robustagg.errors.attacks import *
from robustagg.errors.cli import *
from robustagg.errors.environment import *
from robustagg.errors.files import *
from robustagg.errors.inputs import *
from robustagg.errors.kinds import *
from robustagg.errors.ledger import *
from robustagg.errors.parameters import *
from robustagg.errors.rounds import *
from robustagg.errors.rules import *
from robustagg.errors.states import *
from robustagg.errors.tensors import *
from robustagg.errors.truth import *
from robustagg.errors.words import *
