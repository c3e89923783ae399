"""Calls and reads: an object from the database is the plain object that Python made, so they cost what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import transaction

import persistmod
from benchmarks.corpora import Workspace
from benchmarks.timing import Figure, ask_process, figure

SOURCE = """
RATE = 3

def add(first, second):
    return first + second

def rate():
    return RATE

class Counter:
    def __init__(self, count):
        self.count = count

    def step(self):
        self.count += 1
        return self.count
"""

# what is shown: (setup, timed)
STATEMENTS = {
    "function": ("add = module.add", "add(1, 2)"),
    "method": ("counter = module.Counter(0)", "counter.step()"),
    "instance": ("Counter = module.Counter", "Counter(0)"),
    "global": ("rate = module.rate", "rate()"),
    "attribute": ("read = module", "read.RATE"),
}

WORDS = {
    "function": "call of a function",
    "method": "call of a method that changes its instance",
    "instance": "making an instance",
    "global": "call of a function that reads a global",
    "attribute": "attribute read of a module",
}


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield a figure for each statement, over several processes: memory layout shifts such times."""
    request = _prepare(workspace)
    answers = [ask_process("calls", **request) for _ in range(workspace.rounds(7))]
    for name, words in WORDS.items():
        pairs = chain.from_iterable(answer[name] for answer in answers)
        yield figure(
            f"calls.{name}", pairs, what=words, against="the same code imported from a file", aim=1.0, unit="s"
        )


def _prepare(workspace: Workspace) -> dict[str, Any]:
    folder = workspace.folder / "calls"
    folder.mkdir()
    (folder / "calls_in_file.py").write_text(SOURCE)
    db = persistmod.open_db(str(folder / "app.fs"))
    with transaction.manager:
        persistmod.get_registry(db.open()).add("calls_in_database", SOURCE)
    db.close()
    return {
        "directory": str(folder),
        "database": str(folder / "app.fs"),
        "in_file": "calls_in_file",
        "in_database": "calls_in_database",
        "statements": STATEMENTS,
        "rounds": workspace.rounds(30),
    }
