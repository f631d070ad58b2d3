"""Truth discovery: estimates and weights that explain each other, found by turns."""

from __future__ import annotations

from robustagg.truth.estimators.base import Estimator, Method
from robustagg.truth.estimators.catd import CATD
from robustagg.truth.estimators.crh import CRH
from robustagg.truth.estimators.gtm import GTM
from robustagg.truth.estimators.plain import MajorityVote, Mean, Median

__all__ = ["CATD", "CRH", "GTM", "METHODS", "Estimator", "MajorityVote", "Mean", "Median", "Method"]

METHODS: dict[str, type[Method]] = {"mean": Mean, "median": Median, "crh": CRH, "gtm": GTM, "catd": CATD}
