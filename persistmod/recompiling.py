"""Compiling a source of which most is known: only what has changed is parsed and compiled.

Functions and classes at module level above the first line that differs from the version before, and below the last, are left hollow: the
text that is compiled has blank lines in the place of their own statements, and a constant that ends where those ended. The tree of that
text has every statement of the module in its place; its code gets the code that the version before has for what is hollow, moved to its
lines. Both are what the whole text would give. Where that is not certain, the whole text is compiled.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator
from dataclasses import replace
from types import CodeType

from persistmod.source import Block, Body, body_of, common_lines, compile_source, first_line, to_text, with_any

_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names if name != "nested_scopes")


def compile_again(source: bytes, module: str, filename: str, before: Body | None) -> Body:
    """Return what `compile_source` returns, given what it returned for another version of the source, if that is at hand."""
    found = None
    if before is not None and before.code.co_filename == filename:
        found = _compiled(to_text(source, module), filename, before)
    return found or compile_source(source, module, filename)


def _compiled(text: str, filename: str, before: Body) -> Body | None:
    """Return the new version, None if it must be compiled as a whole."""
    known = _known(before, text)
    lines = text.split("\n")
    for block in known:
        lines[block.inner - 1 : block.last] = [*[""] * (block.last - block.inner), f"{' ' * (block.end - 1)}0"]
    try:
        tree = ast.parse("\n".join(lines), filename)
        code = compile(tree, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None  # the whole text gives the error as it is, if there is one
    if (code.co_flags ^ before.code.co_flags) & _FUTURE or not _are_hollow(tree, known):
        return None
    codes = {(block.name, block.first): moved for block, moved in known.items()}
    constants = tuple(codes.get((each.co_name, each.co_firstlineno), each) if type(each) is CodeType else each for each in code.co_consts)
    body = body_of(tree, code.replace(co_consts=constants), text)
    if body.imported != before.imported:  # the compiler writes another code for a call of what they have
        return None
    hollow = {block.first for block in known}
    loud = {*(first for first, _ in body.loud), *(block.first for block in known if not block.is_quiet)}
    blocks = (*known, *(block for block in body.blocks if block.first not in hollow))
    return replace(body, blocks=blocks, is_quiet=not loud, loud=with_any(body.layout, loud))


def _known(before: Body, text: str) -> dict[Block, CodeType]:
    """Return the blocks of a new version that stand above or below all that differs, with their code."""
    old, new = before.text.split("\n"), text.split("\n")
    above, below = common_lines(old, new)
    shift = len(new) - len(old)
    following = {last: first for (_, last), (first, _) in zip(before.layout, before.layout[1:], strict=False)}
    codes = {(each.co_name, each.co_firstlineno): each for each in before.code.co_consts if type(each) is CodeType}
    known = {}
    for block in before.blocks:
        lines = 0 if following.get(block.last, above + 1) <= above else shift if block.first > len(old) - below else None
        code = codes.get((block.name, block.first))
        if lines is not None and code is not None and (not lines or _can_move(code)):
            moved = replace(block, first=block.first + lines, inner=block.inner + lines, last=block.last + lines) if lines else block
            known[moved] = _moved(code, lines) if lines else code
    return known


def _can_move(code: CodeType) -> bool:
    """Return whether nothing in a code but its line table tells the line: from 3.13 on that of a class body does."""
    return "__firstlineno__" not in code.co_names and all(map(_can_move, _inner(code)))


def _moved(code: CodeType, lines: int) -> CodeType:
    constants = tuple(_moved(each, lines) if type(each) is CodeType else each for each in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=constants)


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (each for each in code.co_consts if type(each) is CodeType)


def _are_hollow(tree: ast.Module, known: dict[Block, CodeType]) -> bool:
    """Return whether all blocks are where they should be: what differs turned none into something else, and added nothing to it."""
    found = {first_line(node): node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for block in known:
        node = found.get(block.first)
        if node is None or (node.name, node.end_lineno, node.end_col_offset) != (block.name, block.last, block.end) or len(node.body) > 1:
            return False
    return True
