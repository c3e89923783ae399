"""The statements of a body, read from its source: what each binds, what it reads, and what it works on."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from persistmod.quiet import is_wrapper
from persistmod.source import first_line


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a body: its text with the heads of the blocks around it, the paths it binds, the names it reads.

    `now` are those of the names that it reads when it runs, not when a function is called; `works_on` those in whose objects it changes
    something as it shows: by a call of a method for its effect, or an item. `defines`: it is a `def` or a `class`. `refers`: those of
    `now` of which it does not look into the objects: it gives them another name, holds them, or has them as bases.
    """

    text: str
    binds: frozenset[str]
    reads: frozenset[str]
    now: frozenset[str]
    works_on: frozenset[str] = frozenset()
    defines: bool = False
    refers: frozenset[str] = frozenset()


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a body, those of its class bodies with them; none of a source that nests too deep for Python objects."""
    try:
        yield from parsed(text)
    except (RecursionError, MemoryError):
        return


def parsed(text: str) -> Iterator[Statement]:
    """Yield the same; what cannot be parsed is a SyntaxError, RecursionError or MemoryError."""
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
    refers = now - head_reads if _refers(node) else frozenset()
    return Statement(head + text, _binds(node, scopes), head_reads | _reads(node, scopes), now, _works_on(node), defines, refers)


def _works_on(node: ast.stmt) -> frozenset[str]:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
            changed: list[ast.expr] = [method]
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            changed = [target for target in targets if isinstance(target, ast.Subscript)]
        case ast.AugAssign(target=ast.Subscript() as target):
            changed = [target]
        case _:
            changed = []
    return frozenset(filter(None, map(_root, changed)))


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


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


def _refers(node: ast.AST | None) -> bool:
    """Return whether what a statement or expression evaluates gives objects by their names, or what holds them, and looks into none."""
    match node:
        case ast.Name() | ast.Constant():
            return True
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            return all(map(is_wrapper, node.decorator_list)) and all(map(_refers, defaults))
        case ast.ClassDef(bases=parts, keywords=[], decorator_list=[]) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            return all(map(_refers, parts))
        case ast.Assign(targets=targets, value=value):
            return all(isinstance(target, ast.Name) for target in targets) and _refers(value)
        case ast.AnnAssign(target=ast.Name(), value=value):
            return value is None or _refers(value)
        case ast.Dict(keys=keys, values=values):
            return all(isinstance(key, ast.Constant) for key in keys) and all(map(_refers, values))
    return False


def _text(node: ast.stmt, lines: list[str]) -> str:
    """Return the lines of a statement without the white space around them, so that it may move."""
    return "\n".join(line.rstrip() for line in lines[first_line(node) - 1 : node.end_lineno]) + "\n"


def _reads(node: ast.AST, scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the names that a statement or expression reads, in functions inside it, too; in a class body each may be the class's."""
    names = _read(node)
    if isinstance(node, ast.AugAssign):
        names |= {child.id for child in ast.walk(node.target) if isinstance(child, ast.Name)}
    read = {mangled(name, scopes) for name in names}
    return frozenset(read).union(*({f"{scope}.{name}" for name in read} for scope in scopes[:1]))


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
    return f"{scopes[0]}.{mangled(name, scopes)}" if scopes else name


def mangled(name: str, scopes: tuple[str, ...]) -> str:
    """Return a name as the compiler has it in a class body: private names get the name of the class."""
    cls = scopes[0].rpartition(".")[2].lstrip("_") if scopes else ""
    return f"_{cls}{name}" if cls and name.startswith("__") and not name.endswith("__") and "." not in name else name
