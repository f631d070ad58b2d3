"""Federated softmax regression, and clients that attack it."""
