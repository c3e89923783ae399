"""Putting a module into the database, with the commit.

`add` proves what it stores beside the live module, `convert` in a fresh process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.corpora import Workspace, functions_source
from benchmarks.timing import Figure, ask_process, figure

FUNCTIONS = 1000
WORDS = {"add": "add of a source, and commit", "convert": "convert of an imported module, and commit"}


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield a figure for each way into the database."""
    count = 20 if workspace.quick else FUNCTIONS
    for way, words in WORDS.items():
        yield figure(
            f"convert.{way}",
            [
                _pair(workspace, way, count, first=("subject", "baseline")[number % 2])
                for number in range(workspace.rounds(11))
            ],
            what=f"{words}: {count} functions",
            against="compile and exec of the same source",
            aim=3.0,
            unit="s",
        )


def _pair(workspace: Workspace, way: str, count: int, *, first: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(dir=workspace.folder) as folder:
        for name, functions in {"bench_small": 2, "bench_large": count}.items():
            (Path(folder) / f"{name}.py").write_text(functions_source(functions))
        answer = ask_process(
            "conversion", way=way, first=first, directory=folder, small="bench_small", name="bench_large"
        )
    return answer["subject"], answer["baseline"]
