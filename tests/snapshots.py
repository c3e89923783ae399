"""Everything that an update which failed, or was taken back, must leave as it was.

`take(names, connection)` gives a value; `changes(before, after)` says in words what differs, [] if nothing does. It knows nothing of
persistmod's own journal. A snapshot keeps what it saw alive, so that no other object can get its identity.
"""

import builtins
import copyreg
import dataclasses
import gc
import linecache
import logging
import sys
import types
import warnings
import weakref

from describing import Description
from persistent import Persistent

BUILT_IN_PARTS = ("__code__", "__defaults__", "__kwdefaults__", "__closure__", "__annotations__", "__doc__", "__name__", "__qualname__")


class Snapshot:
    """`lines` is what is compared: {where: value}."""

    def __init__(self, names, connection):
        self.lines, self._keep = {}, []
        for name in names:
            self._module(name)
        if connection is not None:
            self._records(connection)
        self._process()

    def _module(self, name):
        module = sys.modules.get(name)
        self.lines[name, "is"] = self._identity(module)
        if module is None:
            return
        described = Description(vars(module))
        self._keep.append(described)
        self.lines.update({(name, path): text for path, text in described.lines.items()})
        for place, value in self._inside(vars(module), name, {}):
            self.lines[name, place] = value
        parent, _, child = name.rpartition(".")
        self.lines[name, "in its parent"] = self._identity(vars(sys.modules.get(parent, types)).get(child))

    def _inside(self, namespace, name, seen):
        """Yield identity, order and parts of everything that a module's namespace leads to without leaving the module."""
        pending = [(f"<{name}>", namespace)]
        while pending:
            place, value = pending.pop()
            if id(value) in seen or not is_mutable_or_holds(value, namespace, name):
                continue
            seen[id(value)] = place
            yield f"{place} is", self._identity(value)
            for label, part in parts(value):
                yield f"{place}{label} is", self._identity(part)
                if part is not builtins.__dict__:
                    pending.append((f"{place}{label}", part))
            yield f"{place} has", order(value)

    def _identity(self, value):
        self._keep.append(value)
        return id(value)

    def _records(self, connection):
        for _, value in list(connection._cache.items()):
            value._p_activate()
        for oid, value in sorted(connection._cache.items(), key=lambda item: item[0]):
            if not isinstance(value, type):
                state = plain(value.__getstate__())
                self.lines["record", type(value).__name__, oid] = (self._identity(value), bool(value._p_changed), value._p_serial, state)

    def _process(self):
        watched = {
            "sys.modules": {name: id(module) for name, module in sys.modules.items()},
            "linecache": {name: "lazy" if len(entry) == 1 else entry for name, entry in linecache.cache.items() if "<persistmod>" in name},
            "sys.meta_path": [*map(id, sys.meta_path)],
            "sys.path_hooks": [*map(id, sys.path_hooks)],
            "sys.path": list(sys.path),
            "hooks": [id(sys.excepthook), id(sys.displayhook), sys.gettrace(), sys.getprofile(), sys.getswitchinterval(), gc.isenabled()],
            "loggers": {name: state_of_logger(found) for name, found in logging.root.manager.loggerDict.items()},
            "gc.callbacks": [*map(id, gc.callbacks)],
            "warnings.filters": list(warnings.filters),
            "builtins": {name: id(value) for name, value in vars(builtins).items() if name != "_"},
            "copyreg": dict(copyreg.dispatch_table),
        }
        self._keep.append(list(sys.modules.values()))
        for name, value in watched.items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            self.lines.update({("process", name, key): item for key, item in inner})


def take(names, connection=None):
    gc.collect()
    return Snapshot(names, connection)


def changes(before, after):
    """Return [(where, before, after)] of what differs."""
    missing = "nothing"
    one, other = before.lines, after.lines
    return [
        (where, one.get(where, missing), other.get(where, missing))
        for where in {**one, **other}
        if one.get(where, missing) != other.get(where, missing)
    ]


def plain(state):
    """Return the state of a record as it is stored, with sets in order: that is another one whenever they are read."""
    if isinstance(state, Persistent):
        return type(state).__name__, state._p_oid
    if isinstance(state, set | frozenset):
        return sorted(map(repr, state))
    if isinstance(state, dict):
        return {repr(key): plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [plain(value) for value in state]
    if dataclasses.is_dataclass(state):
        return [plain(getattr(state, field.name)) for field in dataclasses.fields(state)]
    return state if state is None or isinstance(state, str | bytes | int | float) else f"{type(state)} {plain(vars(state))}"


def state_of_logger(logger):
    return getattr(logger, "level", None), [*map(id, getattr(logger, "handlers", ()))]


def is_mutable_or_holds(value, namespace, module):
    """Return whether an object is one of the module's whose parts can differ."""
    if value is namespace or isinstance(value, dict | list | set | tuple | frozenset | types.CellType | types.MethodType | weakref.ref):
        return True
    if isinstance(value, property | staticmethod | classmethod):
        return True
    if isinstance(value, types.FunctionType):
        return value.__globals__ is namespace or value.__module__ == module
    if isinstance(value, Persistent):
        return False
    return (value if isinstance(value, type) else type(value)).__module__ == module


def parts(value):
    """Yield (label, part) of what an object holds, past its methods."""
    if isinstance(value, types.FunctionType):
        yield from ((f".{name}", getattr(value, name)) for name in BUILT_IN_PARTS)
    elif isinstance(value, type):
        yield from ((f".{name}", item) for name, item in value.__dict__.items() if name not in ("__dict__", "__weakref__"))
        yield from (("!bases", value.__bases__), ("!type", type(value)), ("!subclasses", None))
        yield from ((f"!subclass {index}", found) for index, found in enumerate(type.__subclasses__(value)))
        return
    elif isinstance(value, property):
        yield from ((f".{name}", getattr(value, name)) for name in ("fget", "fset", "fdel", "__doc__"))
    elif isinstance(value, staticmethod | classmethod | types.MethodType):
        yield ".__func__", value.__func__
    elif isinstance(value, types.CellType):
        yield from ((".contents", item) for item in gc.get_referents(value))
    if isinstance(value, dict):
        yield from ((f"[{key!r:.60}]", item) for key, item in dict.items(value))
    elif isinstance(value, list | tuple):
        base = list if isinstance(value, list) else tuple
        yield from ((f"[{index}]", item) for index, item in enumerate(base.__iter__(value)))
    if type(value).__flags__ & 1 << 9 or isinstance(value, types.FunctionType):
        yield "!type", type(value)
        yield from ((f".{name}", item) for name, item in getattr(value, "__dict__", {}).items())
        for cls in type(value).__mro__:
            for name, member in cls.__dict__.items():
                if isinstance(member, types.MemberDescriptorType) and cls.__flags__ & 1 << 9:
                    yield from ((f".{name}", member.__get__(value)) for _ in (0,) if hasattr(value, name))


def order(value):
    """Return the names or the keys of an object in their order."""
    if isinstance(value, type):
        return list(value.__dict__)
    if isinstance(value, dict):
        return [f"{key!r:.60}" for key in dict.keys(value)]
    if isinstance(value, set | frozenset):
        return sorted(id(item) for item in value)
    return list(getattr(value, "__dict__", ()))
