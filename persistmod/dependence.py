"""What in a module depends on what, read from its source: which bindings an edit changes, and which it may have changed on the way.

Each statement of a body binds paths ("name", or "Class.name" in a class body) and reads names. Between two versions of a source

- a path is *affected* if a statement that binds it came, went or changed, or if such a statement reads what is affected, at any distance
  (`from __future__` changes how all of them are compiled);
- a name is *touched* if a statement that is affected reads it, at any distance: what stands there may have been changed in place.

Both may say too much, never too little for what plain names show: a value that is not affected is what it was.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


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
    """What lies between two versions of a source: the paths that are affected, and the names that are touched."""

    affected: frozenset[str]
    touched: frozenset[str]
    bound: frozenset[str]

    def affects(self, path: str) -> bool:
        """Return whether what stands at a path may be another value; what no statement binds goes with the class it stands in."""
        while path not in self.bound and "." in path:
            path = path.rpartition(".")[0]
        return path in self.affected

    def touches(self, path: str) -> bool:
        """Return whether what stands at a path may have been changed in place."""
        return path.partition(".")[0] in self.touched


def edit(before: list[Statement], after: list[Statement], imported: frozenset[str]) -> Edit:
    """Compare two versions of a source by their statements; `imported` are names that another module's change affects."""
    counts, new_counts = Counter(before), Counter(after)
    changed = {*(counts - new_counts), *(new_counts - counts)}
    every = {*counts, *new_counts}
    whole = every if any(statement.text.startswith("from __future__ ") for statement in changed) else changed
    affected = _closure(imported.union(*(statement.binds for statement in whole)), _readers(every))
    at_work = [statement for statement in every if statement in changed or statement.binds & affected or statement.reads & affected]
    read = frozenset().union(*(statement.reads for statement in at_work))
    touched = _closure(read, _reads_of(every))
    return Edit(affected, touched, frozenset().union(*(statement.binds for statement in every)))


def reads_now(body: Iterable[Statement]) -> frozenset[str]:
    """Return the names that a body reads when it runs, also in functions of its own that it may call."""
    found = list(body)
    return _closure(frozenset().union(*(statement.now for statement in found)), _reads_of(found))


def definitions_of(body: Iterable[Statement]) -> frozenset[str]:
    """Return the paths that a body binds by `def` and `class` only."""
    found = list(body)
    defined, bound = (frozenset().union(*(s.binds for s in found if s.defines is kind)) for kind in (True, False))
    return defined - bound


def _readers(every: Iterable[Statement]) -> dict[str, set[str]]:
    """Return `{name: paths bound by statements that read it}`."""
    readers: dict[str, set[str]] = {}
    for statement in every:
        for name in statement.reads:
            readers.setdefault(name, set()).update(statement.binds)
    return readers


def _reads_of(every: Iterable[Statement]) -> dict[str, set[str]]:
    """Return `{path: names read by statements that bind it}`."""
    reads: dict[str, set[str]] = {}
    for statement in every:
        for path in statement.binds:
            reads.setdefault(path, set()).update(statement.reads)
    return reads


def _closure(start: Iterable[str], edges: dict[str, set[str]]) -> frozenset[str]:
    found = set(start)
    pending = list(found)
    while pending:
        for path in edges.get(pending.pop(), set()) - found:
            found.add(path)
            pending.append(path)
    return frozenset(found)


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a body, those of its class bodies with them; none of a source that nests too deep for Python objects."""
    lines = text.split("\n")
    try:
        tree = ast.parse(text)
    except (RecursionError, MemoryError):
        return
    yield from _statements(tree.body, lines, "", frozenset(), ())


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
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(line.rstrip() for line in lines[first - 1 : node.end_lineno]) + "\n"


def _reads(node: ast.AST, scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the names that a statement or expression reads, in functions inside it, too; in a class body each may be the class's."""
    names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Store)}
    if isinstance(node, ast.AugAssign):
        names |= {child.id for child in ast.walk(node.target) if isinstance(child, ast.Name)}
    mangled = {_mangled(name, scopes) for name in names}
    return frozenset(mangled).union(*({f"{scope}.{name}" for name in mangled} for scope in scopes[:1]))


def _binds(node: ast.AST, scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the paths that a statement binds itself; what is only bound in a function or a class inside it is not the module's."""
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
            case ast.alias(name=name, asname=asname):
                names.add(asname or name.partition(".")[0])
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
            case ast.AnnAssign(simple=1):
                names.add("__annotations__")
            case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ast.Store() | ast.Del()):
                names.add(f"{owner}.{name}")
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                names.add(name)
        pending.extend(ast.iter_child_nodes(child))
    return frozenset(_path(name, scopes) for name in names)


def _path(name: str, scopes: tuple[str, ...]) -> str:
    return f"{scopes[0]}.{_mangled(name, scopes)}" if scopes else name


def _mangled(name: str, scopes: tuple[str, ...]) -> str:
    """Return a name as the compiler has it in a class body: private names get the name of the class."""
    cls = scopes[0].rpartition(".")[2].lstrip("_") if scopes else ""
    return f"_{cls}{name}" if cls and name.startswith("__") and not name.endswith("__") and "." not in name else name
