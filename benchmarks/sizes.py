"""Bytes on disk: the FileStorage after one commit of a package, against its sources with their .pyc."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.corpora import Workspace
from benchmarks.timing import Figure, figure


def measure(workspace: Workspace, *, name: str) -> Iterator[Figure]:
    """Yield the one figure of the package `name`, in bytes per module."""
    corpus = workspace.corpus(name)
    source, compiled = corpus.file_bytes
    stored = corpus.database.stat().st_size
    count = len(corpus.modules)
    yield figure(
        f"size.{name}",
        [(stored / count, (source + compiled) / count)],
        what=f"bytes per module of {corpus.name} in the FileStorage",
        against="source + .pyc",
        unit="bytes",
        notes=(f"{stored} bytes for {count} modules; source {source}, .pyc {compiled}",),
    )
