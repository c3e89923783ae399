"""The state of a module as a value: what a walk gives, how it is loaded, and what a walk must know of the module.

A state is a pickle and what the pickle takes out of band; `pickling` writes it, for the C unpickler.
"""

from __future__ import annotations

import marshal
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Protocol

from persistmod.errors import ConversionError


class Path(NamedTuple):
    """The way from the namespace to a value, as a linked list of labels."""

    parent: Path | None
    label: str | tuple[str, Any]

    def __str__(self) -> str:
        labels = []
        path: Path | None = self
        while path is not None:
            labels.append(path.label if isinstance(path.label, str) else path.label[0].format(_short(path.label[1])))
            path = path.parent
        return "".join(reversed(labels)).lstrip(".")


def _short(value: Any) -> str:
    if type(value) in (str, bytes, int, float, bool, types.NoneType):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"<{type(value).__qualname__}>"


def stored_items(module: str, namespace: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the items of a namespace that positions count: all but what differs with the way in which a module is imported."""
    return [
        (name, value)
        for name, value in namespace.items()
        if name != "__builtins__" and not is_submodule(module, name, value)
    ]


def is_submodule(package: str, name: str, value: Any) -> bool:
    """Return whether a name in a package is bound to the submodule of that name, as the import system does."""
    return issubclass(type(value), types.ModuleType) and sys.modules.get(f"{package}.{name}") is value


class Scope(Protocol):
    """What the walk must know of the module: its import attributes, what its body made, where other things are found."""

    module: str
    namespace: dict[str, Any]
    import_attributes: dict[str, Any]
    steps: tuple[ImportStep, ...]

    def reference(self, value: Any) -> tuple[str, str] | None:
        """Return (module, qualified name) under which `value` is found by identity, None if it is the module's own."""

    def imported(self, name: str, value: Any) -> tuple[str, str] | None:
        """Return (module, attribute) if an import statement bound `name` to `value`, and it is still that."""

    def is_import_attribute(self, name: str, value: Any) -> bool:
        """Return whether the import system has set a name, and will when the module is loaded."""

    def is_own(self, value: Any) -> bool:
        """Return whether `value` was made by the body."""

    def are_own(self, containers: list[Any]) -> bool:
        """Return whether the body made each of these, and none can be found by identity elsewhere."""

    def has_raw_instances(self, kind: type) -> bool:
        """Return whether instances of `kind` are taken apart past their own methods."""


@dataclass(frozen=True, slots=True)
class ImportStep:
    """An import that the body did: its statement, how many of the
    `stored_items` the namespace had, and whether it failed.
    """

    position: int
    line: int
    name: str
    fromlist: tuple[str, ...]
    level: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The state of a module.                                                       # stored: format 1

    `pickle`: opcodes; `buffers`: marshalled, a tuple of code objects, identifiers and tables in the order that the pickle takes them, None
    where it takes one of `persistent`, the paths of the persistent objects that the body made.
    """

    pickle: bytes
    buffers: bytes
    persistent: tuple[str, ...] = ()


def load(state: State, into: dict[str, Any], persistent: Callable[[str], Any] | None = None) -> None:
    """Fill the namespace `into` from a state; `persistent` gives the persistent object of a path."""
    buffers: Iterator[Any] = iter(marshal.loads(state.buffers))
    if state.persistent:
        buffers = _with_persistent(buffers, state, persistent or _no_persistent)
    pickle.loads(state.pickle, buffers=chain((into,), buffers))


def _with_persistent(buffers: Iterator[Any], state: State, persistent: Callable[[str], Any]) -> Iterator[Any]:
    paths = iter(state.persistent)
    for buffer in buffers:
        yield persistent(next(paths)) if buffer is None else buffer


def _no_persistent(path: str) -> Any:
    raise ConversionError(f"{path}: no persistent object was given for it", name=path)


@dataclass(slots=True)
class Dump:
    """What a walk gave: the state, the persistent objects by path, every object that is stored by value, by its id, and what the
    state refers to, as (module, qualified name).
    """

    state: State
    persistent: dict[str, Any]
    values: dict[int, Any]
    references: frozenset[tuple[str, str]]
    places: list[tuple[int, Path]] = field(repr=False)

    def path_at(self, offset: int) -> str:
        """Return the path of the value that is written at an offset of the pickle."""
        best = ""
        for start, path in self.places:
            if start > offset:
                break
            best = str(path)
        return best
