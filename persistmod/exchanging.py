"""Edits that change nothing but what is inside functions: what the new body would give is known, so it does not run.

If the code of a body and of its classes is what it was, up to the codes of functions, and no statement reads what the edit affects when it
runs, then the new body makes what the old one made, with other codes. The image of the module is the one that it has with these codes, and
the live functions take them. Where any of that is not certain, the body runs aside.
"""

from __future__ import annotations

import importlib.util
import marshal
from abc import ABCMeta
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType
from typing import Any

from persistmod import loading, tables
from persistmod.bookkeeping import Account
from persistmod.dependence import Edit
from persistmod.functions import code_docstring, copy_attributes
from persistmod.imaging import ImageData
from persistmod.pairing import Pair, classes_of
from persistmod.running_aside import Run, Target
from persistmod.source import Body
from persistmod.statements import mangled

_OPTIMIZED = 1  # CO_OPTIMIZED: the code of a function, not that of a class


def run_of(target: Target, edit: Edit) -> Run | None:
    """Return what a run of the new body would give; None if that is not certain."""
    record, live, before = target.record, vars(target.module), target.record._v_body
    if before is None or not edit.is_inside or record.script is not None or record.requested_run == "always":
        return None
    found = _compared(before, target.body) if before.text == record.source != target.body.text else None
    if found is None:
        return None
    entry = loading.entry_of(record)
    gone = before.imported.union(before.slices) - live.keys() - {"*"}
    exchanged = None if entry.image is None else _exchanged(entry.image, found, gone)
    if exchanged is None:
        return None
    image, codes = exchanged
    pairs = [pair for old, new in codes.items() for pair in _pairs(live, old, new)]
    classes = [Pair(path, cls, cls) for path, cls in classes_of(live, record.name) if edit.affects(path)]
    if {pair.old.__code__ for pair in pairs} != codes.keys() or any(type(pair.old) not in (type, ABCMeta) for pair in classes):
        return None
    scratch = importlib.util.module_from_spec(loading.spec_of(record, entry))
    loading.share_path(scratch, target.module)
    _fill(vars(scratch), {name: value for name, value in live.items() if name not in record.leaks}, pairs)
    inner = [*(pair for pair in pairs if "." in pair.path), *classes]
    return Run(target, scratch, image, {}, Account((id(pair.new), pair.new) for pair in pairs), pairs=inner, has_run=False)


def _fill(namespace: dict[str, Any], live: dict[str, Any], pairs: list[Pair]) -> None:
    """Bind in a new module what the live one has, and the new functions; what the import system has set there is its own."""
    del namespace["__doc__"]
    namespace |= {name: value for name, value in live.items() if name not in namespace}
    namespace |= {pair.path: pair.new for pair in pairs if "." not in pair.path}


# What differs


@dataclass(slots=True)
class _Difference:
    """The codes of functions that differ: `codes` is {old: new}, `inner` are old ones inside them."""

    codes: dict[CodeType, CodeType] = field(default_factory=dict)
    inner: set[CodeType] = field(default_factory=set)


def _compared(before: Body, after: Body) -> _Difference | None:
    """Return how two versions of a body differ, None if not in functions alone."""
    if before.imports != after.imports or before.code.co_filename != after.code.co_filename:
        return None
    found = _Difference()
    plain = {(block.name, block.first) for block in before.blocks if block.is_plain}
    pairs = _functions_of(before.code, after.code)
    if pairs is None or not all((old.co_name, old.co_firstlineno) in plain and _note(old, new, found) for old, new in pairs):
        return None
    return found


def _note(old: CodeType, new: CodeType, found: _Difference) -> bool:
    """Note what differs in a function, or in those of a class; return whether that is all, and can be exchanged."""
    if not old.co_flags & new.co_flags & _OPTIMIZED:
        pairs = _functions_of(old, new)
        return pairs is not None and all(_note(*pair, found) for pair in pairs)
    if old.co_name.startswith("<") or old.co_freevars != new.co_freevars:
        return False
    found.codes[old] = new
    found.inner |= set(_inner(old)).difference(_inner(new))
    return True


def _functions_of(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Return the pairs of codes that differ in two codes which are the same but for these and their lines, None if they are not."""
    if _shape(old) != _shape(new):
        return None
    pairs = zip(old.co_consts, new.co_consts, strict=True)
    return [(one, other) for one, other in pairs if type(one) is CodeType and one is not other and one != other]


def _shape(code: CodeType) -> tuple[Any, ...]:
    constants = tuple(each.co_name if type(each) is CodeType else (each,) for each in code.co_consts)
    return (
        *(code.co_name, code.co_flags, code.co_code, code.co_exceptiontable),
        *(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, tables.text(constants)),
    )


def _inner(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if type(each) is CodeType:
            yield each
            yield from _inner(each)


# What takes the new codes


def _exchanged(image: ImageData, found: _Difference, gone: set[str]) -> tuple[ImageData, dict[CodeType, CodeType]] | None:
    """Return an image with the new codes, and those of them that are in it; None if more in it should be another.

    `gone` are names that are not bound any more, which a run would bind again if the one before did.
    """
    if image.state is None:
        return None
    buffers = marshal.loads(image.state.buffers)
    stored = {buffer for buffer in buffers if type(buffer) is CodeType}
    if not stored.isdisjoint(found.inner) or not gone.isdisjoint(buffer for buffer in buffers if type(buffer) is str):
        return None
    codes = {old: new for old, new in found.codes.items() if old in stored}
    renewed = marshal.dumps(tuple(codes.get(buffer, buffer) if type(buffer) is CodeType else buffer for buffer in buffers))
    return replace(image, state=replace(image.state, buffers=renewed)), codes


def _pairs(live: dict[str, Any], old: CodeType, new: CodeType) -> Iterator[Pair]:
    """Yield the live functions that have a code in the place that it names, each with one that has the new code.

    What else in a class holds a function may have a copy of its docstring.
    """
    *scopes, name = old.co_qualname.split(".")
    namespace: Any = live
    for scope in scopes:
        cls = namespace.get(scope)
        namespace = vars(cls) if issubclass(type(cls), type) else {}
    name = mangled(name, tuple(scopes[::-1]))
    held = list(namespace.items()) if scopes else [(name, namespace.get(name))]
    functions = [(key, value, function) for key, value in held for function in _held(value) if function.__code__ == old]
    if all(function.__globals__ is live and _is_documented(value, function, new) for _, value, function in functions):
        for function in dict.fromkeys(function for key, _, function in functions if key == name):
            yield Pair(".".join((*scopes, name)), function, _renewed(function, new))


def _held(value: Any) -> Iterator[FunctionType]:
    """Yield the functions that a name of a module or class stands for."""
    parts = [value]
    if type(value) in (staticmethod, classmethod):
        parts = [value.__func__]
    elif type(value) is property:
        parts = [value.fget, value.fset, value.fdel]
    yield from (part for part in parts if type(part) is FunctionType)


def _is_documented(holder: Any, function: FunctionType, new: CodeType) -> bool:
    """Return whether a function has the docstring of its code, and what holds it, which has a copy of that, is right with the new one."""
    docstring = code_docstring(function.__code__)
    return function.__doc__ == docstring and (holder is function or docstring == code_docstring(new))


def _renewed(function: FunctionType, code: CodeType) -> FunctionType:
    renewed = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    docstring = renewed.__doc__
    copy_attributes(renewed, function, lambda value: value)
    renewed.__doc__ = docstring
    return renewed
