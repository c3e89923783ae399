"""A game goes on while its scripts are edited at random, good and bad; see `edited_game`."""

import re
import sys

import pytest
from processes import ROOT, run_python

LONG = 200


def play(*arguments):
    """Return (ticks, steps that were done) of a series of edits."""
    printed = run_python(sys.executable, "-W", "error", f"{ROOT}/tests/edited_game.py", *map(str, arguments), timeout=3600)
    found = re.search(r"^(\d+) ticks, (\d+) steps done", printed, re.MULTILINE)
    assert found, printed
    return int(found[1]), int(found[2])


def test_short_series():
    ticks, done = play(0, 20)
    assert ticks > 20 and done > 10


def test_short_series_with_the_events_of_the_system():
    ticks, done = play(2, 6, "delete", "system")
    assert ticks > 6 and done > 2


@pytest.mark.long
@pytest.mark.parametrize("removed", ["delete", "leak"])
@pytest.mark.parametrize("seed", range(3))
def test_long_series(seed, removed):
    ticks, done = play(seed, LONG, removed)
    assert ticks > LONG and done > LONG / 2


@pytest.mark.long
def test_long_series_with_the_events_of_the_system():
    ticks, done = play(7, LONG // 4, "delete", "system")
    assert ticks > LONG // 4 and done > LONG // 8
