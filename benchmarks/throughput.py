"""Requests to the notice board of `examples/board`: its code from the database, against its code from files. The data are in a database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from typing import Any

from benchmarks.corpora import Workspace
from benchmarks.imports import WrongOriginError
from benchmarks.servers import Server, running_postgres, running_zeo
from benchmarks.timing import ROOT, Figure, alternate, child_command, environment, figure

CLIENTS = 4
REQUESTS = 100
WRITES = 20  # one of so many


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield a figure for each server."""
    with running_zeo(storages=2) as zeo:
        yield _figure(workspace, "zeo", zeo)
    with running_postgres() as postgres:
        yield _figure(workspace, "postgresql", postgres)


def _figure(workspace: Workspace, name: str, server: Server) -> Figure:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        boards = [stack.enter_context(Board(side, server.new_uri())) for side in ("database", "files")]
        subject, baseline = (partial(_seconds, board.port, pool) for board in boards)
        pairs = alternate(subject, baseline, workspace.rounds(101))
        database, files = (board.end() for board in boards)
    return figure(
        f"throughput.{name}", pairs, what=f"a request to examples/board, {CLIENTS} threads, {name}",
        against="the same with its code from files", aim=1 / 0.98, unit="s",
        notes=(f"ratio of the CPU times of the servers {database / files:.2f}",), details={"cpu": database / files},
    )  # fmt: skip


class Board:
    """A process that serves the board; a context manager that ends it."""

    def __init__(self, side: str, uri: str) -> None:
        if side == "database":
            add = [sys.executable, "-m", "persistmod", "--db", uri, "add", "--json", str(ROOT / "examples" / "board" / "board")]
            subprocess.run(add, env=environment(), stdout=subprocess.DEVNULL, check=True)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(child_command("board"), env=environment(), stdin=pipe, stdout=pipe, text=True)
        print(json.dumps({"side": side, "uri": uri}), file=self._process.stdin, flush=True)
        answer = self._answer()
        if answer["origin"].startswith("<persistmod>") != (side == "database"):
            self._process.kill()
            raise WrongOriginError(f"board, side {side!r}: loaded from {answer['origin']}")
        self.port: int = answer["port"]

    def end(self) -> float:
        """Have it serve no more; return the CPU time that serving took."""
        assert self._process.stdin
        self._process.stdin.close()
        cpu: float = self._answer()["cpu"]
        return cpu

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _seconds(port: int, pool: ThreadPoolExecutor) -> float:
    """Return what a request takes, with several under way."""
    started = time.perf_counter()
    list(pool.map(partial(_ask, port), range(REQUESTS)))
    return (time.perf_counter() - started) / REQUESTS


def _ask(port: int, number: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET" if number % WRITES else "POST", "/", None if number % WRITES else "a notice")
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"the board answers {response.status}")
    finally:
        connection.close()
