"""The world outside a module, as far as a body can change it: a snapshot of it, what differs from it, and the way back.

A snapshot holds the mutable objects that are few steps from the namespaces of other modules (`reach`), and for many of them together, in a
row, what they refer to. Rows are made and compared by identity in C, so that no method of a foreign object is called, and what has not
changed costs little. Where a row differs, the object that changed is looked for, and where it is. What changes by itself is left out.
"""

from __future__ import annotations

import contextvars
import gc
import sys
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from itertools import chain, compress, filterfalse, repeat, takewhile
from operator import is_, is_not
from typing import Any

from persistmod import differing
from persistmod.reach import AT_WORK, CLOSED, CONTAINER, DEPTH, Shape, is_same_state, parts, shape_of
from persistmod.reverting import Reverter

# Containers that the standard library fills as a cache, where an entry more changes nothing but speed.
_CACHES: dict[str, tuple[str, ...]] = {
    "re": ("_cache", "_cache2"),
    "linecache": ("cache",),
    "sys": ("path_importer_cache",),
    "encodings": ("_cache",),
    "inspect": ("modulesbyfile", "_filesbymodname"),
    "ast": ("_const_node_type_names",),
    "sre_parse": ("_cache",),
    "fnmatch": ("_cache",),
    "struct": ("_cache",),
    "warnings": ("onceregistry",),
    "tokenize": ("_compile",),
}
_BATCH_SIZE = 500
# Follows each object of a batch, and so its only referent ends each part of a row: asking the objects one by one takes three times as long.
_END = (object(),)
_is_part = partial(is_not, _END[0])
Differing = list[tuple[Any, list[Any]]]


class _Batch:
    """Objects of one shape, at one number of steps, and what they refer to, in a row."""

    def __init__(self, nodes: list[Any], level: int, shape: Shape) -> None:
        self.nodes, self.level, self.shape = nodes, level, shape
        self._asked = list(chain.from_iterable(zip(nodes, repeat(_END))))
        self.row = gc.get_referents(*self._asked)

    def is_same(self) -> bool:
        row = gc.get_referents(*self._asked)
        return len(row) == len(self.row) and all(map(is_, row, self.row))

    def take(self) -> bool:
        """Take the row again, and return whether it differs."""
        before, self.row = self.row, gc.get_referents(*self._asked)
        return len(before) != len(self.row) or not all(map(is_, before, self.row))

    def differing(self) -> Iterator[tuple[Any, list[Any]]]:
        """Yield each object that refers to something else now, with what it referred to."""
        row = iter(self.row)
        for node in self.nodes:
            before, now = list(takewhile(_is_part, row)), gc.get_referents(node)
            if len(before) != len(now) or not all(map(is_, before, now)):
                yield node, before

    def containers(self) -> tuple[list[Any], ...]:
        """Return the lists in which the batch holds objects."""
        return self.nodes, self._asked, self.row


class _Kinds(dict[int, bool]):
    """Whether what is of a type is looked into, by the id of the type; True for a type that is not known yet."""

    def __missing__(self, kind: int) -> bool:
        return True


class Outside:
    """A snapshot of what other modules hold; `inside` is always the namespace whose body runs, which is left out.

    One snapshot can serve many runs, since `take` brings it up to date. With `restorable`, `way_back` puts back what has changed.
    """

    def __init__(self, restorable: bool = False) -> None:
        self._reverter = Reverter() if restorable else None
        self._batches: list[_Batch] = []
        self._known: set[int] = set()  # the ids of every object that is known
        self._kept: list[Any] = []  # what is known and not looked into: no other object may get its id
        self._opened: list[list[Any]] = []  # what has been looked into, the nearest first
        self._names: dict[int, str] = {}
        self._shapes: dict[int, Shape] = {}
        # For what is found in an object nearer than DEPTH, in a container at DEPTH, in another object at DEPTH.
        self._is_open = _Kinds(), _Kinds(), _Kinds()
        self._hidden: dict[int, tuple[Any, Shape]] = {}
        self._states: dict[int, Any] = {}
        self._queue: dict[tuple[int, Shape], list[Any]] = {}
        self._context: dict[Any, Any] = {}

    @property
    def is_restorable(self) -> bool:
        return self._reverter is not None

    def take(self, inside: dict[str, Any]) -> None:
        """Bring the snapshot up to date."""
        modules = [(name, getattr(module, "__dict__", None)) for name, module in list(sys.modules.items())]
        _make_default_contexts()
        self.take_again(inside, {name: namespace for name, namespace in modules if type(namespace) is dict})
        self._find(list(self._context.values()), DEPTH, CONTAINER)
        self._open(inside)
        self._states = self._hidden_states()

    def take_again(self, inside: dict[str, Any], namespaces: Mapping[str, dict[str, Any]]) -> None:
        """Bring up to date what is in the snapshot, and these modules into it."""
        for batch in self._batches:
            if batch.take():
                if self._reverter:
                    self._reverter.keep(batch.nodes)
                self._find(parts(batch.row, batch.nodes, batch.shape), batch.level, batch.shape)
        for name, namespace in namespaces.items():
            if id(namespace) not in self._names and namespace is not inside:
                self._take_up(name, namespace)
        self._leave_out(_caches_of_loggers())
        self._context = dict(contextvars.copy_context().items())
        self._open(inside)
        self._states = self._hidden_states()

    def _take_up(self, name: str, namespace: dict[str, Any]) -> None:
        self._names[id(namespace)] = name
        is_new = id(namespace) not in self._known
        self._known.add(id(namespace))
        if name.partition(".")[0] in AT_WORK:
            self._kept.append(namespace)
            return
        self._leave_out([namespace[key] for key in _CACHES.get(name, ()) if key in namespace])
        if is_new:
            self._queue.setdefault((0, CONTAINER), []).append(namespace)

    def _leave_out(self, values: list[Any]) -> None:
        self._known.update(map(id, values))
        self._kept += values

    def _find(self, row: list[Any], level: int, owner: Shape) -> None:
        """Note what is new among the referents of objects `level` steps away."""
        is_open = self._is_open[0 if level < DEPTH else 1 if owner.is_container else 2]
        values = list(compress(row, map(is_open.__getitem__, map(id, map(type, row)))))
        unique = dict(zip(map(id, values), values, strict=True))
        groups: defaultdict[int, list[Any]] = defaultdict(list)
        for value in map(unique.__getitem__, filterfalse(self._known.__contains__, unique)):
            groups[id(type(value))].append(value)
        for kind, found in groups.items():
            shape = self._shapes.get(kind) or self._shape(type(found[0]))
            is_free = shape.is_free or (type(found[0]) is dict and not owner.is_container)
            steps = level if is_free else level + 1
            if shape is not CLOSED and (steps <= DEPTH or shape.state):
                self._known.update(map(id, found))
                self._queue.setdefault((steps, shape), []).extend(found)

    def _shape(self, kind: type) -> Shape:
        self._kept.append(kind)
        shape = self._shapes[id(kind)] = shape_of(kind)
        is_open = shape is not CLOSED
        is_open_far = is_open and (shape.is_free or shape.state is not None)
        for kinds, value in zip(self._is_open, (is_open, is_open_far, is_open_far or kind is dict), strict=True):
            kinds[id(kind)] = value
        return shape

    def _open(self, inside: dict[str, Any]) -> None:
        """Look into what has been found, the nearest first."""
        while self._queue:
            level, shape = min(self._queue, key=lambda key: key[0])
            nodes = [node for node in self._queue.pop((level, shape)) if node is not inside]
            for start in range(0, len(nodes), _BATCH_SIZE):
                self._open_batch(nodes[start : start + _BATCH_SIZE], level, shape)

    def _open_batch(self, nodes: list[Any], level: int, shape: Shape) -> None:
        self._opened.append(nodes)
        if shape.state:
            self._hidden.update((id(node), (node, shape)) for node in nodes)
        if self._reverter and (shape.is_compared or shape.state):
            self._reverter.keep(nodes)
        if shape.is_compared:
            batch = _Batch(nodes, level, shape)
            self._batches.append(batch)
            self._find(parts(batch.row, nodes, shape), level, shape)
        else:
            self._find(gc.get_referents(*nodes), level, shape)

    def _hidden_states(self) -> dict[int, Any]:
        with warnings.catch_warnings(module=warnings):  # not the one in sys.modules, whose body may be the one that runs
            warnings.simplefilter("ignore", DeprecationWarning)  # itertools announce the end of their pickling
            return {key: shape.state(value) for key, (value, shape) in self._hidden.items() if shape.state}

    def own_containers(self) -> set[int]:
        """Return the ids of the containers in which the snapshot itself holds what it compares."""
        ids = {id(values) for batch in self._batches for values in batch.containers()}
        ids |= {id(self._kept), id(self._context), *map(id, self._opened), *map(id, self._hidden.values()), *map(id, self._states.values())}
        return ids | self._reverter.own_containers() if self._reverter else ids

    def unknown(self, values: list[Any]) -> list[Any]:
        """Return those of the objects that do not belong to the snapshot."""
        known = self._known
        return [value for value in values if id(value) not in known]

    # What differs

    def differing(self) -> Differing:
        """Return each object that refers to something else than when the snapshot was taken, with what it referred to."""
        return [found for batch in self._batches if not batch.is_same() for found in batch.differing()]

    def _changes(self, found: Differing, own: Container[int]) -> Iterator[tuple[Any, str]]:
        for node, before in found:
            what = None if id(node) in own else differing.difference(node, before, self._names.get(id(node), ""), own)
            if what is not None:
                yield node, what
        now = self._hidden_states()
        for key, (value, _) in self._hidden.items():
            if key not in own and not is_same_state(self._states.get(key), now[key]):
                yield value, ""

    def reasons(self, found: Differing, own: Container[int]) -> Iterator[str]:
        """Yield what differs from the snapshot, each in words; `own` has the ids of what does not count."""
        for node, what in self._changes(found, own):
            yield f"its body changes {self._place(node)}{what}"
        for variable in self._context_changes():
            yield f"its body sets the context variable {variable.name}"

    def _context_changes(self) -> list[contextvars.ContextVar[Any]]:
        now, before = dict(contextvars.copy_context().items()), self._context
        return [variable for variable, value in now.items() if before.get(variable, before) is not value]

    def way_back(self, found: Differing, own: Container[int]) -> list[Callable[[], object]]:
        """Return what puts back all that differs from the snapshot, also what is found again by its name; it must be a restorable one."""
        if self._reverter is None:
            return []
        undo = [self._reverter.way_back(node) for node in self._changed_nodes(found, own)]
        undo += [partial(variable.set, self._context[variable]) for variable in self._context_changes() if variable in self._context]
        return [each for each in undo if each is not None]

    def _changed_nodes(self, found: Differing, own: Container[int]) -> Iterator[Any]:
        for node, before in found:
            if id(node) not in own and differing.difference(node, before, self._names.get(id(node), ""), frozenset()) is not None:
                yield node
        now = self._hidden_states()
        for key, (value, _) in self._hidden.items():
            if key not in own and not is_same_state(self._states.get(key), now[key]):
                yield value

    def _place(self, node: Any) -> str:
        """Say where an object is, as the way to it from a namespace."""
        labels: list[str] = []
        positions = {id(value): position for position, value in enumerate(chain.from_iterable(self._opened))}
        while id(node) not in self._names:
            position = positions[id(node)]
            owners = [owner for owner in _owners(node) if positions.get(id(owner), position) < position]
            if not owners:
                return f"a {type(node).__qualname__} of another module"
            owner = min(owners, key=lambda owner: positions[id(owner)])
            labels.append(differing.label(owner, node))
            node = owner
        return self._names[id(node)] + "".join(reversed(labels))


def _owners(node: Any) -> list[Any]:
    """Return what refers to an object, also by way of a tuple."""
    owners = gc.get_referrers(node)
    tuples = [owner for owner in owners if type(owner) is tuple]
    return owners + gc.get_referrers(*tuples) if tuples else owners


def _caches_of_loggers() -> list[Any]:
    """Return the dictionaries in which loggers keep which levels are enabled."""
    logging: Any = sys.modules.get("logging")
    loggers = [*getattr(logging, "Logger", logging).manager.loggerDict.values()] if hasattr(logging, "Logger") else []
    return [vars(logger)["_cache"] for logger in loggers if "_cache" in vars(logger)]


def _make_default_contexts() -> None:
    """Have `decimal` make the context of this thread, which it makes when it is first asked: that is no change."""
    decimal: Any = sys.modules.get("decimal")
    if isinstance(decimal, types.ModuleType) and hasattr(decimal, "getcontext"):
        decimal.getcontext()
