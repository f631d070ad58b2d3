"""What an experiment is given to aggregate with."""

from fedbiomed.researcher.aggregators import FedAverage

aggregator = FedAverage()

# Experiment(tags=["mnist"], training_plan_class=Plan, aggregator=aggregator, round_limit=10, ...).run()
