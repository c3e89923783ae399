"""Directories: from a file written to its new code running under watch; a tree brought in step."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.corpora import Corpus, Workspace, functions_source
from benchmarks.imports import ask_side, opening_modules
from benchmarks.timing import Figure, alternate, ask_process, figure

FUNCTIONS = 20
EDITED = {"networkx": "utils/misc.py"}


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield the figures of a watched directory, and of a tree of 285 modules."""
    with tempfile.TemporaryDirectory(dir=workspace.folder) as folder:
        answer = ask_process(
            "directories", task="follow", folder=folder, source=functions_source(FUNCTIONS), rounds=workspace.rounds(41)
        )
    pairs = answer["pairs"]
    late = [_late(side) for side in zip(*pairs, strict=True)]
    yield figure(
        "directories.watch", pairs, what=f"from a file of {FUNCTIONS} functions written to its new code running, under watch",
        against="watchfiles and importlib.reload", aim=1.2, unit="s",
        notes=(f"95 of 100 within {late[0] * 1000:.0f} ms, against {late[1] * 1000:.0f} ms",), details={"p95": late},
    )  # fmt: skip
    corpus = workspace.corpus("networkx")
    needed = opening_modules(corpus)
    rounds = alternate(lambda: _sync(workspace, corpus), lambda: ask_side(corpus, "files", needed), workspace.rounds(9))
    rows = (("unchanged", "sync of an unchanged tree", 0.3), ("one", "sync of one changed file in that tree, committed", None))
    for name, what, aim in rows:
        yield figure(
            f"directories.{name}", [(ours[name], files["total"]) for ours, files in rounds],
            what=f"{what}, {corpus.name} of {len(corpus.modules)} modules", against="importing it from .pyc", aim=aim, unit="s",
        )  # fmt: skip


def _late(seconds: tuple[float, ...]) -> float:
    return statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]


def _sync(workspace: Workspace, corpus: Corpus) -> dict[str, Any]:
    """Measure on copies: the corpus serves other rows."""
    with tempfile.TemporaryDirectory(dir=workspace.folder) as folder:
        tree = shutil.copytree(corpus.directory / corpus.name, Path(folder, corpus.name))
        shutil.copy(corpus.database, folder)
        database = str(Path(folder, Path(corpus.database).name))
        return ask_process("directories", task="sync", folder=str(tree), database=database, edited=EDITED.get(corpus.name, "base.py"))
