"""Edits of modules, looked at in every process that they reach.

    @edit("def f(): return 1", "def f(): return 2", held="f = m.f")
    def test_held_function_runs_the_new_body(m, held):
        assert held.f is m.f and held.f() == 2

The decorated function is a *check*. It runs in the process that updates; in one that had the module loaded and receives the commit; and in
a fresh one. In a process of its own the update is aborted, which must leave module and client as they were, and then done once more.
`held` is what a client holds: a text that is run with the module as `m` before the update. In the fresh process there was no
before, so the client holds what it finds; `fresh=False` leaves client and check out there.

What the module is must be the same in all three, and the same as what the new source gives when it is imported from nowhere, unless
`kept=True` says that something of the old one stays. What events tell must be the same in the first two, and its reverse when the update
is aborted. All edits of a test file share their processes.
"""

import inspect
import sys
import textwrap
from dataclasses import dataclass
from functools import cache

from describing import differences
from support import HERE, _source_of, fresh

PROCESSES = ("update", "follow", "find", "take_back", "plain")


@dataclass(frozen=True)
class Edit:
    """A module, its sources one after the other, what a client holds, the check, and how each update is done."""

    name: str
    sources: tuple[str, ...]
    held: str
    check: str
    takes_held: bool
    options: dict[str, object]
    fresh: bool
    kept: bool


def edit(old, *new, held="", fresh=True, kept=False, **options):
    """Let a function check what an edit leaves; see above."""
    return lambda function: _test(function, (old, *new), held, fresh, kept, options)


def _test(function, sources, held, in_fresh, kept, options):
    name = function.__name__
    takes_held = len(inspect.signature(function).parameters) == 2
    texts = tuple(textwrap.dedent(source).lstrip("\n") for source in sources)
    module = "m_" + name.removeprefix("test_")
    case = Edit(module, texts, textwrap.dedent(held), _source_of(function), takes_held, options, in_fresh, kept)

    def test(edits_in):
        outcome = edits_in(function.__module__)
        updated, follower, found, plain = (outcome[process][name] for process in ("update", "follow", "find", "plain"))
        aborted = outcome["take_back"][name]
        for process, result in (("updater", updated), ("follower", follower), ("fresh process", found), ("aborting process", aborted)):
            assert result["problem"] is None, f"in the {process}:\n{result['problem']}"
        compared = {"follower": follower, "fresh process": found, "import of the new source": plain}
        if kept:
            del compared["import of the new source"]
        if kept and not in_fresh:
            del compared["fresh process"]  # what is kept is a client's, and no data of the module
        for process, result in compared.items():
            found_differences = differences(updated["state"], result["state"])
            assert not found_differences, f"the updater and the {process} differ: {found_differences}"
        if in_fresh:  # else the client may have changed the module, and the abort in the follower took that back
            assert updated["told"] == follower["told"], "the events of the updater and the follower differ"

    test.__name__ = test.__qualname__ = name
    test.__module__ = function.__module__
    test.edit = case
    return test


@cache
def outcomes_of(name, folder):
    """Run all edits of the test module `name` in processes that share a database; return `{process: {test: result}}`."""
    return outcomes_in(name, folder, "edit", "edited.py")


def outcomes_in(name, folder, attribute, program):
    """Run what the tests of a module carry as an attribute, in each of the processes; return `{process: {test: result}}`."""
    tests = {key: test for key, test in vars(sys.modules[name]).items() if hasattr(test, attribute)}
    cases = {key: fields_of(getattr(test, attribute)) for key, test in tests.items()}
    return {process: fresh(process, str(folder), cases, program=str(HERE / program)) for process in PROCESSES}


def fields_of(case):
    return {name: getattr(case, name) for name in case.__dataclass_fields__}
