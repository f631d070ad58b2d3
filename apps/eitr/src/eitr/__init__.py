"""EITR: a sensitive-topic classifier that learns from its users."""
