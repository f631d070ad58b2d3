"""The public laws: every rule obeys them, and rules that do not are found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cases import ASKING, CASES

import robustagg as ra
from robustagg.testing import LAWS, check_rule


@pytest.mark.parametrize("case", [*CASES, *ASKING], ids=str)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law, case):
    law(case.claims)


@dataclass(eq=False)
class Middle(ra.Rule[ra.Verdict]):
    """A rule of somebody's own: the middle of the least and the greatest value."""

    def combine(self, block: ra.Block, note: Any, verdict: ra.Verdict) -> np.ndarray:
        rows = np.stack(block.rows)
        return rows.min(axis=0) / 2 + rows.max(axis=0) / 2


@dataclass(eq=False)
class Writing(Middle):
    def combine(self, block, note, verdict):
        block.rows[0][...] = 0
        return super().combine(block, note, verdict)


@dataclass(eq=False)
class Forgetting(Middle):
    scale: float = 1.0
    rounds = 0

    def combine(self, block, note, verdict):
        self.rounds += 1
        return super().combine(block, note, verdict) + np.float32(0.1) * self.rounds


@dataclass(eq=False)
class Believing(Middle):
    def combine(self, block, note, verdict):
        return np.asarray(block.rows[0])


def test_a_rule_of_somebodys_own_passes():
    check_rule(Middle, least=lambda f: 1)


@pytest.mark.parametrize(
    ("rule", "claims", "told"),
    [
        (Writing, {}, "writes to none"),
        (Forgetting, {}, "A round has the same bits again|goes on|is as it was|takes no part"),
        (Believing, {}, "The order of the clients does not matter"),
        (Middle, {"box": lambda n, f, apart: 0.0}, "Whatever attackers send"),
        (Middle, {"selects": True}, "one of the updates"),
        (ra.CenteredClipping, {"shift": True, "identical": False}, "moved by a vector"),
    ],
)
def test_a_rule_that_breaks_a_law_is_found_out(rule, claims, told):
    with pytest.raises((AssertionError, ValueError), match=told):
        check_rule(rule, least=lambda f: 1, **claims)
