"""What distance rules know of the rows, in sums that no order of adding up can change."""
