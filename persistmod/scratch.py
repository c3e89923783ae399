"""Scratch modules that stand in for live ones while new bodies run aside.

In the thread that runs them `sys.modules` and the parent packages show the scratch modules, as an import does. Any other thread that
imports one of these modules waits for its import lock, and then finds the live one.

A submodule that does not run again is bound in the scratch package when a body imports it, as the import that ran it did; one that only
modules import which do not run again either, when the package has run.
"""

from __future__ import annotations

import builtins
import importlib._bootstrap
import sys
import threading
import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from persistmod import replacing


@contextmanager
def standing_aside(names: Collection[str]) -> Iterator[None]:
    """Take live modules out of `sys.modules` for the thread, so that imports of them make scratch modules; put them back at the end."""
    with ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(importlib._bootstrap._ModuleLockManager(name))  # type: ignore[attr-defined]
        live = {name: sys.modules[name] for name in names if name in sys.modules}
        stack.enter_context(_import_statements(names, live))
        stack.enter_context(_parents_view(names))
        for name in live:
            del sys.modules[name]
        try:
            yield
        finally:
            for name in names:
                sys.modules.pop(name, None)
            sys.modules.update(live)


@contextmanager
def standing_in(name: str, scratch: types.ModuleType) -> Iterator[None]:
    """Let a scratch module stand in for one live module."""
    with standing_aside((name,)):
        sys.modules[name] = scratch
        yield


@contextmanager
def _import_statements(names: Collection[str], live: Mapping[str, types.ModuleType]) -> Iterator[None]:
    """Have import statements of this thread bind submodules, and those of others wait."""
    thread, do_import = threading.get_ident(), builtins.__import__
    bound: set[str] = set()

    def import_here(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        module = do_import(name, globals, locals, fromlist, level)
        for wanted in _modules_of(name, globals, fromlist, level):
            if wanted not in bound:
                there = _submodules(live[wanted]) - bound if wanted in live else {wanted}
                for each in there - set(names):
                    _bind_in_scratch(each, names)
                bound.add(wanted)
        return module

    def import_anywhere(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if threading.get_ident() == thread:
            return import_here(name, globals, locals, fromlist, level)
        _wait(_modules_of(name, globals, fromlist, level), names)
        return do_import(name, globals, locals, fromlist, level)

    import_anywhere.__wrapped__ = do_import  # type: ignore[attr-defined]
    builtins.__import__ = import_anywhere
    try:
        yield
    finally:
        builtins.__import__ = do_import
        if sys.getrefcount(import_anywhere) > _OWN_REFERENCES:
            replacing.exchange(import_anywhere, do_import)


# The variable, the argument of getrefcount.
_OWN_REFERENCES = 2


def _wait(wanted: list[str], names: Collection[str]) -> None:
    """Wait until live modules are back: the interpreter looks into `sys.modules` before it asks for the lock."""
    for name in wanted:
        if name in names:
            with importlib._bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
                """It is free."""


def _submodules(package: types.ModuleType) -> set[str]:
    """Return the names of the submodules that a live package has bound."""
    name = package.__name__
    return {f"{name}.{child}" for child, value in vars(package).items() if sys.modules.get(f"{name}.{child}") is value}


def _bind_in_scratch(name: str, names: Collection[str]) -> None:
    """Bind a live submodule in its package, if that runs aside."""
    parent, _, child = name.rpartition(".")
    if parent in names and parent in sys.modules and name in sys.modules:
        vars(sys.modules[parent]).setdefault(child, sys.modules[name])


def _modules_of(name: str, globals: Any, fromlist: Any, level: int) -> list[str]:
    """Return the absolute names of the modules that an import statement may give."""
    if level:
        package = ((globals or {}).get("__package__") or "").split(".")
        name = ".".join((*package[: len(package) - level + 1], *((name,) if name else ())))
    parts = name.split(".")
    return [*(".".join(parts[: count + 1]) for count in range(len(parts))), *(f"{name}.{item}" for item in fromlist or ())]


@contextmanager
def _parents_view(names: Collection[str]) -> Iterator[None]:
    """Show this thread the scratch modules as attributes of packages that stay, and every other thread the live ones.

    A package that stays has imported them, so who asks it for one that has not run yet has it run.
    """
    children: dict[str, list[str]] = {}
    for name in names:
        parent, _, child = name.rpartition(".")
        if parent in sys.modules and parent not in names and type(sys.modules[parent]) is types.ModuleType:
            children.setdefault(parent, []).append(child)
    packages = {sys.modules[parent]: bound for parent, bound in children.items()}
    for package, bound in packages.items():
        views = {child: _view(package.__name__, child, threading.get_ident()) for child in bound}
        package.__class__ = type("module", (types.ModuleType,), {"__slots__": (), **views})
    try:
        yield
    finally:
        for package in packages:
            package.__class__ = types.ModuleType


def _view(parent: str, child: str, thread: int) -> property:
    def get(package: types.ModuleType) -> Any:
        found = sys.modules if threading.get_ident() == thread else vars(package)
        name = f"{parent}.{child}" if found is sys.modules else child
        try:
            return found[name] if name in found or child not in vars(package) else importlib.import_module(name)
        except KeyError:
            raise AttributeError(f"module {parent!r} has no attribute {child!r}", name=child, obj=package) from None

    def put(package: types.ModuleType, value: Any) -> None:
        if threading.get_ident() != thread:  # in this thread it is the import system, with a scratch module
            vars(package)[child] = value

    return property(get, put)
