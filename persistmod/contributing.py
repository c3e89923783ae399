"""What a script contributes to its namespace, and what it uses of namespaces, read from its source.

A script contributes every function and class that its statements define, and every public name that they assign; what it imports, and the
variables of loops, stay its own, and so do data whose names begin with an underscore. A name that is bound in a branch, or rebound by a
function (`global`), or deleted, is *loose*: what it is bound to is found when it is asked for.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import resolve_name

from persistmod.source import bound_names, module_level, parse_source


@dataclass(frozen=True, slots=True)
class Reading:
    """What the source of a script says.                                              # stored: format 1

    `bound`: names that it contributes, in order; `loose`: those of which only a look at the script tells what they are. `needs`: dotted
    names that it reads when it runs; `uses`: those that it imports or reads later. `doc`: its docstring.
    """

    bound: tuple[str, ...]
    loose: tuple[str, ...]
    needs: frozenset[str]
    uses: frozenset[str]
    doc: str

    @property
    def names(self) -> frozenset[str]:
        """All names that the script contributes."""
        return frozenset((*self.bound, *self.loose))


def read(source: bytes, file: str, namespace: str) -> Reading:
    """Read the source of a script; SourceError names its file."""
    tree = parse_source(source, namespace, file)
    contributed = dict.fromkeys(name for statement in module_level(tree) for name in _contributed(statement))
    rebound = {name for node in ast.walk(tree) for name in _rebound(node)}
    contributed |= dict.fromkeys(sorted(name for name in rebound if not name.startswith("_")))
    imported = _imported(tree) - _defined(tree)
    sure = {name for statement in tree.body for name in _contributed(statement)} - rebound
    names = [name for name in contributed if name not in imported and not _is_special(name)]
    needs, uses = (frozenset(filter(_is_foreign, found)) for found in _dotted_names(tree, namespace))
    loose = tuple(name for name in names if name not in sure)
    return Reading(tuple(name for name in names if name in sure), loose, needs, uses - needs, ast.get_docstring(tree) or "")


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _contributed(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds and that are not the script's own."""
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return
    is_definition = isinstance(statement, _DEFINITIONS)
    yield from (name for name in bound_names(statement) if is_definition or not name.startswith("_"))


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _rebound(node: ast.AST) -> Iterator[str]:
    """Yield names that functions bind in the script, or that a statement deletes."""
    if isinstance(node, ast.Global):
        yield from node.names
    elif isinstance(node, ast.Delete):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _defined(tree: ast.Module) -> set[str]:
    return {statement.name for statement in module_level(tree) if isinstance(statement, _DEFINITIONS)}


def _imported(tree: ast.Module) -> set[str]:
    aliases = [alias for node in module_level(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    return {alias.asname or alias.name.partition(".")[0] for alias in aliases}


# What it uses


def mentions(source: bytes, module: str, package: str) -> frozenset[str]:
    """Return the dotted names that a source imports, or reads of what it imports; `package` is what relative imports start from."""
    return frozenset().union(*_dotted_names(parse_source(source, module, module), package))


def _dotted_names(tree: ast.Module, namespace: str) -> tuple[set[str], set[str]]:
    """Return the dotted names that are read when the body runs, and those that it imports or its functions read."""
    nodes = list(_with_time(tree))
    modules = {name: module for node, _ in nodes for name, module in _bound_modules(node, namespace)}
    needs: set[str] = set()
    uses: set[str] = set()
    for node, is_later in nodes:
        (uses if is_later or isinstance(node, ast.Import) else needs).update(_used(node, modules, namespace))
    return needs, uses


def _is_foreign(name: str) -> bool:
    return name.partition(".")[0] not in sys.stdlib_module_names


def _with_time(tree: ast.Module) -> Iterator[tuple[ast.AST, bool]]:
    """Yield all nodes but the parts of dotted names, and whether each runs only when a function is called."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, is_later = pending.pop()
        yield node, is_later
        inner = node.body if isinstance(node, (*_DEFINITIONS[:2], ast.Lambda)) else []
        later = {id(child) for child in (inner if isinstance(inner, list) else [inner])}
        if not _path_of(node):
            pending.extend((child, is_later or id(child) in later) for child in ast.iter_child_nodes(node))


def _path_of(node: ast.AST) -> list[str]:
    """Return the parts of a dotted name, nothing for any other node."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if parts and isinstance(node, ast.Name) else []


def _bound_modules(node: ast.AST, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield (name, dotted name of what an import statement binds it to)."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, f"{_source_of(node, namespace)}.{alias.name}"


def _source_of(node: ast.ImportFrom, namespace: str) -> str:
    try:
        return resolve_name("." * node.level + (node.module or ""), namespace)
    except ImportError:
        return ""


def _used(node: ast.AST, modules: dict[str, str], namespace: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{_source_of(node, namespace)}.{alias.name}" for alias in node.names)
    elif path := _path_of(node):
        if path[0] in modules:
            yield ".".join((modules[path[0]], *path[1:]))
