"""Run one case in this process: import the module, run its own tests, write each test's outcome as JSON.

    python child.py MODE CASE RESULT

MODE is `baseline` (a second import from its file) or `database` (an import from the registry, out of a database that
is open read-only). CASE is the JSON of the parent's `Case`, with `database`, the path of the FileStorage. The two modes
differ in the hook and in nothing else (both have imported persistmod), so that the parent can compare what passes.
"""

import contextlib
import importlib
import json
import os
import sys
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ZODB
from ZODB.FileStorage import FileStorage

import persistmod

Outcomes = dict[str, str]

LONGEST_TEXT = 4000


def main(mode: str, case_path: str, result_path: str) -> None:
    """Run the case and write `{"outcomes": {test id: outcome}, "texts": {test id: traceback}, "error": text}`."""
    sys.path.pop(0)  # the directory of this file: its modules are nothing that a test may import
    case = json.loads(Path(case_path).read_text())
    recorder = Recorder()
    error = ""
    try:
        with hooked(case["database"]) if mode == "database" else contextlib.nullcontext():
            import_case(case["name"], case["tree"], mode)
            RUNNERS[case["runner"]](case, recorder)
    except BaseException:  # whatever a case raises, SystemExit too, is its result
        error = traceback.format_exc()
    result = {"outcomes": recorder.outcomes, "texts": recorder.texts, "error": error}
    Path(result_path).write_text(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # a thread or an atexit handler that a test left behind does not hold up the run


@contextlib.contextmanager
def hooked(database: str) -> Iterator[None]:
    """Turn the import hook on for the registry of the database at this path."""
    db = ZODB.DB(FileStorage(database, read_only=True))
    with persistmod.importing(persistmod.get_registry(db.open())):
        yield


def import_case(name: str, tree: str, mode: str) -> None:
    """Import the module anew with its tree and check where it came from."""
    for known in [known for known in sys.modules if known == tree or known.startswith(tree + ".")]:
        del sys.modules[known]
    module = importlib.import_module(name)
    spec = module.__spec__
    if type(spec and spec.loader).__module__.startswith("persistmod.") != (mode == "database"):
        raise ImportError(f"mode {mode}: {name} came from {spec}", name=name)


class Recorder:
    """Keep the outcome of each test: `passed`, `failed`, `skipped`."""

    def __init__(self) -> None:
        self.outcomes: Outcomes = {}
        self.texts: dict[str, str] = {}

    def record(self, test: str, outcome: str, text: str = "") -> None:
        """Note an outcome; what is worse than one noted before wins (a subtest fails its test)."""
        ranks = ("passed", "skipped", "failed")
        if ranks.index(outcome) >= ranks.index(self.outcomes.get(test, "passed")):
            self.outcomes[test] = outcome
            if text:
                self.texts[test] = text[-LONGEST_TEXT:]


class RecordingResult(unittest.TestResult):
    """Hand what unittest reports to a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.recorder.record(test.id(), "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.recorder.record(test.id(), "failed", "".join(traceback.format_exception(*err)))

    addError = addFailure

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self.addFailure(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.recorder.record(test.id(), "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.recorder.record(test.id(), "passed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.recorder.record(test.id(), "failed", "unexpected success")


def run_unittest(case: dict[str, Any], recorder: Recorder) -> None:
    """Run the named test modules with unittest."""
    from test import support

    support.use_resources = ()  # neither network nor anything else that a bare machine may lack
    suite = unittest.defaultTestLoader.loadTestsFromNames(case["tests"])
    suite.run(RecordingResult(recorder))


class PytestRecorder:
    """Hand what pytest reports to a recorder: a plug-in."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Record a phase of a test."""
        if report.outcome != "passed" or report.when == "call":
            self.recorder.record(report.nodeid, report.outcome, str(report.longrepr or ""))

    def pytest_collectreport(self, report: Any) -> None:
        """Record a file that could not be collected."""
        if report.failed:
            self.recorder.record(report.nodeid, "failed", str(report.longrepr))


def run_pytest(case: dict[str, Any], recorder: Recorder) -> None:
    """Run the named test files with pytest."""
    import pytest

    os.environ["PY_IGNORE_IMPORTMISMATCH"] = "1"  # a test module inside the package comes from the database, too
    options = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", case["root"]]
    files = [str(Path(case["root"], test)) for test in case["tests"]]
    pytest.main([*options, *files], plugins=[PytestRecorder(recorder)])


RUNNERS = {"unittest": run_unittest, "pytest": run_pytest}

if __name__ == "__main__":
    main(*sys.argv[1:])
