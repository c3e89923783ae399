"""Containers past the methods of their classes: what one holds, and giving it something else to hold."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

_KINDS = (list, OrderedDict, dict, set, deque)


def kind_of(cls: type) -> Any:
    """Return the built-in type by whose methods the instances of a container's class are read and filled; None if it is no container."""
    return next((kind for kind in _KINDS if issubclass(cls, kind)), None)


def contents(container: Any) -> Any:
    """Return what a container holds, in a new dictionary, set or list; what is hashed in it is not hashed again, if that can be helped."""
    cls = type(container)
    kind = kind_of(cls)
    if kind is set:
        return set().union(container)
    if kind is dict and cls.__iter__ is dict.__iter__:
        return dict.copy(container)
    return dict(kind.items(container)) if issubclass(kind, dict) else list(kind.__iter__(container))


def fill(container: Any, held: Any) -> None:
    """Have a container hold other things, items or for a dictionary pairs, and nothing else. Keys and members are hashed now."""
    kind = kind_of(type(container))
    if kind is list:
        list.__setitem__(container, slice(None), held)
        return
    kind.clear(container)
    if kind is OrderedDict:  # its `update` calls the methods of the class
        for key, value in dict(held).items():
            OrderedDict.__setitem__(container, key, value)
    else:
        (deque.extend if kind is deque else kind.update)(container, held)
