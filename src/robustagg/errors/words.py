"""How a text quotes what a stranger wrote, and what was meant by it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def shown(value: object) -> str:
    """What a stranger wrote, at a length that spares the reader."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def meant(value: object, options: Iterable[str]) -> str:
    """A question for the nearest of some words, whatever the case and the dashes; nothing if none is near."""
    plain = {_plain(option): option for option in reversed(list(options))}
    near = get_close_matches(_plain(str(value)[:100]), plain, n=1)
    return f"; did you mean {plain[near[0]]!r}?" if near else ""


def _plain(word: str) -> str:
    return "".join(sign for sign in word.lower() if sign.isalnum())
