"""Run the cases: add them to a database in one process, then each case in a process of its own, twice, and compare.

One `Run` is a session's work. Its pool has one worker per processor; the building of a database is submitted first, so
that a case that waits for it never keeps it from a worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .cases import Case

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
LONGEST = 120  # seconds for one case in one mode
_TEST_PARTS = ("_test", "test", "tests", "testsuite")


@dataclass(frozen=True, slots=True)
class Added:
    """What adding a tree gave: `{module: (run, reason)}`, `{module kept as source only: reason}`; or the error."""

    modules: dict[str, tuple[str, str]] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process found: `{test id: "passed" | "failed" | "skipped"}`, the texts of failures; or the error."""

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> set[str]:
        return {test for test, outcome in self.outcomes.items() if outcome == "passed"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case from its file and from the database."""

    case: Case
    added: Added
    baseline: Outcome
    database: Outcome

    @property
    def lost(self) -> list[str]:
        """The tests that pass from the file and not from the database, those of the table's `known` aside."""
        return sorted(self.baseline.passed - self.database.passed - set(self.case.known))

    @property
    def passes(self) -> bool:
        return bool(self.baseline.passed) and not self.lost and not self.problem

    @property
    def problem(self) -> str:
        return self.added.error or self.baseline.error or self.database.error

    @property
    def run(self) -> tuple[str, str]:
        """"once" or "always" and the reason, of the module itself."""
        return self.added.modules.get(self.case.name, ("none", self.added.stored.get(self.case.name, "not added")))

    def explain(self) -> str:
        """Say what is wrong, with the tracebacks of the first tests lost."""
        texts = [f"{test}: {self.database.texts.get(test, 'did not run')}" for test in self.lost]
        head = f"{self.case.name}: {len(self.lost)} of {len(self.baseline.passed)} tests lost"
        return "\n".join([head, self.problem, *texts[:5], *self.lost[5:]])


class Run:
    """All cases of one session: what was asked for is computed once, in the background."""

    def __init__(self, cases: Iterable[Case], scratch: Path) -> None:
        self.cases = tuple(cases)
        self._scratch = scratch
        self._pool = ThreadPoolExecutor(os.cpu_count())
        kinds = sorted({case.kind for case in self.cases})
        self._built = {kind: self._pool.submit(self._build, kind) for kind in kinds}
        self._baseline = {case.name: self._pool.submit(self._run, case, "baseline") for case in self.cases}
        self._database = {case.name: self._pool.submit(self._run, case, "database") for case in self.cases}

    def close(self) -> None:
        """Start nothing more; wait for what runs."""
        self._pool.shutdown(cancel_futures=True)

    def comparison(self, case: Case) -> Comparison:
        """Wait for a case."""
        added = self._built[case.kind].result().get(case.tree, Added(error="not added"))
        return Comparison(case, added, self._result(self._baseline, case), self._result(self._database, case))

    def comparisons(self) -> list[Comparison]:
        """Wait for all cases."""
        return [self.comparison(case) for case in self.cases]

    def done(self) -> list[Comparison]:
        """Return the cases that are done: those that a report can show after an interrupted session."""
        futures = (self._built, self._baseline, self._database)
        if not all(future.done() and not future.cancelled() for group in futures for future in group.values()):
            return []
        return self.comparisons()

    def modules(self, kind: str) -> dict[str, tuple[str, str]]:
        """Return `{module: (run, reason)}` of the modules added, the tests inside packages aside."""
        trees = self._built[kind].result() if kind in self._built else {}
        modules = {name: run for added in trees.values() for name, run in added.modules.items()}
        return {name: run for name, run in modules.items() if not _is_test(name)}

    @staticmethod
    def _result(futures: dict[str, Future[Outcome]], case: Case) -> Outcome:
        return futures[case.name].result()

    def _build(self, kind: str) -> dict[str, Added]:
        trees = {case.tree: case.path for case in self.cases if case.kind == kind}
        return build(trees, self._scratch / f"{kind}.fs", self._scratch)

    def _run(self, case: Case, mode: str) -> Outcome:
        if mode == "database":
            added = self._built[case.kind].result()[case.tree]
            if added.error:
                return Outcome(error="not added")
        return run_case(case, mode, self._scratch / f"{case.kind}.fs", self._scratch / f"{case.name}-{mode}")


def build(trees: dict[str, str], database: Path, scratch: Path) -> dict[str, Added]:
    """Add trees `{name: path}` to a new database."""
    trees_path, results, log = (scratch / f"{database.name}.{part}" for part in ("trees", "built", "log"))
    trees_path.write_text(json.dumps(list(trees.items())))
    status = _child([HERE / "builder.py", database, trees_path, results], scratch, log, None)
    if status:
        raise RuntimeError(f"adding to {database.name} ended with status {status}: {log.read_text()[-4000:]}")
    return {line["tree"]: _added(line) for line in map(json.loads, results.read_text().splitlines())}


def _added(line: dict[str, Any]) -> Added:
    modules = {name: (run, reason) for name, (run, reason) in line.get("modules", {}).items()}
    return Added(modules, line.get("stored", {}), line.get("error", ""), line["seconds"])


def run_case(case: Case, mode: str, database: Path, scratch: Path) -> Outcome:
    """Run a case in a fresh process and an empty directory."""
    work = scratch / "work"
    work.mkdir(parents=True)
    case_path, result_path, log_path = scratch / "case.json", scratch / "result.json", scratch / "log.txt"
    case_path.write_text(json.dumps({**asdict(case), "database": str(database)}))
    started = time.monotonic()
    status = _child([HERE / "child.py", mode, case_path, result_path], work, log_path, LONGEST)
    seconds = time.monotonic() - started
    if not result_path.exists():
        text = log_path.read_text(errors="replace")[-4000:]
        return Outcome(error=f"the process ended with status {status}: {text}", seconds=seconds)
    return Outcome(**json.loads(result_path.read_text()), seconds=seconds)


def _child(arguments: list[Path | str], work: Path, log_path: Path, longest: float | None) -> int:
    """Run Python with these arguments; a process that takes too long is killed with those that it started."""
    path = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *map(str, arguments)]
    with open(log_path, "w") as log:
        process = subprocess.Popen(
            command, cwd=work, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return process.wait(longest)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def _is_test(name: str) -> bool:
    parts = name.split(".")
    return any(part in _TEST_PARTS for part in parts) or parts[-1].startswith("test_") or parts[-1] == "conftest"
