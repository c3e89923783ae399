"""Cold import: a package from a FileStorage in a fresh process, against the same package from .pyc in a fresh
process.

The clock starts when persistmod, ZODB and all that opening a database imports are there, on both sides; opening the
database counts. A second figure has everything else that the package imports (the standard library, from its files on
both sides) loaded as well: the package's own modules alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

from benchmarks.corpora import Corpus, Workspace
from benchmarks.timing import Figure, alternate, ask_process, figure

AIM = 0.8


class WrongOriginError(Exception):
    """A side did not import from where it should: the ratio would mean nothing."""


def measure(workspace: Workspace, *, name: str) -> Iterator[Figure]:
    """Yield the figures of the package `name`: with what it imports from elsewhere, and alone."""
    corpus = workspace.corpus(name)
    needed = opening_modules(corpus)
    yield compare(corpus, needed, workspace, f"import.{name}", f"cold import of {corpus.name} from a FileStorage")
    others = _other_modules(corpus, needed)
    yield compare(corpus, others, workspace, f"import.{name}.own", "its own modules alone, all else loaded before")


def ask_side(corpus: Corpus, side: str, preload: list[str], measure: str = "time") -> dict[str, Any]:
    """Import the package in a fresh process; return its answer, having checked where it came from."""
    answer = ask_process(
        "imports",
        side=side,
        preload=preload,
        measure=measure,
        names=corpus.to_import,
        directory=str(corpus.directory),
        database=str(corpus.database),
    )
    if any(origin.startswith("persistmod") != (side == "database") for origin in answer["origins"]):
        raise WrongOriginError(f"{corpus.name}, side {side!r}: loaded by {answer['origins']}")
    return answer


def opening_modules(corpus: Corpus) -> list[str]:
    """The modules that a process holds once it has opened a database with the import hook on, in order."""
    request = {"side": "database", "preload": [], "measure": "time", "names": [], "database": str(corpus.database)}
    return [name for name in ask_process("imports", **request)["modules"] if name != "__main__"]


def _other_modules(corpus: Corpus, needed: list[str]) -> list[str]:
    own = set(corpus.modules)
    return [name for name in ask_side(corpus, "files", needed)["modules"] if name not in own and name != "__main__"]


def compare(
    corpus: Corpus, preload: list[str], workspace: Workspace, name: str, what: str, *, aim: float = AIM, is_open: bool = False
) -> Figure:
    """Return the figure of an import from the database against one from files, with `preload` imported on both sides.

    Opening the database counts, unless it `is_open` when the clock starts.
    """
    database = partial(ask_side, corpus, "database", preload)
    files = partial(ask_side, corpus, "files", preload)
    answers = alternate(database, files, workspace.rounds(15))
    imported = len(set(corpus.modules) & set(answers[0][0]["modules"]))
    opening = median(subject["open"] for subject, _ in answers)
    loading = median(subject["preload"] for subject, _ in answers)
    cpu = median(subject["cpu"] / baseline["cpu"] for subject, baseline in answers)
    return figure(
        name,
        [(subject["total"] - subject["open"] * is_open, baseline["total"]) for subject, baseline in answers],
        what=what,
        against="the same from .pyc",
        aim=aim,
        unit="s",
        notes=(
            f"{imported} modules imported; in the database {corpus.closed}; ratio of the CPU times {cpu:.2f}",
            f"opening the database is {opening * 1000:.1f} ms {'and not in it' if is_open else 'of it'}; not in it: persistmod,"
            f" ZODB and all else that was loaded before, {len(preload)} modules in {loading * 1000:.0f} ms",
        ),
        details={"cpu": cpu, "open": opening, "preload": loading, "imported": imported, "reasons": corpus.reasons},
    )
