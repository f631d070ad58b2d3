"""Pre-aggregations, which mix the rows before a rule sees them, and the pipeline of both."""
