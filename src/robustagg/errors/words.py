"""How a text quotes what a stranger wrote."""

from __future__ import annotations


def shown(value: object) -> str:
    """What a stranger wrote, at a length that spares the reader."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
