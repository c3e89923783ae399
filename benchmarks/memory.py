"""Memory of a loaded package: what importing it adds to the process, the open database and its cache included.

"traced" counts what Python allocated, to the byte and the same in every run; "resident" is what the system sees, with
arenas and buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.corpora import Workspace
from benchmarks.imports import ask_side, opening_modules
from benchmarks.timing import Figure, alternate, figure

AIM = 1.3
# how often: what is traced hardly varies, and tracing is slow
MEASURES = {"traced": 2, "resident": 7}


def measure(workspace: Workspace, *, name: str) -> Iterator[Figure]:
    """Yield the figures of the package `name`; the resident one only where the system tells it."""
    corpus = workspace.corpus(name)
    needed = opening_modules(corpus)
    for kind, rounds in MEASURES.items():
        if kind == "resident" and not Path("/proc/self/statm").exists():
            continue
        sides = [partial(ask_side, corpus, side, needed, kind) for side in ("database", "files")]
        answers = alternate(sides[0], sides[1], workspace.rounds(rounds))
        yield figure(
            f"memory.{name}.{kind}",
            [(subject["memory"], baseline["memory"]) for subject, baseline in answers],
            what=f"memory of {corpus.name}, {kind}",
            against="the same imported from .pyc",
            aim=AIM,
            unit="bytes",
            notes=(corpus.closed,),
        )
