"""Requests to the notice board of `examples/board`: its code from the database, against its code from files. The data are in a database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection

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
        ports = [stack.enter_context(_serving(side, server.new_uri())) for side in ("database", "files")]
        subject, baseline = (partial(_seconds, port, pool) for port in ports)
        alternate(subject, baseline, 2)
        pairs = alternate(subject, baseline, workspace.rounds(101))
    return figure(
        f"throughput.{name}", pairs, what=f"a request to examples/board, {CLIENTS} threads, {name}",
        against="the same with its code from files", aim=1 / 0.98, unit="s",
    )  # fmt: skip


@contextmanager
def _serving(side: str, uri: str) -> Iterator[int]:
    """Serve the board in a process of its own; give its port."""
    command, kept = child_command("board"), environment()
    if side == "database":
        add = [sys.executable, "-m", "persistmod", "--db", uri, "add", "--json", str(ROOT / "examples" / "board" / "board")]
        subprocess.run(add, env=kept, stdout=subprocess.DEVNULL, check=True)
    with subprocess.Popen(command, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        print(json.dumps({"side": side, "uri": uri}), file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        if answer["origin"].startswith("<persistmod>") != (side == "database"):
            raise WrongOriginError(f"board, side {side!r}: loaded from {answer['origin']}")
        yield answer["port"]
        process.stdin.close()


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
