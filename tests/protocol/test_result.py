"""A result as a person reads it on a terminal."""

from __future__ import annotations

import copy
import unicodedata

import numpy as np
import pytest

import robustagg as ra
from robustagg.protocol.result import LONGEST


def lines(*clients):
    return str(ra.Median().aggregate(np.eye(len(clients)), clients=clients)).splitlines()


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("lima", "lima"),
        ("Zürich", "Zürich"),
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\u202edesrever", r"\u202edesrever"),
        ("\ud800", r"\ud800"),
        ("", ""),
        ("x" * 1000, "x" * (LONGEST - 1) + "…"),
        (7, "7"),
    ],
)
def test_ids_cannot_command_the_terminal(client, shown):
    first = lines(client, "plain")[2]
    assert first.startswith(f"{shown}  ")
    assert first.isprintable()


def test_columns_stand_below_each_other_whatever_the_script():
    told = lines("lima", "東京", "\uff21\uff22", "re\u0301union")[1:]
    ends = set()
    for line in told:
        before = line[: min(line.find(word) for word in ("admitted", "yes") if word in line)]
        width = {"W": 2, "F": 2}
        ends.add(sum(width.get(unicodedata.east_asian_width(c), 1) - (unicodedata.combining(c) > 0) for c in before))
    assert len(told) == 5
    assert len(ends) == 1


def test_results_are_compared_as_objects():
    result = ra.Mean().aggregate(np.eye(3))
    assert result == result
    assert result != copy.deepcopy(result)
