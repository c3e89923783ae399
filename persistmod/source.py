"""Source text: decoding, compiling, the statements that bind names, fingerprints, and the tag of the running Python.

A source is kept as the bytes that were given; text is what those bytes mean under their byte order mark or encoding declaration (PEP 263).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType

from persistmod import quiet
from persistmod.errors import SourceError


def current_tag() -> str:
    """Return what an image depends on: implementation and version, platform, and level of optimisation."""
    optimisation = f".opt-{sys.flags.optimize}" if sys.flags.optimize else ""
    return f"{sys.implementation.cache_tag}-{sys.platform}{optimisation}"


def to_bytes(source: str | bytes, module: str) -> bytes:
    """Return the source as bytes, encoded as it declares itself; text that it cannot encode is a SourceError."""
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str):
        raise TypeError(f"module {module!r}: source must be str or bytes, not {type(source).__name__}")
    try:
        encoding = _declared_encoding(source.encode("utf-8"))
        return source.encode("utf-8" if encoding == "utf-8-sig" else encoding)  # the text has its byte order mark already
    except (SyntaxError, LookupError, UnicodeError) as error:
        raise SourceError(f"module {module!r}: the source cannot be encoded: {error}", module=module) from error


def digest_of(data: bytes) -> str:
    """Return what stands for the content of a file."""
    return hashlib.sha256(data).hexdigest()


def to_text(source: bytes, module: str) -> str:
    """Return the text of a source with universal newlines; bytes that are not the declared encoding are a SourceError."""
    try:
        text = source.decode(_declared_encoding(source))
    except (SyntaxError, LookupError, UnicodeError) as error:
        raise SourceError(f"module {module!r}: the source cannot be decoded: {error}", module=module) from error
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)


def _declared_encoding(source: bytes) -> str:
    return tokenize.detect_encoding(io.BytesIO(source).readline)[0]


def compile_body(source: bytes, module: str, filename: str) -> CodeType:
    """Compile the body of a module; whatever the compiler finds wrong is a SourceError with the place."""
    to_text(source, module)
    try:
        return compile(source, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise _source_error(error, module, filename) from error


@dataclass(frozen=True, slots=True)
class Body:
    """The source of a module, compiled, with what its tree says; nothing where the source nests too deep for Python objects.

    `layout`: (first line, last line) of the statements at module level, those on one line taken together. `blocks`: the functions and
    classes among them. `is_quiet`: the body can change nothing outside but by the calls that `quiet` tells of; `bases`: of its classes;
    `loud`: where statements stand that are not quiet.

    The tree itself is let go: it is many times as big, and whoever asks the collector walks over all of it.
    """

    code: CodeType
    text: str
    imports: tuple[ImportStatement, ...] = ()
    slices: dict[str, Slice] = field(default_factory=dict)
    layout: tuple[tuple[int, int], ...] = ()
    blocks: tuple[Block, ...] = ()
    is_quiet: bool = False
    bases: frozenset[str] = frozenset()
    loud: tuple[tuple[int, int], ...] = ()

    @property
    def imported(self) -> set[str]:
        """The names that import statements bind, "*" for all of a module."""
        return {bound for statement in self.imports for bound, attribute in statement.bound}


def compile_source(source: bytes, module: str, filename: str) -> Body:
    """Parse and compile the source of a module; errors as for `compile_body`."""
    text = to_text(source, module)
    try:
        tree = ast.parse(source, filename)
        code = compile(tree, filename, "exec", dont_inherit=True)
        return body_of(tree, code, text)
    except (RecursionError, MemoryError):
        return Body(compile_body(source, module, filename), text)
    except (SyntaxError, ValueError, OverflowError) as error:
        raise _source_error(error, module, filename) from error


def parse_source(source: bytes, module: str, filename: str) -> ast.Module:
    """Parse the source of a module; errors as for `compile_body`."""
    to_text(source, module)
    try:
        return ast.parse(source, filename)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise _source_error(error, module, filename) from error


def body_of(tree: ast.Module, code: CodeType, text: str) -> Body:
    """Return what is kept of a source that has been parsed and compiled."""
    lines = {first_line(statement) for statement in tree.body if not quiet.is_quiet([statement])}
    places = layout(tree)
    return Body(
        code, text, tuple(import_statements(tree)), binding_slices(tree, text), places, tuple(blocks(tree, text)),
        not lines, quiet.bases(tree.body), with_any(places, lines),
    )  # fmt: skip


def _source_error(cause: Exception, module: str, filename: str) -> SourceError:
    what = cause.msg if isinstance(cause, SyntaxError) else str(cause) or type(cause).__name__
    line = getattr(cause, "lineno", None)
    place = f", line {line}" if line else ""
    error = SourceError(f"module {module!r}: the source cannot be compiled: {filename}{place}: {what}", module=module)
    error.filename, error.msg = filename, what
    error.lineno, error.offset, error.text = line, getattr(cause, "offset", None), getattr(cause, "text", None)
    return error


@dataclass(frozen=True, slots=True)
class Slice:
    """The source of one definition: its text from the first decorator to the last line, and where it stands."""

    text: str
    line: int

    @property
    def fingerprint(self) -> str:
        """A digest of the text that does not change when the definition moves."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def common_lines(old: list[str], new: list[str]) -> tuple[int, int]:
    """Return how many lines two texts begin with in common, and how many of the others they end with."""
    above = len(os.path.commonprefix([old, new]))
    return above, len(os.path.commonprefix([old[above:][::-1], new[above:][::-1]]))


def layout(tree: ast.Module) -> tuple[tuple[int, int], ...]:
    """Return (first line, last line) of the statements at module level, those on one line taken together."""
    places: list[tuple[int, int]] = []
    for statement in tree.body:
        first, last = first_line(statement), statement.end_lineno or statement.lineno
        if places and first <= places[-1][1]:
            first = places.pop()[0]
        places.append((first, last))
    return tuple(places)


def with_any(places: tuple[tuple[int, int], ...], lines: set[int]) -> tuple[tuple[int, int], ...]:
    """Return the places in which any of some lines stands."""
    return tuple(place for place in places if not lines.isdisjoint(range(place[0], place[1] + 1))) if lines else ()


@dataclass(frozen=True, slots=True)
class Block:
    """A function or class at module level whose own statements stand on lines of their own, from `inner` to `last`; none is `global`.

    `first`: its first line, that of a decorator; `end`: where the last line ends, in bytes of UTF-8. `is_quiet`: see `quiet`. `is_plain`:
    each function in it is made once, and by no decorator but those that hold a method, and nothing imported when it runs.
    """

    name: str
    first: int
    inner: int
    last: int
    end: int
    is_quiet: bool
    is_plain: bool


def blocks(tree: ast.Module, text: str) -> Iterator[Block]:
    """Yield the blocks of a source, in order."""
    lines = text.split("\n")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _stands_alone(node.body[0], lines):
            inner, last = node.body[0].lineno, node.end_lineno or 0
            if not any("global" in line for line in lines[inner - 1 : last]):
                end, is_quiet, is_plain = node.end_col_offset or 0, quiet.is_quiet([node]), quiet.is_plain(node)
                yield Block(node.name, first_line(node), inner, last, end, is_quiet, is_plain)


def _stands_alone(statement: ast.stmt, lines: list[str]) -> bool:
    """Return whether a statement that has no decorator begins its line."""
    line = lines[statement.lineno - 1]
    return first_line(statement) == statement.lineno and len(line) - len(line.lstrip()) == statement.col_offset


def first_line(statement: ast.stmt) -> int:
    """Return the line of a statement or of its first decorator."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def binding_slices(tree: ast.Module, text: str) -> dict[str, Slice]:
    """Return `{name: slice of the last statement at module level that binds it}`, imports and bare loops aside."""
    lines = text.split("\n")
    slices: dict[str, Slice] = {}
    for statement in module_level(tree):
        for name in bound_names(statement):
            slices[name] = _slice(statement, lines)
    return slices


def module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield every statement that runs in the module's own namespace, also inside `if`, `try`, `with` and loops."""
    pending: list[ast.AST] = list(reversed(tree.body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, _BLOCKS):
            pending.extend(reversed([child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]))


# What has statements in it that run in the namespace around it.
_BLOCKS = (
    *(ast.Module, ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar),
    *(ast.ExceptHandler, ast.Match, ast.match_case),
)


def bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a definition or an assignment binds."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            for target in targets:
                yield from _target_names(target)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            yield from _target_names(target)
        case _ if type(statement).__name__ == "TypeAlias":
            yield statement.name.id  # type: ignore[attr-defined]


def _target_names(target: ast.expr) -> Iterator[str]:
    pending: list[ast.AST] = [target]  # not ast.walk(), which imports from collections, whose body may be the one that runs
    for node in pending:
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _slice(statement: ast.stmt, lines: list[str]) -> Slice:
    first = first_line(statement)
    last = statement.end_lineno or first
    return Slice("\n".join(lines[first - 1 : last]) + "\n", first)


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """An import statement of a body: what `__import__` is asked for, and `{bound name: attribute}`, "" for the module itself."""

    line: int
    name: str
    level: int
    fromlist: tuple[str, ...]
    bound: tuple[tuple[str, str], ...]

    def module(self, package: str) -> str:
        """Return the absolute name of the module that is asked for in a package; "" above the topmost one."""
        try:
            return importlib.util.resolve_name("." * self.level + self.name, package)
        except ImportError:
            return ""

    def modules(self, package: str) -> Iterator[str]:
        """Yield the absolute names of all modules that may be imported: what is asked for, those above it, and what is bound from it."""
        name = self.module(package)
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
        yield from (f"{name}.{attribute}" for attribute in self.fromlist)


def import_statements(tree: ast.Module) -> list[ImportStatement]:
    """Return the import statements at module level, in source order; `import a, b` gives two."""
    found = []
    for statement in module_level(tree):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                bound = ((alias.asname, "") if alias.asname else (alias.name.partition(".")[0], "."),)
                found.append(ImportStatement(statement.lineno, alias.name, 0, (), bound))
        elif isinstance(statement, ast.ImportFrom):
            names = tuple(alias.name for alias in statement.names)
            bound_names = tuple((alias.asname or alias.name, alias.name) for alias in statement.names)
            found.append(ImportStatement(statement.lineno, statement.module or "", statement.level, names, bound_names))
    return found
