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
        return block.rows[0].copy()


@dataclass(eq=False)
class Lending(Middle):
    def combine(self, block, note, verdict):
        return block.rows[0]


@dataclass(eq=False)
class Nearest(Middle):
    """The update nearest to the middle, but of each block."""

    def combine(self, block, note, verdict):
        away = np.stack(block.rows) - super().combine(block, note, verdict)
        return block.rows[np.linalg.norm(away, axis=1).argmin()].copy()


@dataclass(eq=False)
class Shorter(Middle):
    def combine(self, block, note, verdict):
        return super().combine(block, note, verdict)[1:]


@dataclass(eq=False)
class Saying(Middle):
    weight: float = 1.0
    reasons: int = 9

    def decide(self, evidence, round):
        m = len(round.kept)
        return ra.Verdict(np.full(m, self.weight / m), ["why"] * min(m, self.reasons))


def test_a_rule_of_somebodys_own_passes():
    check_rule(Middle, least=lambda f: 1)


@pytest.mark.parametrize(
    ("rule", "claims", "told"),
    [
        (Writing, {}, "writes to none"),
        (Forgetting, {}, "takes no part|same bits again|However a model is cut"),
        (Lending, {}, "memory of its own: the result is the memory of an update"),
        (Nearest, {}, "However a model is cut into blocks"),
        (Shorter, {}, "finite updates.*: ValueError: cannot reshape"),
        (lambda f: Saying(weight=2.0), {}, "the weights sum to 2"),
        (lambda f: Saying(weight=-1.0), {}, "a weight of -0.333"),
        (lambda f: Saying(reasons=1), {}, r"3 clients have the reasons \('why',\)"),
        (Believing, {}, "The order of the clients does not matter"),
        (Middle, {"box": lambda n, f, apart: 0.0}, "Whatever attackers send"),
        (Middle, {"selects": True}, "one of the updates"),
        (ra.CenteredClipping, {"shift": True, "identical": False}, "moved by a vector"),
    ],
)
def test_a_rule_that_breaks_a_law_is_found_out(rule, claims, told):
    with pytest.raises(AssertionError, match=f"(?s){told}"):
        check_rule(rule, least=lambda f: 1, **claims)
