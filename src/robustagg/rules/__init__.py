"""The rules, a file per family."""
