"""What outlives a round: vectors of a model's size, and a rule's state as a file."""
