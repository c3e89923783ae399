"""Modules in a database, looked at from a fresh process.

    @module('''
        def f(a, b=[1]): return a, b
    ''')
    def test_default_is_kept(m):
        assert m.f(0) == (0, [1])

The decorated function is a *check*: it runs in a process of its own, with the module under the name of its parameter. All checks of a test
file share three processes, since starting one takes longer than most checks: one imports the modules from files and runs the checks, which
shows that the checks are right; one adds the modules to a FileStorage and commits; one imports them from there and runs the checks.
A module of a check must be closed and must not run its body in the last process, unless `always` gives the reason why it is not closed.
"""

import inspect
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """A check and its modules: `{name: source}`. `always` is part of the reason why the last of them is not closed."""

    modules: dict[str, str]
    parameters: tuple[str, ...]
    check: str
    always: str


def module(source, always=""):
    """Let a function check one module, which it gets as its only argument."""
    return lambda function: _test(function, {function.__name__.replace("test_", "case_", 1): source}, always)


def modules(always="", **sources):
    """Let a function check several modules, added in this order; its parameters say which it gets, in the order of import."""
    return lambda function: _test(function, sources, always)


def _test(function, sources, always):
    name = function.__name__
    parameters = tuple(inspect.signature(function).parameters)
    parameters = tuple(sources) if len(sources) == 1 else parameters
    sources = {key: textwrap.dedent(source) for key, source in sources.items()}
    case = Case(sources, parameters, _source_of(function), always)

    def test(outcomes):
        outcome = outcomes(function.__module__)
        assert outcome["plain"][name] is None, outcome["plain"][name]
        for added in sources:
            assert_run(outcome["added"][added], always if added == [*sources][-1] else "")
        assert [finding for finding in outcome["verified"] if finding[0] in sources] == []
        assert outcome["loaded"][name] is None, outcome["loaded"][name]
        assert set(sources).isdisjoint(outcome["ran"]) or always

    test.__name__ = test.__qualname__ = name
    test.__module__ = function.__module__
    test.case = case
    return test


def _source_of(function):
    lines = textwrap.dedent(inspect.getsource(function)).splitlines(keepends=True)
    while not lines[0].startswith("def "):
        lines.pop(0)
    return "".join(lines)


def assert_run(added, always):
    """Assert that a module is closed, or that it is not and why."""
    run, reason = added
    assert (run, always in reason) == (("always", True) if always else ("once", True)), reason


@cache
def outcomes_of(name, folder):
    """Run all checks of the test module `name`; return what they gave: None, or a traceback as text."""
    cases = {key: test.case for key, test in vars(sys.modules[name]).items() if hasattr(test, "case")}
    sources = {key: source for case in cases.values() for key, source in case.modules.items()}
    checks = {key: [case.parameters, case.check] for key, case in cases.items()}
    added = fresh("add", str(folder), sources)
    return {
        "plain": fresh("check_files", str(folder), sources, checks),
        "added": added["runs"],
        "verified": added["findings"],
        **fresh("check_database", str(folder), checks),
    }


def fresh(command, *arguments, options=("-W", "error"), program=str(HERE / "fresh.py")):
    """Run a function of a program in a new process and return its result."""
    program = [sys.executable, *options, program, command]
    done = subprocess.run(program, input=json.dumps(arguments), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("\n=> ")[2])
