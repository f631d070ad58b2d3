"""A federation of ten in NVFlare's simulator: python job.py FOLDER ATTACKERS GARBAGE NAN FAILING."""

import sys
from pathlib import Path

import numpy as np
from client import CLASSES, FEATURES
from nvflare.fuel.utils.constants import FrameworkType
from nvflare.recipe import SimEnv
from nvflare.recipe.fedavg import FedAvgRecipe

from robustagg.integrations.nvflare import DictPersistor

CLIENTS = 10


def main():
    folder = Path(sys.argv[1]).absolute()
    model = folder / "model.npz"
    if not model.exists():
        np.savez(model, weight=np.zeros((FEATURES, CLASSES), np.float32), bias=np.zeros(CLASSES, np.float32))
    recipe = FedAvgRecipe(
        name="softmax",
        model_persistor=DictPersistor(str(model)),
        framework=FrameworkType.NUMPY,
        min_clients=CLIENTS,
        num_rounds=3,
        train_script=str(Path(__file__).with_name("client.py")),
        train_args=" ".join(sys.argv[2:]),
    )
    recipe.execute(SimEnv(num_clients=CLIENTS, workspace_root=str(folder)))


if __name__ == "__main__":
    main()
