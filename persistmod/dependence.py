"""What in a module depends on what, read from its source: which bindings an edit changes, and which it may have changed on the way.

Each statement of a body binds paths ("name", or "Class.name" in a class body) and reads names. Between two versions of a source

- a path is *affected* if a statement that binds it came, went or changed, or if such a statement reads what is affected, at any distance
  (`from __future__` changes how all of them are compiled);
- any name may be bound by `import *`, and by what reads `globals` and the like, itself or in a function that it calls: these bind "*";
- a name is *touched* if a statement that is affected reads it, at any distance: what stands there may have been changed in place.

Both may say too much, never too little for what plain names show: a value that is not affected is what it was.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from persistmod.source import Body, common_lines, first_line


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a body: its text with the heads of the blocks around it, the paths it binds, the names it reads.

    `now` are those of the names that it reads when it runs, not when a function is called; `defines`: it is a `def` or a `class`.
    """

    text: str
    binds: frozenset[str]
    reads: frozenset[str]
    now: frozenset[str]
    defines: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """What lies between two versions of a source: the paths that are affected, and the names that are touched.

    `changed` are those of the affected paths that a statement binds which came, went or changed itself; `starred` the modules of which
    the version before took all names.
    """

    affected: frozenset[str]
    touched: frozenset[str]
    bound: frozenset[str]
    changed: frozenset[str] = frozenset()
    starred: frozenset[str] = frozenset()

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
    at_work = {statement for statement in known.statements if statement in changed or (statement.binds | statement.reads) & affected}
    read = frozenset().union(*(statement.reads for statement in at_work))
    touched = _closure(_at_module_level(read, names), lambda path: _at_module_level(known.read_by_binders(path), names))
    return Edit(affected, touched, frozenset().union(*(statement.binds for statement in known.statements)), rebound)


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
        self._look_for(path)
        return set().union(*(statement.binds for statement in self.statements if path in statement.reads))

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
        old = list(_parsed("\n".join(old_lines[start : len(old_lines) - end])))
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


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a body, those of its class bodies with them; none of a source that nests too deep for Python objects."""
    try:
        yield from _parsed(text)
    except (RecursionError, MemoryError):
        return


def _parsed(text: str) -> Iterator[Statement]:
    yield from _statements(ast.parse(text).body, text.split("\n"), "", frozenset(), ())


def _statements(
    block: list[ast.stmt], lines: list[str], head: str, head_reads: frozenset[str], scopes: tuple[str, ...]
) -> Iterator[Statement]:
    for node in block:
        inner = [child for name in _BLOCKS for child in getattr(node, name, ())]
        if isinstance(node, ast.ClassDef):
            yield _statement(node, _text(node, lines), head, head_reads, scopes)
            scope = f"{scopes[0]}.{node.name}" if scopes else node.name
            yield from _statements(node.body, lines, "", head_reads, (scope, *scopes))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not inner:
            yield _statement(node, _text(node, lines), head, head_reads, scopes)
        else:
            yield from _compound(node, inner, lines, head, head_reads, scopes)


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _compound(
    node: ast.stmt, inner: list[ast.AST], lines: list[str], head: str, head_reads: frozenset[str], scopes: tuple[str, ...]
) -> Iterator[Statement]:
    """Yield the statements in an `if`, `for`, `with`, `try` or `match`: all of them depend on what its head reads and binds."""
    first = inner[0]
    start = getattr(first, "lineno", None) or first.pattern.lineno  # type: ignore[attr-defined]
    text = "\n".join(lines[node.lineno - 1 : max(start - 1, node.lineno)])
    parts = [part for name, part in ast.iter_fields(node) if name not in _BLOCKS]
    expressions = [child for part in parts for child in (part if isinstance(part, list) else [part]) if isinstance(child, ast.AST)]
    reads = head_reads | frozenset().union(*(_reads(child, scopes) for child in expressions))
    binds = frozenset().union(*(_binds(child, scopes) for child in expressions))
    yield Statement(head + text, binds, reads, reads)
    for child in inner:
        if isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from _branch(child, lines, head + text, reads, scopes)
    block = [child for child in inner if isinstance(child, ast.stmt)]
    yield from _statements(block, lines, head + text, reads | _outer(binds), scopes)


def _branch(
    node: ast.ExceptHandler | ast.match_case, lines: list[str], head: str, reads: frozenset[str], scopes: tuple[str, ...]
) -> Iterator[Statement]:
    parts = [child for name, child in ast.iter_fields(node) if name != "body" and isinstance(child, ast.AST)]
    start = node.lineno if isinstance(node, ast.ExceptHandler) else node.pattern.lineno
    text = lines[start - 1]
    reads = reads | frozenset().union(*(_reads(child, scopes) for child in parts))
    names = [node.name] if isinstance(node, ast.ExceptHandler) and node.name else []
    binds = frozenset(_path(name, scopes) for name in names).union(*(_binds(child, scopes) for child in parts))
    yield Statement(head + text, binds, reads, reads)
    yield from _statements(node.body, lines, head + text, reads | _outer(binds), scopes)


def _outer(paths: frozenset[str]) -> frozenset[str]:
    return frozenset(path for path in paths if "." not in path)


def _statement(node: ast.stmt, text: str, head: str, head_reads: frozenset[str], scopes: tuple[str, ...]) -> Statement:
    now = head_reads.union(*(_reads(part, scopes) for part in _evaluated(node)))
    defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return Statement(head + text, _binds(node, scopes), head_reads | _reads(node, scopes), now, defines)


def _evaluated(node: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that are evaluated when it runs; annotations name what stays where it is."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
        case ast.AnnAssign(value=value):
            return [] if value is None else [value]
    return [node]


def _text(node: ast.stmt, lines: list[str]) -> str:
    """Return the lines of a statement without the white space around them, so that it may move."""
    return "\n".join(line.rstrip() for line in lines[first_line(node) - 1 : node.end_lineno]) + "\n"


def _reads(node: ast.AST, scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the names that a statement or expression reads, in functions inside it, too; in a class body each may be the class's."""
    names = _read(node)
    if isinstance(node, ast.AugAssign):
        names |= {child.id for child in ast.walk(node.target) if isinstance(child, ast.Name)}
    mangled = {_mangled(name, scopes) for name in names}
    return frozenset(mangled).union(*({f"{scope}.{name}" for name in mangled} for scope in scopes[:1]))


def _read(node: ast.AST) -> set[str]:
    """Return the names that are read in a statement or expression, without what are variables of the functions that read them."""
    names: set[str] = set()
    pending: list[ast.AST] = [node]
    while pending:
        child = pending.pop()
        match child:
            case ast.Name(id=name, ctx=ast.Load() | ast.Del()):
                names.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                body = [child.body] if isinstance(child, ast.Lambda) else child.body
                names |= set().union(*map(_read, body)) - _variables(child.args, body)
                pending += (part for part in ast.iter_child_nodes(child) if part not in body)
                continue
        pending.extend(ast.iter_child_nodes(child))
    return names


def _variables(arguments: ast.arguments, body: Sequence[ast.AST]) -> set[str]:
    """Return the names of a function's variables."""
    parameters = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    names = {parameter.arg for parameter in parameters if parameter is not None}
    return names.union(*map(_bound, body)).difference(*map(_declared_global, body))


def _declared_global(node: ast.AST) -> set[str]:
    names: set[str] = set()
    pending: list[ast.AST] = [node]
    while pending:
        child = pending.pop()
        if isinstance(child, ast.Global):
            names.update(child.names)
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(child))
    return names


def _binds(node: ast.AST, scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the paths that a statement binds itself; what is only bound in a function or a class inside it is not the module's."""
    return frozenset(_path(name, scopes) for name in _bound(node))


def _bound(node: ast.AST) -> set[str]:
    names: set[str] = set()
    pending: list[ast.AST] = [node]
    while pending:
        child = pending.pop()
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
                continue
            case ast.Lambda():
                continue
            case ast.comprehension():
                pending += (child.iter, *child.ifs)
                continue
            case ast.AnnAssign():
                names.add("__annotations__")
            case ast.alias(name=name, asname=asname):
                names.add(asname or name.partition(".")[0])
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ast.Store() | ast.Del()):
                names.add(f"{owner}.{name}")
            case ast.ExceptHandler(name=str() as name):
                names.add(name)
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                names.add(name)
        pending.extend(ast.iter_child_nodes(child))
    return names


def _path(name: str, scopes: tuple[str, ...]) -> str:
    return f"{scopes[0]}.{_mangled(name, scopes)}" if scopes else name


def _mangled(name: str, scopes: tuple[str, ...]) -> str:
    """Return a name as the compiler has it in a class body: private names get the name of the class."""
    cls = scopes[0].rpartition(".")[2].lstrip("_") if scopes else ""
    return f"_{cls}{name}" if cls and name.startswith("__") and not name.endswith("__") and "." not in name else name
