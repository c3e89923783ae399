"""A transaction that changes nothing, in a process with many closed modules: their data are watched for changes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.corpora import Workspace
from benchmarks.timing import Figure, ask_process, figure


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield the one figure."""
    corpus = workspace.corpus("generated")
    request = {"database": str(corpus.database), "names": corpus.to_import, "rounds": workspace.rounds(50)}
    answers = [ask_process("transactions", **request) for _ in range(workspace.rounds(7))]
    pairs = [(median(answer["subject"]), median(answer["baseline"])) for answer in answers]
    added = median(subject - baseline for subject, baseline in pairs)
    yield figure(
        "transaction",
        pairs,
        what=f"an empty transaction, {len(corpus.modules)} closed modules loaded",
        against="the same before they are loaded",
        unit="s",
        notes=(f"they add {added * 1000:.2f} ms",),
    )
