"""Two processes of four threads each serve under load while versions are deployed, refused and undone: no request fails or is mixed."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from downtime import PATIENCE, THREADS, ask, refused_sources, sources
from processes import ROOT
from remote import deploying

from benchmarks.servers import free_port

PROGRAM = Path(__file__).with_name("downtime.py")

ADD = """
from BTrees.OOBTree import OOBTree
for name, source in {sources!r}.items():
    registry.add(name, source)
import app
connection.root()["stamp"] = app.Stamp()
connection.root()["stamp"].number = 1
connection.root()["written"] = OOBTree()
transaction.commit()
"""

DEPLOY = """
import downtime
for attempt in transaction.manager.attempts(50):
    with attempt:
        downtime.deploy(connection, {version})
"""

REFUSE = """
transaction.begin()
try:
    registry.update_many({sources!r})
except (persistmod.PersistmodError, ImportError) as error:
    result = type(error).__name__
transaction.abort()
"""

TAKE_BACK = """
transaction.begin()
registry.update_many({sources!r})
transaction.abort()
"""

UNDO = """
for attempt in transaction.manager.attempts(50):
    with attempt:
        log = [(entry["id"], entry["description"]) for entry in db.undoLog(0, 1000000)]
        db.undo(next(id for id, what in log if what in ("version {version}", b"version {version}")))
        transaction.get().note("undone")
"""


def test_short(storage_uri):
    deploy_under_load(storage_uri("zeo"), steps_of(8))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["zeo", "postgresql"])
def test_long(kind, storage_uri):
    deploy_under_load(storage_uri(kind), steps_of(50))


def steps_of(count):
    """Return what is done one after the other: of seven, one is refused, one undone, one taken back, one done by a process that serves."""
    kinds = ("deploy", "refuse", "deploy", "undo", "deploy here", "deploy", "take back")
    return [kinds[number % len(kinds)] for number in range(count)]


def deploy_under_load(uri, steps):
    """Carry out the steps under load, and check every answer."""
    ports = free_port(), free_port()
    with ExitStack() as stack:
        deployer = stack.enter_context(deploying(uri))
        deployer(f"sys.path.append({str(PROGRAM.parent)!r})")
        deployer(ADD.format(sources=sources(1)))
        servers = [stack.enter_context(running("serve", uri, port)) for port in ports]
        for port in ports:
            wait_for(port, 1)
        clients = stack.enter_context(running("load", *ports))
        assert clients.stdout.readline()
        history = carry_out(deployer, steps, ports)
        answers = json.loads(clients.communicate("\n", timeout=120)[0])
        failures = [json.loads(server.communicate(timeout=60)[0]) for server in servers]
    assert failures == [{}, {}]
    check(answers, history, [server.pid for server in servers])


@contextmanager
def running(*arguments):
    """Run a part of `downtime` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PYTHONPATH": ROOT}
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def carry_out(deployer, steps, ports):
    """Do the steps; return the versions that were current, one after the other."""
    history, refusals = [1], set()
    for number, step in enumerate(steps, 2):
        if step == "refuse":
            refusals.add(deployer(REFUSE.format(sources=refused_sources(number))))
        elif step == "take back":
            deployer(TAKE_BACK.format(sources=sources(number)))
        elif step == "undo":
            deployer(UNDO.format(version=history[-1]))
            history.append(history[-2])
        else:
            if step == "deploy here":
                assert ask(ports[0], "POST", "/deploy", str(number)) == {}
            else:
                deployer(DEPLOY.format(version=number))
            history.append(number)
        for port in ports if number % 3 else ():  # else the next one follows at once
            wait_for(port, history[-1])
            let_pass(port, 10)
    assert None not in refusals
    for port in ports:
        wait_for(port, history[-1])
    return history


def wait_for(port, version):
    """Wait until a server answers with a version; until it is there, it may refuse."""
    deadline = time.monotonic() + PATIENCE
    while seen_in(answer := ask(port)) != [version]:
        assert time.monotonic() < deadline, f"{answer} after {PATIENCE} seconds, not version {version}"
        assert version == 1 or "failed" not in answer, answer
        time.sleep(0.01)


def seen_in(answer):
    return answer["attempts"][-1]["seen"] if "attempts" in answer else None


def let_pass(port, requests):
    """Wait as long as so many requests take."""
    for _ in range(requests):
        assert "failed" not in ask(port)


def check(answers, history, processes):
    """Check that none failed or is mixed, that processes went from version to version as history did, and that all were at work."""
    failed = [answer["failed"] for answer in answers if "failed" in answer]
    assert failed == []
    for process in processes:
        own = [answer for answer in answers if answer["process"] == process]
        assert len({answer["thread"] for answer in own}) == THREADS
        attempts = sorted((attempt for answer in own for attempt in answer["attempts"]), key=lambda attempt: attempt["begun"])
        mixed = [attempt for attempt in attempts if len(attempt["seen"]) != 1]
        assert mixed == []
        check_order(attempts, history)
        check_boundaries(attempts)
    assert len(answers) > 20 * len(history)


def check_order(attempts, history):
    """Check that the versions of a process, by the beginning of its transactions, are those of history in its order."""
    place = 0
    for attempt in attempts:
        (version,) = attempt["seen"]
        assert version in history[place:], f"version {version} after {history[: place + 1]}: {attempt}"
        place = history.index(version, place)


def check_boundaries(attempts):
    """Check that no transaction of one version began before all those of another one had ended."""
    last = attempts[0]
    for before, after in pairwise(attempts):
        last = max(last, before, key=lambda attempt: attempt["ended"])
        assert after["seen"] == before["seen"] or after["begun"] >= last["ended"], f"{last} while {after}"
