"""The server: averages what the clients send."""

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from quickstart.task import model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    folder, clients = Path(str(context.run_config["folder"])), int(context.run_config["clients"])
    strategy = FedAvg(
        min_train_nodes=clients,
        min_evaluate_nodes=clients,
        min_available_nodes=clients,
    )
    arrays = ArrayRecord({name: Array(array) for name, array in model().items()})
    result = strategy.start(grid, arrays, num_rounds=int(context.run_config["rounds"]), timeout=60)
    np.savez(folder / "model.npz", **{name: array.numpy() for name, array in result.arrays.items()})
