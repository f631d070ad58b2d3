"""Robust aggregation of clients' updates in federated learning."""

from robustagg.config import __version__, show_config
from robustagg.errors import BackendUnavailable, InvalidLedger
from robustagg.files import aggregate_files, preaggregate_files
from robustagg.inputs.claims import capped_counts
from robustagg.inputs.policy import Policy
from robustagg.intake import Intake
from robustagg.kernels import set_num_threads, use_backend
from robustagg.protocol import Block, Certificate, Result, Round, Verdict
from robustagg.rules.alignment import AlignIns
from robustagg.rules.base import Rule, load
from robustagg.rules.clipping import CenteredClipping
from robustagg.rules.component import Withstanding
from robustagg.rules.coordinatewise import Mean, Median, TrimmedMean
from robustagg.rules.cosine import FLAME, ClippedClustering
from robustagg.rules.fldetector import FLDetector
from robustagg.rules.foolsgold import FoolsGold
from robustagg.rules.geometric import GeometricMedian
from robustagg.rules.harm import harms
from robustagg.rules.krum import Bulyan, Krum, MultiKrum
from robustagg.rules.layers import LASA
from robustagg.rules.lfighter import LFighter
from robustagg.rules.medians import MeaMed, RepeatedMedian
from robustagg.rules.metrics import MultiMetrics
from robustagg.rules.mixing.base import PreAggregation
from robustagg.rules.mixing.pipeline import Pipeline
from robustagg.rules.mixing.preaggregations import ARC, NNM, Bucketing, NormClipping
from robustagg.rules.mixing.synthesis import FoundationFL, Synthesis
from robustagg.rules.nearest import CGE, Aksel, Medoid, MoNNA
from robustagg.rules.reputation import Reputation
from robustagg.rules.residual import ResidualReweighting
from robustagg.rules.signs import RLR, SignGuard
from robustagg.rules.spectral import CAF, DnC
from robustagg.rules.steps import confidence, rectify, repeated_median
from robustagg.rules.subsets import MDA, SMEA
from robustagg.rules.suspicion import Suspicion
from robustagg.rules.table import rule
from robustagg.rules.trust import FLTrust

__all__ = [
    "ARC",
    "CAF",
    "CGE",
    "FLAME",
    "LASA",
    "MDA",
    "NNM",
    "RLR",
    "SMEA",
    "Aksel",
    "AlignIns",
    "BackendUnavailable",
    "Block",
    "Bucketing",
    "Bulyan",
    "CenteredClipping",
    "Certificate",
    "ClippedClustering",
    "DnC",
    "FLDetector",
    "FLTrust",
    "FoolsGold",
    "FoundationFL",
    "GeometricMedian",
    "Intake",
    "InvalidLedger",
    "Krum",
    "LFighter",
    "MeaMed",
    "Mean",
    "Median",
    "Medoid",
    "MoNNA",
    "MultiKrum",
    "MultiMetrics",
    "NormClipping",
    "Pipeline",
    "Policy",
    "PreAggregation",
    "RepeatedMedian",
    "Reputation",
    "ResidualReweighting",
    "Result",
    "Round",
    "Rule",
    "SignGuard",
    "Suspicion",
    "Synthesis",
    "TrimmedMean",
    "Verdict",
    "Withstanding",
    "__version__",
    "aggregate_files",
    "capped_counts",
    "confidence",
    "harms",
    "load",
    "preaggregate_files",
    "rectify",
    "repeated_median",
    "rule",
    "set_num_threads",
    "show_config",
    "use_backend",
]
