"""What a run reads of `sys` that differs between processes: lines that run are traced, and their instructions looked at.

An attribute may be read by its name (`sys.argv`, also after `import sys as s`), by a string on a line where `sys` stands too
(`getattr(sys, "argv")`), or after `from sys import argv`; in the body, or in a function of another module that the body calls.
"""

from __future__ import annotations

import dis
import io
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from persistmod.source import ImportStatement

# Attributes of `sys` that differ between processes and that a body may read without a call.
_ATTRIBUTES = frozenset(
    (
        *("argv", "orig_argv", "path", "executable", "prefix", "exec_prefix", "base_prefix", "base_exec_prefix"),
        *("warnoptions", "_xoptions", "pycache_prefix", "flags"),
    )
)
_LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FAST_CHECK")

# What a line reads if a name stands for `sys`, or, with True, for the very value of that attribute: (name, attribute, whether).
_Candidate = tuple[str, str, bool]


class SysReads:
    """Finds what is read of `sys` in one run; `trace` is a trace function, `conclude` gives the names of the attributes."""

    def __init__(self, namespace: dict[str, Any], statements: list[ImportStatement], is_paused: Callable[[], bool]) -> None:
        self._namespace = namespace
        bound = [pair for statement in statements if statement.name == "sys" and not statement.level for pair in statement.bound]
        self._aliases = {name: attribute for name, attribute in bound if attribute in _ATTRIBUTES}
        self._is_paused = is_paused
        self._candidates: dict[types.CodeType, dict[int, list[_Candidate]]] = {}
        self._ran: set[tuple[types.CodeType, int]] = set()
        self._found: dict[str, None] = {}

    def trace(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            return None if self._is_paused() or not self._lines_of(frame.f_code) else self.trace
        lines = self._lines_of(frame.f_code)
        if event == "line" and frame.f_lineno in lines and (frame.f_code, frame.f_lineno) not in self._ran:
            self._ran.add((frame.f_code, frame.f_lineno))
            self._note(lines[frame.f_lineno], {**frame.f_globals, **frame.f_locals})
        return self.trace

    def conclude(self) -> list[str]:
        """Return the attributes that were read; a name that the line itself binds is known only now."""
        for code, line in self._ran:
            if code.co_name == "<module>":
                self._note(self._candidates[code][line], self._namespace)
        return list(self._found)

    def own_objects(self) -> set[int]:
        """Return the ids of what was made here while the body ran, or got its first content then, and with it the collector's attention."""
        lines = list(self._candidates.values())
        found = [candidates for line in lines for candidates in line.values()]
        ids = {*map(id, lines), *map(id, found), *map(id, self._ran), *(id(one) for candidates in found for one in candidates)}
        return ids | {id(vars(self)), *map(id, vars(self).values())}

    def _note(self, candidates: list[_Candidate], names: dict[str, Any]) -> None:
        for name, attribute, is_value in candidates:
            value = names.get(name, self)
            if value is (getattr(sys, attribute, None) if is_value else sys):
                self._found[attribute] = None

    def _lines_of(self, code: types.CodeType) -> dict[int, list[_Candidate]]:
        lines = self._candidates.get(code)
        if lines is None:
            lines = self._candidates[code] = {}
            if self._may_read(code):
                for line, candidate in _candidates(code, self._aliases):
                    lines.setdefault(line, []).append(candidate)
        return lines

    def _may_read(self, code: types.CodeType) -> bool:
        texts = [constant for constant in code.co_consts if type(constant) is str]
        return not _ATTRIBUTES.isdisjoint((*code.co_names, *texts)) or not self._aliases.keys().isdisjoint(code.co_names)


def _candidates(code: types.CodeType, aliases: dict[str, str]) -> Iterator[tuple[int, _Candidate]]:
    """Yield (line, candidate) for whatever in a code object may read an attribute of `sys`."""
    names: dict[int, set[str]] = {}
    texts: list[tuple[int, str]] = []
    previous = ""
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno if instruction.positions else None
        name = instruction.argval
        if line is None or type(name) is not str:
            continue
        if instruction.opname in _LOADS:
            names.setdefault(line, set()).add(name)
            if name in aliases:
                yield line, (name, aliases[name], True)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and name in _ATTRIBUTES:
            yield line, (previous, name, False)
        elif instruction.opname == "LOAD_CONST" and name in _ATTRIBUTES:
            texts.append((line, name))
        previous = name
    for line, text in texts:
        yield from ((line, (name, text, False)) for name in names.get(line, ()))


def is_in_memory(file: Any) -> bool:
    """Return whether a file object reads and writes no file."""
    if isinstance(file, io.TextIOWrapper):
        try:
            file = file.buffer
        except ValueError:  # it has been detached
            return True
    return isinstance(file, io.StringIO | io.BytesIO)
