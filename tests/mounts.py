"""Changes of mounted files, looked at in every process that they reach.

    @changed({"a.py": "def f(): return 1", "b.py": "import game\ndef g(): return game.f()"}, {"a.py": "def f(): return 2"}, held="g = m.g")
    def test_function_of_another_script_runs_the_new_one(m, held):
        assert held.g() == 2

As `edits`, for the scripts of a directory: the namespace `game` has a name of its own for each test, which is put in its place in all
texts. The last argument of each change is what `Mount.update` gets, None for a file that is gone.
"""

import inspect
import re
import textwrap
from dataclasses import dataclass
from functools import cache

from describing import differences
from edits import outcomes_in
from support import _source_of


@dataclass(frozen=True)
class Case:
    """A namespace, the files of its directory, the changes of them one after the other, and the rest as for `edits.Edit`."""

    name: str
    files: dict[str, str]
    changes: tuple[dict[str, str | None], ...]
    held: str
    check: str
    takes_held: bool
    options: dict[str, object]
    fresh: bool
    kept: bool


def changed(files, *changes, held="", fresh=True, kept=False, **options):
    """Let a function check what changes of mounted files leave; see above."""
    return lambda function: _test(function, files, changes, held, fresh, kept, options)


def _test(function, files, changes, held, in_fresh, kept, options):
    name = function.__name__
    namespace = "m_" + name.removeprefix("test_")

    def named(text):
        return None if text is None else re.sub(r"\bgame\b", namespace, textwrap.dedent(text).lstrip("\n"))

    first, *later = ({path: named(text) for path, text in each.items()} for each in (files, *changes))
    takes_held = len(inspect.signature(function).parameters) == 2
    case = Case(namespace, first, tuple(later), named(held), named(_source_of(function)), takes_held, options, in_fresh, kept)

    def test(changes_in):
        outcome = {process: results[name] for process, results in changes_in(function.__module__).items()}
        for process, result in outcome.items():
            assert result["problem"] is None, f"{process}:\n{result['problem']}"
        compared = {"follow": True, "find": in_fresh or not kept, "plain": not kept}
        for process in [process for process, is_compared in compared.items() if is_compared]:
            found = differences(outcome["update"]["state"], outcome[process]["state"])
            assert not found, f"update and {process} differ: {found}"

    test.__name__ = test.__qualname__ = name
    test.__module__ = function.__module__
    test.case = case
    return test


@cache
def outcomes_of(name, folder):
    """Run all changes of the test module `name` in processes that share a database; return `{process: {test: result}}`."""
    return outcomes_in(name, folder, "case", "mounted.py")
