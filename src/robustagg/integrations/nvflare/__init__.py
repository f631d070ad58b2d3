"""NVFlare: robust aggregation of whole models, for its recipes and controllers."""

from robustagg.integrations.nvflare.aggregator import RobustAggregator
from robustagg.integrations.nvflare.job import DictPersistor, Robust, RobustFedAvgRecipe

__all__ = ["DictPersistor", "Robust", "RobustAggregator", "RobustFedAvgRecipe"]
