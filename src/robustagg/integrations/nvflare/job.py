"""What a job is made of besides the aggregator."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor
from nvflare.recipe.fedavg import FedAvgRecipe

from robustagg import errors
from robustagg.integrations.nvflare.aggregator import RobustAggregator


class Robust:
    """Makes a recipe of FedAvg's family robust: ``class Ours(Robust, nvflare.app_opt.pt.recipes.FedAvgRecipe): ...``.

    `rule`, `ledger` and `intake` are those of :class:`RobustAggregator`, everything else is the recipe's own. A client
    that reports an error takes no part in the round, and does not end the job where the recipe's controller is FedAvg;
    under ScatterAndGather (FedOptRecipe) it does once fewer than `min_clients` are left, as in NVFlare.

    Raises
    ------
    ValueError
        If `exclude_vars` or `aggregation_weights` are given, which are settings of the average.
    """

    def __init__(
        self, rule: Any, *, ledger: str | None = None, intake: dict[str, Any] | None = None, **options: Any
    ) -> None:
        averaging = [name for name in ("exclude_vars", "aggregation_weights") if options.get(name) is not None]
        if averaging:
            raise errors.of_the_average(averaging)
        super().__init__(aggregator=RobustAggregator(rule, ledger, intake), **options)  # type: ignore[call-arg]

    def _get_controller_kwargs(self) -> dict[str, Any]:
        return {**super()._get_controller_kwargs(), "ignore_result_error": True}  # type: ignore[misc]


class RobustFedAvgRecipe(Robust, FedAvgRecipe):
    """FedAvg's recipe with a robust rule in place of the average."""


class DictPersistor(ModelPersistor):
    """Keeps a model that is a dict of NumPy arrays in one .npz file on the server, where the next job finds it."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def load_model(self, fl_ctx: Any) -> Any:
        with np.load(self.file) as arrays:
            return make_model_learnable(dict(arrays), {})

    def save_model(self, model: Any, fl_ctx: Any) -> None:
        draft = f"{self.file}.draft.npz"
        np.savez(draft, **model[ModelLearnableKey.WEIGHTS])
        os.replace(draft, self.file)
