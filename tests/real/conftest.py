"""One run for the session, of the cases that the selected tests are about; its report comes last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cases import Case, package_cases, stdlib_cases
from .harness import Run
from .report import as_json, lines

REPORT_VARIABLE = "PERSISTMOD_REAL_REPORT"
_RUN = pytest.StashKey[Run]()


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The work of this session, going on in the background."""
    started = Run(_selected(request.session), tmp_path_factory.mktemp("real"))
    request.config.stash[_RUN] = started
    yield started
    started.close()


def _selected(session: pytest.Session) -> list[Case]:
    """Return the cases of the selected tests: all if one of them is about all."""
    calls = [getattr(item, "callspec", None) for item in session.items if "run" in getattr(item, "fixturenames", ())]
    if None in calls:
        return [*stdlib_cases(), *package_cases()]
    return [call.params["case"] for call in calls if call]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report, and write it as JSON to the path in PERSISTMOD_REAL_REPORT."""
    if _RUN not in config.stash:
        return
    finished = config.stash[_RUN]
    terminalreporter.section("real code from the database")
    for line in lines(finished):
        terminalreporter.line(line)
    if path := os.environ.get(REPORT_VARIABLE):
        Path(path).write_text(json.dumps(as_json(finished), indent=1))
