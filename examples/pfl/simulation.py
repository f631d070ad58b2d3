"""A simulation's backend."""

from pfl.aggregate.simulate import SimulatedBackend


def backend(training_data, val_data, postprocessors):
    return SimulatedBackend(training_data, val_data, postprocessors)
