"""Deploy the releases of the notice board, one after the other, while clients read and write: `python rollout.py 8081 8082`.

Shows what became of each release, and of the requests meanwhile. The exit status is that of the requests: 1 if any failed.
"""

import argparse
import os
import runpy
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import transaction
from rich.console import Console
from rich.table import Table

import persistmod

RELEASES = Path(__file__).resolve().parent / "releases"
STEPS = ("2_numbers", "3_authors", "4_refused", "5_capitals", "undo", "6_newest_first")
PATIENCE = 30
# Narrower than this, as where output is no terminal, the table folds every cell.
WIDTH = 120


@dataclass
class Traffic:
    """What clients were answered during a step."""

    releases: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)
    slowest: float = 0.0


class Clients:
    """Threads that read and write, each on one port, until they are told to stop."""

    def __init__(self, ports, count):
        self.traffic = Traffic()
        self._lock = threading.Lock()  # for the traffic; not held during a request
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(ports[number % len(ports)], number)) for number in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def take(self):
        """Return the traffic since the last time."""
        with self._lock:
            traffic, self.traffic = self.traffic, Traffic()
        return traffic

    def _run(self, port, number):
        count = 0
        while not self._stopped.wait(0.01):
            count += 1
            begun = time.perf_counter()
            try:
                answer = ask(port, f"notice {count} of client {number}" if count % 5 == 0 else None)
            except (OSError, HTTPException) as error:
                answer = error
            self._note(answer, time.perf_counter() - begun)

    def _note(self, answer, seconds):
        with self._lock:
            self.traffic.slowest = max(self.traffic.slowest, seconds)
            if isinstance(answer, Exception) or answer.status != 200:
                self.traffic.failures.append(answer)
            else:
                self.traffic.releases[answer.headers["X-Release"]] += 1


def ask(port, notice=None):
    """Read the board, or put up a notice; return the response."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST" if notice else "GET", "/", notice)
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def wait_for(port):
    """Wait until a server answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask(port, "welcome")
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def carry_out(db, step):
    """Deploy a release or undo the last one; return what became of it."""
    if step == "undo":
        return undo(db)
    manager = transaction.TransactionManager()
    connection = db.open(manager)
    try:
        for attempt in manager.attempts(20):
            with attempt:
                return deploy(connection, RELEASES / step)
    except persistmod.UpdateError as error:
        return f"refused: {error}"
    finally:
        connection.close()


def deploy(connection, folder):
    """Update the modules of a release, and the data: one transaction brings both."""
    registry = persistmod.get_registry(connection)
    sources = {path.stem: path.read_text() for path in folder.glob("*.py") if path.name != "migrate.py"}
    with persistmod.importing(registry):
        plans = registry.update_many({f"board.{name}" if name != "__init__" else "board": text for name, text in sources.items()})
        steps = [(step.action, name.removeprefix("board."), step.name) for name, plan in sorted(plans.items()) for step in plan.steps]
        done = ", ".join(f"{action} {module}.{name}" for action, module, name in steps if not name.startswith("__"))
        if (folder / "migrate.py").exists():
            done += f"; {runpy.run_path(folder / 'migrate.py')['migrate'](connection.root())} notices migrated"
        connection.transaction_manager.get().note(f"release {folder.name}")
        return done


def undo(db):
    """Undo the last release."""
    id, what = next((id, what) for id, what in log(db) if what.startswith("release "))
    manager = transaction.TransactionManager()
    db.undo(id, manager.get())
    manager.get().note(f"undo {what}")
    manager.commit()
    return f"undone: {what}"


def log(db):
    """Yield the id and the description of each transaction, the newest first; some storages give descriptions as bytes."""
    for entry in db.undoLog(0, 1_000_000):
        what = entry["description"]
        yield entry["id"], what.decode() if isinstance(what, bytes) else what


def roll_out(db, ports, seconds, clients):
    """Carry out the steps; return a row for each."""
    rows = []
    with Clients(ports, clients) as running:
        for step in ("start", *STEPS):
            done = "the board as it was added" if step == "start" else carry_out(db, step)
            time.sleep(seconds)
            rows.append((step, done, running.take()))
    rows.append(("end", "the last requests", running.take()))
    return rows


def show(rows):
    """Print the rows as a table."""
    table = Table("step", "what became of it", "requests", "answered by release", "failed", "slowest")
    for step, done, traffic in rows:
        counts = ", ".join(f"{release}: {count}" for release, count in sorted(traffic.releases.items()))
        numbers = str(traffic.releases.total()), counts, str(len(traffic.failures)), f"{traffic.slowest * 1000:.0f} ms"
        table.add_row(step, done, *numbers)
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)


def main():
    """Deploy under load and show what happened."""
    parser = argparse.ArgumentParser(description="Deploy releases of the notice board under load.")
    parser.add_argument("ports", type=int, nargs="+", metavar="PORT")
    parser.add_argument("--db", default=os.environ.get("PERSISTMOD_DB", "app.fs"), metavar="URI")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long clients go on after each step")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    for port in options.ports:
        wait_for(port)
    db = persistmod.open_db(options.db)
    try:
        rows = roll_out(db, options.ports, options.seconds, options.clients)
    finally:
        db.close()
    show(rows)
    failures = [failure for _, _, traffic in rows for failure in traffic.failures]
    print(f"{len(failures)} requests failed" + "".join(f"\n{failure!r}" for failure in failures[:10]))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
