"""Time statements on a module from a file and on the same from a database, turn about in this one process.

Each side has a timer of its own: a shared loop would be specialised by the interpreter for one of the two and slow
for the other.
"""

from __future__ import annotations

import importlib
import json
import sys
import timeit
from types import ModuleType
from typing import Any

import persistmod
from benchmarks.timing import alternate

SLICE = 0.004


def main(request: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    sys.path.insert(0, request["directory"])
    in_file = importlib.import_module(request["in_file"])
    db = persistmod.open_db(request["database"])
    try:
        with persistmod.importing(persistmod.get_registry(db.open())):
            in_database = importlib.import_module(request["in_database"])
        return {
            name: _compare(each, in_database, in_file, request["rounds"])
            for name, each in request["statements"].items()
        }
    finally:
        db.close()


def _compare(statement: list[str], subject: ModuleType, baseline: ModuleType, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds per call of (subject, baseline) in each round; `statement` is its setup and what to time."""
    setup, timed = statement
    timers = [timeit.Timer(timed, setup, globals={"module": module}) for module in (subject, baseline)]
    number = max(1, int(SLICE / (max(timer.timeit(1000) for timer in timers) / 1000)))
    first, second = (lambda timer=timer: timer.timeit(number) / number for timer in timers)
    return alternate(first, second, rounds)


print(json.dumps(main(json.load(sys.stdin))))
