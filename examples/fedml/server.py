"""A cross-silo server."""

import fedml
from fedml.ml.aggregator.default_aggregator import DefaultServerAggregator


def aggregator(model, args):
    return DefaultServerAggregator(model, args)


if __name__ == "__main__":
    args = fedml.init()
    device = fedml.device.get_device(args)
    dataset, classes = fedml.data.load(args)
    model = fedml.model.create(args, classes)
    fedml.FedMLRunner(args, device, dataset, model, server_aggregator=aggregator(model, args)).run()
