"""The server's strategy."""

from fl4health.strategies.basic_fedavg import BasicFedAvg


def strategy(clients):
    return BasicFedAvg(min_fit_clients=clients, min_evaluate_clients=clients, min_available_clients=clients)
