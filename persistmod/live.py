"""Modules in `sys.modules` and in their parents: how they are taken out and put back."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from persistmod import loading
from persistmod.imported import forget


def of(record: loading.Record) -> types.ModuleType | None:
    """Return the live module of a record, None if it is not imported."""
    module = sys.modules.get(record.name)
    return module if module is not None and loading.is_of(module, record) else None


def forgotten(name: str) -> Callable[[], None]:
    """Take a live module of the database out of `sys.modules`, and return how it comes back."""
    module = sys.modules.get(name)
    if module is None or loading.record_of(module) is None:
        return lambda: None
    parent, _, child = name.rpartition(".")
    forget(name, ())

    def restore() -> None:
        sys.modules[name] = module
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)

    return restore


@contextmanager
def set_aside(names: Iterable[str]) -> Iterator[None]:
    """Take modules of these names that came from files out of `sys.modules` for a while, with what is in them."""
    tops = {name for name in names if name in sys.modules and loading.record_of(sys.modules[name]) is None}
    found = {name: module for name, module in list(sys.modules.items()) if not tops.isdisjoint(_with_parents(name))}
    attributes = {}
    for name in found:
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            attributes[name] = vars(sys.modules[parent]).get(child)
    for name in found:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(found)
        for name, value in attributes.items():
            parent, _, child = name.rpartition(".")
            if value is not None and parent in sys.modules:
                setattr(sys.modules[parent], child, value)


def _with_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


@contextmanager
def taken_out(names: Iterable[str]) -> Iterator[dict[str, types.ModuleType]]:
    """Take live modules of the database out of `sys.modules`, so that new ones take their places; put them back after an error.

    What is in a package that is taken out stays, and is bound in the new one.
    """
    replaced = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        yield replaced
    except BaseException:
        sys.modules.update(replaced)
        raise
    for name in replaced:
        for full, module in list(sys.modules.items()):
            parent, _, child = full.rpartition(".")
            if parent == name and name in sys.modules:
                setattr(sys.modules[name], child, module)


@contextmanager
def in_sys_modules(module: types.ModuleType, name: str) -> Iterator[None]:
    """Let `module` stand in `sys.modules` under `name`, and put back what stood there."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
