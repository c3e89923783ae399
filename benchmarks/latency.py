"""From the commit in one process to the first new call in another, over the servers that processes share."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import transaction

import persistmod
from benchmarks.corpora import Workspace
from benchmarks.servers import running_postgres, running_zeo
from benchmarks.timing import Figure, ask_process, figure


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield a figure for each server."""
    with running_zeo() as zeo:
        yield _figure(workspace, "zeo", zeo.new_uri())
    with running_postgres() as postgres:
        yield _figure(workspace, "postgresql", postgres.new_uri())


def _figure(workspace: Workspace, name: str, uri: str) -> Figure:
    db = persistmod.open_db(uri)
    registry = persistmod.get_registry(db.open())
    registry.add("bench_latency", "def f():\n    return -1\n")
    transaction.commit()
    db.close()
    rounds = 2 * workspace.rounds(41)
    with ThreadPoolExecutor(2) as pool:
        following = pool.submit(ask_process, "latency", uri=uri, rounds=rounds, commits=False)
        committing = pool.submit(ask_process, "latency", uri=uri, rounds=rounds, commits=True)
        seconds = [seen - begun for seen, begun in zip(following.result()["times"], committing.result()["times"], strict=True)]
    return figure(
        f"latency.{name}", zip(seconds[1::2], seconds[::2], strict=True), what=f"commit to first new call elsewhere, {name}",
        against="the same for a persistent attribute", aim=1.5, unit="s",
    )  # fmt: skip
