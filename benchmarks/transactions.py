"""A transaction that changes nothing: with many closed modules, whose data are watched for changes; with a database that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import transaction

import persistmod
from benchmarks.corpora import Workspace
from benchmarks.timing import Figure, ask_process, figure


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield the figures."""
    yield _watched(workspace)
    for kind in ("explicit", "implicit"):
        yield _installed(workspace, kind)


def _watched(workspace: Workspace) -> Figure:
    corpus = workspace.corpus("generated")
    request = {"database": str(corpus.database), "names": corpus.to_import, "rounds": workspace.rounds(50)}
    answers = [ask_process("transactions", **request) for _ in range(workspace.rounds(7))]
    pairs = [(median(answer["subject"]), median(answer["baseline"])) for answer in answers]
    added = median(subject - baseline for subject, baseline in pairs)
    return figure(
        "transaction",
        pairs,
        what=f"an empty transaction, {len(corpus.modules)} closed modules loaded",
        against="the same before they are loaded",
        unit="s",
        notes=(f"they add {added * 1000:.2f} ms",),
    )


def _installed(workspace: Workspace, kind: str) -> Figure:
    uris = [str(workspace.folder / f"transaction-{kind}-{number}.fs") for number in range(2)]
    for uri in uris:
        db = persistmod.open_db(uri)
        persistmod.get_registry(db.open()).add("bench_installed", "def f():\n    return 1\n")
        transaction.commit()
        db.close()
    request = {"databases": uris, "names": ["bench_installed"], "explicit": kind == "explicit", "rounds": workspace.rounds(100)}
    pairs = [tuple(pair) for _ in range(workspace.rounds(5)) for pair in ask_process("boundaries", **request)]
    return figure(
        f"transaction.{kind}", pairs, what=f"an empty begin and commit, {kind} manager, install(db)",
        against="the same database not installed", aim=1.05, unit="s",
    )  # fmt: skip
