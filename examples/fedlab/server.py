"""The server's side of a federation."""

from fedlab.contrib.algorithm.basic_server import SyncServerHandler


def handler(model, rounds):
    return SyncServerHandler(model, rounds, sample_ratio=1.0)
