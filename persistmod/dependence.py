"""What in a module depends on what, read from its source: which bindings an edit changes, and which it may have changed on the way.

Each statement of a body binds paths ("name", or "Class.name" in a class body) and reads names. Between two versions of a source

- a path is *affected* if a statement that binds it came, went or changed, or if such a statement reads what is affected, at any distance
  (`from __future__` changes how all of them are compiled);
- any name may be bound by `import *`, and by what reads `globals` and the like, itself or in a function that it calls: these bind "*";
- what is made, by no `def` or `class`, of something that an affected statement works on, is affected, too, also what a function makes of it
  that is called for that; and such statements are at work as affected ones are;
- a name is *touched* if a statement that is affected reads it, at any distance: what stands there may have been changed in place.

Both may say too much, never too little for what plain names show: a value that is not affected is what it was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

from persistmod.source import Body, common_lines
from persistmod.statements import Statement, parsed, statements


@dataclass(frozen=True, slots=True)
class Edit:
    """What lies between two versions of a source: the paths that are affected, and the names that are touched.

    `changed` are those of the affected paths that a statement binds which came, went or changed itself; `starred` the modules of which
    the version before took all names. `is_inside`: only definitions have changed, nothing is imported that has, and no statement reads
    what is affected when it runs.
    """

    affected: frozenset[str]
    touched: frozenset[str]
    bound: frozenset[str]
    changed: frozenset[str] = frozenset()
    starred: frozenset[str] = frozenset()
    is_inside: bool = False

    def affects(self, path: str) -> bool:
        """Return whether what stands at a path may be another value; what no statement binds goes with the class it stands in.

        A name that no statement shows goes with those that may bind any name; so does what stands in a class that these work on.
        """
        known = self._bound_path(path)
        is_open = known not in self.bound or (known != path and self.touches(path))
        return known in self.affected or (is_open and "*" in self.affected)

    def reason(self, path: str) -> str:
        """Return in words why something that is affected is."""
        return "its source has changed" if self._bound_path(path) in self.changed else "what it reads has changed"

    def _bound_path(self, path: str) -> str:
        while path not in self.bound and "." in path:
            path = path.rpartition(".")[0]
        return path

    def affects_members(self, path: str) -> bool:
        """Return whether a class may have made something else of what its unchanged statements bind."""
        return self.affects(path)

    def touches(self, path: str) -> bool:
        """Return whether what stands at a path may have been changed in place."""
        return path.partition(".")[0] in self.touched


def edit(before: str, after: Body, imported: frozenset[str], names: Container[str]) -> Edit:
    """Compare two versions of a source. `imported` are names that another module's change affects, `names` all that stand in the module.

    Only what has changed is parsed, and what mentions it.
    """
    old, new, unchanged = _regions(before, after)
    counts, new_counts = Counter(old), Counter(new)
    changed = {*(counts - new_counts), *(new_counts - counts)}
    known = _Known({*counts, *new_counts}, unchanged)
    if any(statement.text.startswith("from __future__ ") for statement in changed):
        known.parse_all()
        changed = known.statements
    rebound = frozenset().union(*(statement.binds for statement in changed))
    affected = _closure(imported | rebound, known.bound_by_readers)
    modules = {bound for statement in after.imports for bound, attribute in statement.bound if not attribute}
    while True:
        at_work = {statement for statement in known.statements if statement in changed or (statement.binds | statement.reads) & affected}
        worked_on = frozenset().union(*(statement.works_on for statement in at_work)) - modules
        users = known.that_use(_closure(worked_on, known.defined_by_readers))
        derived = frozenset().union(*(statement.binds for statement in users)) - affected
        if not derived:
            at_work |= users
            break
        affected = _closure(affected | derived, known.bound_by_readers)
    read = frozenset().union(*(statement.reads for statement in at_work))
    touched = _closure(_at_module_level(read, names), lambda path: _at_module_level(known.read_by_binders(path), names))
    bound = frozenset().union(*(statement.binds for statement in known.statements))
    is_read = any((statement.now - statement.refers) & affected for statement in known.statements)
    is_hook = any(path.rpartition(".")[2] in _HOOKS for path in affected)
    is_inside = not imported and "*" not in affected and not is_read and not is_hook and all(statement.defines for statement in changed)
    return Edit(affected, touched, bound, rebound, is_inside=is_inside)


# What runs when a class is made.
_HOOKS = ("__init_subclass__", "__set_name__", "__mro_entries__", "__prepare__")


def _at_module_level(paths: Iterable[str], names: Container[str]) -> set[str]:
    return {path for path in paths if path.partition(".")[0] in names}


def reads_now(body: Iterable[Statement]) -> frozenset[str]:
    """Return the names that a body reads when it runs, also in functions of its own that it may call."""
    found = list(body)
    reads = _index(found, "binds", "reads")
    return _closure(frozenset().union(*(statement.now for statement in found)), lambda path: reads.get(path, set()))


def definitions_of(body: Iterable[Statement]) -> frozenset[str]:
    """Return the paths that a body binds by `def` and `class` only."""
    found = list(body)
    defined, bound = (frozenset().union(*(s.binds for s in found if s.defines is kind)) for kind in (True, False))
    return defined - bound


def _index(statements: Iterable[Statement], key: str, value: str) -> dict[str, set[str]]:
    """Return `{path in one attribute of statements: all paths in another}`."""
    index: dict[str, set[str]] = {}
    for statement in statements:
        for path in getattr(statement, key):
            index.setdefault(path, set()).update(getattr(statement, value))
    return index


def _with_wildcards(statements: list[Statement]) -> list[Statement]:
    """Return statements of which those that may bind any name bind "*"."""
    readers = _index(statements, "reads", "binds")
    wild = _closure(WILD, lambda name: readers.get(name, set()))
    return [replace(statement, binds=statement.binds | {"*"}) if statement.reads & wild else statement for statement in statements]


# What may read or bind any name.
WILD = frozenset(("globals", "locals", "vars", "exec", "eval", "setattr"))
_STAR = re.compile(r"import[\s(]*\*")


def has_star_import(text: str) -> bool:
    """Return whether a body may import all names of a module."""
    return _STAR.search(text) is not None


_MAY_BIND_ANY_NAME = re.compile(rf"\b({'|'.join(WILD)})\b|\b{_STAR.pattern}")


class _Known:
    """Statements that were parsed, and texts of those that were not yet: they are when a name is looked for that they mention."""

    def __init__(self, statements: set[Statement], unparsed: list[str]) -> None:
        self.statements = statements
        self._unparsed = unparsed

    def parse_all(self) -> None:
        """Parse every text."""
        self.statements = self.statements.union(*map(statements, self._unparsed))
        self._unparsed = []

    def _look_for(self, path: str) -> None:
        name = path.rpartition(".")[2]
        rest = []
        for text in self._unparsed:
            if name in text or not text.isascii():  # which may write the name otherwise
                self.statements.update(statements(text))
            else:
                rest.append(text)
        self._unparsed = rest

    def bound_by_readers(self, path: str) -> set[str]:
        """Return the paths bound by statements that read a path."""
        return set().union(*(statement.binds for statement in self._readers(path)))

    def defined_by_readers(self, path: str) -> set[str]:
        """Return the paths of definitions that read a path."""
        return set().union(*(statement.binds for statement in self._readers(path) if statement.defines))

    def _readers(self, path: str) -> list[Statement]:
        self._look_for(path)
        return [statement for statement in self.statements if path in statement.reads]

    def that_use(self, paths: frozenset[str]) -> set[Statement]:
        """Return the statements that read some paths, which were looked for, when they run, definitions aside."""
        return {statement for statement in self.statements if statement.now & paths and not statement.defines}

    def read_by_binders(self, path: str) -> set[str]:
        """Return the names read by statements that bind a path."""
        self._look_for(path)
        return set().union(*(statement.reads for statement in self.statements if path in statement.binds))


def _regions(before: str, after: Body) -> tuple[list[Statement], list[Statement], list[str]]:
    """Return the statements of both versions from the first to the last line that differ, and the texts of those around, which do not."""
    if _may_bind_any_name(before) or _may_bind_any_name(after.text):
        return _with_wildcards(list(statements(before))), _with_wildcards(list(statements(after.text))), []
    old_lines, new_lines = before.split("\n"), after.text.split("\n")
    above, below = common_lines(old_lines, new_lines)
    head = [place for place in after.layout if place[1] <= above]
    tail = [place for place in after.layout[len(head) :] if place[0] > len(new_lines) - below]
    start = head[-1][1] if head else 0
    end = len(new_lines) - tail[0][0] + 1 if tail else 0
    try:
        old = list(parsed("\n".join(old_lines[start : len(old_lines) - end])))
    except SyntaxError:  # what was one statement has become several, or the other way round
        return list(statements(before)), list(statements(after.text)), []
    new = statements("\n".join(new_lines[start : len(new_lines) - end]))
    return old, list(new), ["\n".join(new_lines[first - 1 : last]) for first, last in (*head, *tail)]


def _may_bind_any_name(text: str) -> bool:
    # Most texts have nothing like it in them, which the whole expression finds out slowly.
    return (any(word in text for word in WILD) or _STAR.search(text) is not None) and _MAY_BIND_ANY_NAME.search(text) is not None


def _closure(start: Iterable[str], follow: Callable[[str], set[str]]) -> frozenset[str]:
    found = set(start)
    pending = list(found)
    while pending:
        for path in follow(pending.pop()) - found:
            found.add(path)
            pending.append(path)
    return frozenset(found)
