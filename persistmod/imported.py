"""Modules in `sys.modules` and in their parents: whether they can be imported, how one is forgotten."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterable


def is_importable(name: str) -> bool:
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def forget(name: str, keep: Iterable[str]) -> types.ModuleType | None:
    """Take a module out of `sys.modules` and out of its parent; return it."""
    if name in keep:
        return None
    module = sys.modules.pop(name, None)
    parent, _, child = name.rpartition(".")
    if module is not None and parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
        delattr(sys.modules[parent], child)
    return module
