"""A scratch module that stands in for a live one while a new body runs aside."""

from __future__ import annotations

import importlib._bootstrap
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def standing_in(name: str, scratch: types.ModuleType) -> Iterator[None]:
    """Let the scratch module stand in `sys.modules` for this thread; others that import the module wait until it is gone.

    They wait for the import lock of the module, as for a module under way: `__spec__._initializing` says so to importlib.
    """
    spec: Any = scratch.__spec__
    with importlib._bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
        before = sys.modules.get(name)
        spec._initializing = True
        sys.modules[name] = scratch
        try:
            with _parent_view(name, scratch):
                yield
        finally:
            spec._initializing = False
            if before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = before


@contextmanager
def _parent_view(name: str, scratch: types.ModuleType) -> Iterator[None]:
    """Show the scratch module in the parent package to this thread, and the live one to every other."""
    parent_name, _, child = name.rpartition(".")
    parent = sys.modules.get(parent_name)
    if parent is None or type(parent) is not types.ModuleType or child not in vars(parent):
        yield
        return
    thread = threading.get_ident()

    def get(package: types.ModuleType) -> Any:
        return scratch if threading.get_ident() == thread else vars(package)[child]

    def put(package: types.ModuleType, value: Any) -> None:
        vars(package)[child] = value

    parent.__class__ = type("module", (types.ModuleType,), {child: property(get, put)})
    try:
        yield
    finally:
        parent.__class__ = types.ModuleType
