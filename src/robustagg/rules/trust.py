"""FLTrust: trust in those whose updates go along with the server's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.protocol import Round, Verdict
from robustagg.rules.distance import Combination, ReferenceRule
from robustagg.rules.evidence.geometry import Relation


@dataclass(eq=False)
class FLTrust(ReferenceRule):
    r"""The mean of the updates, cut to the length of the server's own and weighted by their agreement with it,

    .. math:: g = \frac{\sum_i t_i \, (\lVert g_0\rVert / \lVert g_i\rVert) \, g_i}{\sum_i t_i},
        \qquad t_i = \max(0, \cos(g_i, g_0)).

    The server's update :math:`g_0`, trained on a small clean set of its own, is an argument of the call:
    ``rule.aggregate(updates, server_update=g0)``.

    Parameters
    ----------
    nonfinite : {"reject", "raise"}
        What becomes of a client whose update holds a NaN or an infinity: left out, or an error.

    Raises
    ------
    ValueError
        In a round without `server_update`, or with one that holds a NaN or an infinity.

    Notes
    -----
    No bound on the number of attackers; what they can do is bounded by the length and the direction of the server's
    update. O(nd), one pass. Where no client has any trust, the result is zero and so are all weights. Updates must
    be differences from the global model, not models.

    References
    ----------
    Cao et al., "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping", NDSS 2021.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> updates = np.array([[2.0, 0.0], [4.0, 0.0], [-900.0, 0.0]])
    >>> ra.FLTrust()(updates, server_update=np.array([1.0, 0.0]))
    array([1., 0.])
    """

    differences = True
    extras = frozenset({"server_update"})

    def check(self, round: Round) -> None:
        super().check(round)
        if "server_update" not in round.extras:
            raise errors.missing_argument("FLTrust", "server_update")

    def references(self, round: Round) -> Mapping[str, Any]:
        return {name: tree for name, tree in round.extras.items() if name in self.extras}

    def reference_row(self, round: Round) -> int:
        return len(round.kept)

    def compare(self, relation: Relation, round: Round) -> Verdict:
        norms, own = relation.norms[:-1], relation.norms[-1]
        trust = relation.cosines()[:-1].clip(0, 1)
        total = trust.sum() or 1.0
        coefficients = trust / total * np.divide(own, norms, out=np.zeros_like(norms), where=norms > 0)
        reasons = [f"trust {t:.4g}" if t else "no trust: not along with the server's update" for t in trust]
        return Combination(trust / total, reasons, coefficients=np.append(coefficients, 0.0))
