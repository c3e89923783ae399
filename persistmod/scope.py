"""What belongs to a module: which values its body made, and under which name anything else is found.

`__module__` lies; so identity decides. A value that the body made is the module's own, and so is every function with its globals and every
class that says it is defined there and is bound there. Anything else must be found by identity in an importable module, first where
it says it is, then where the body imported it, then in any module's namespace. What is found nowhere was made by somebody else.
"""

from __future__ import annotations

import gc
import sys
import types
import typing
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from persistmod.errors import NotStorable
from persistmod.namespace import is_declared
from persistmod.source import ImportStatement
from persistmod.state import ImportStep, is_submodule
from persistmod.typeflags import IMMUTABLE_TYPE

_HAS_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC


_TYPING_FORMS = (type(typing.List[int]), typing.ForwardRef)  # noqa: UP006, the type of such aliases is meant
_SINGLETONS = (types.NoneType, types.EllipsisType, types.NotImplementedType)


def has_value_semantics(kind: type) -> bool:
    """Return whether objects of a type are as good as their equals: of an immutable type in C, with a hash of its own.

    So are tuples, patterns, dates, generic aliases, built-in methods; not so functions, locks, plain objects. What `typing` makes when its
    forms are subscribed is shared by all who subscribe them alike, as long as its caches have room.
    """
    if issubclass(kind, _TYPING_FORMS):
        return True
    hashing: Any = kind.__hash__
    is_singleton = any(kind is single for single in _SINGLETONS)  # `in` would ask a metaclass for equality
    is_value = (hashing is not None and hashing is not object.__hash__) or is_singleton
    return is_value and bool(kind.__flags__ & IMMUTABLE_TYPE) and not issubclass(kind, type)


class ModuleScope:
    """The scope of one namespace; `made` holds what the body made by id, None if its run was not observed.

    `shared` has ids of what the collector does not know and others hold, too. `whole`: the namespace of the module, of which only a part
    may be walked.
    """

    def __init__(
        self,
        module: str,
        namespace: dict[str, Any],
        import_attributes: dict[str, Any],
        steps: tuple[ImportStep, ...] = (),
        statements: tuple[tuple[ImportStatement, str], ...] = (),
        made: dict[int, Any] | None = None,
        shared: frozenset[int] = frozenset(),
    ) -> None:
        self.module = module
        self.namespace = self.whole = namespace
        self.import_attributes = import_attributes
        self.steps = steps
        self.made = made
        self.shared = shared
        self._bound = _bound_names(statements)
        self._index: dict[int, str] | None = None
        self._members: dict[int, tuple[str, str]] | None = None

    def imported(self, name: str, value: Any) -> tuple[str, str] | None:
        for module_name, attribute in self._bound.get(name, ()):
            module = sys.modules.get(module_name)
            found = vars(module).get(attribute, _bound_names) if attribute and module is not None else module
            if module is not None and found is value:
                return module_name, attribute
        return None

    def is_import_attribute(self, name: str, value: Any) -> bool:
        """Return whether the import system has set a name, and will: an attribute of every module, or a submodule in its package."""
        if name in self.import_attributes:
            return self.import_attributes[name] is value
        return is_submodule(self.module, name, value)

    def reference(self, value: Any) -> tuple[str, str] | None:
        if issubclass(type(value), types.ModuleType):  # isinstance() asks the value, which may say or raise anything
            return self._module_reference(value)
        if self.made is not None and id(value) in self.made:
            return None
        if not self._needs_identity(value):
            return None
        found = self._declared(value)
        if found is None and (self.made is not None or not self._is_declared_own(value)):
            found = self._bound_in_module(value) or self._member(value)
        return found

    def is_own(self, value: Any) -> bool:
        if self.made is None:
            return self._is_declared_own(value) or not issubclass(type(value), (type, types.FunctionType))
        is_untracked = not gc.is_tracked(value) and id(value) not in self.shared
        return id(value) in self.made or is_untracked or has_value_semantics(type(value))

    def are_own(self, containers: list[Any]) -> bool:
        made = self.made
        if made is None:
            return self.index.keys().isdisjoint(map(id, containers))
        others = [value for value in containers if id(value) not in made and type(value) is not tuple]
        if any(map(gc.is_tracked, others)):
            return False
        ids = set(map(id, others))
        return self.shared.isdisjoint(ids) and (not ids or self.index.keys().isdisjoint(ids))

    def has_raw_instances(self, kind: type) -> bool:
        return self.reference(kind) is None

    def _needs_identity(self, value: Any) -> bool:
        """Return whether it may matter which of two equal objects this is."""
        kind = type(value)
        if kind.__flags__ & _HAS_GC:
            return kind not in (tuple, frozenset)
        return not has_value_semantics(kind)

    def _is_declared_own(self, value: Any) -> bool:
        if type(value) is types.FunctionType:
            return value.__globals__ is self.namespace
        return issubclass(type(value), type) and is_declared(value, self.module, self.whole)

    def _module_reference(self, value: types.ModuleType) -> tuple[str, str] | None:
        for name in (value.__name__, getattr(value.__spec__, "name", "")):
            if sys.modules.get(name) is value:
                return self._no_main(name), ""
        for name, module in list(sys.modules.items()):
            if module is value:
                return self._no_main(name), ""
        return None

    def _no_main(self, name: str) -> str:
        if name == "__main__":
            raise NotStorable("it belongs to __main__, which is another module in every process")
        return name

    def _declared(self, value: Any) -> tuple[str, str] | None:
        """Find a value where it says that it is: `__module__` and `__qualname__`; a built-in method says it by its class."""
        try:
            module, name = value.__module__, value.__qualname__
            if module is None and type(value) is types.BuiltinFunctionType:
                module = value.__self__.__module__
            if type(module) is not str or type(name) is not str or module == self.module:
                return None
            if module == self.whole.get("__name__") and is_declared(value, self.module, self.whole):
                return None
        except Exception:
            return None  # a foreign __getattr__ may raise anything; then the value is not found there
        return (self._no_main(module), name) if _resolve(module, name) is value else None

    def _bound_in_module(self, value: Any) -> tuple[str, str] | None:
        module = self.index.get(id(value))
        if module is None:
            return None
        return next(((module, name) for name, bound in vars(sys.modules[module]).items() if bound is value), None)

    def _member(self, value: Any) -> tuple[str, str] | None:
        """Find a function, descriptor, class or plain object() that is bound in a class of another module, under any name."""
        if type(value) is not object and not issubclass(type(value), _MEMBERS):
            return None
        if self._members is None:
            self._members = _index_of_classes(_places_of_classes(self.index))
        found = self._members.get(id(value))
        return found if found is not None and _resolve(*found) is value else None

    @property
    def index(self) -> dict[int, str]:
        """`{id: module}` of everything bound in the namespace of another module."""
        if self._index is None:
            self._index = _index_of_modules(self.namespace, self.module)
        return self._index


# What is looked for in classes: functions and what they are wrapped in or written in C as, classes.
_MEMBERS = (
    *(type, property, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType),
)
# Where a descriptor keeps its functions; what it is opened by.
_PARTS: dict[type, tuple[str, ...]] = {property: ("fget", "fset", "fdel"), classmethod: ("__func__",)}


def _resolve(module: str, name: str) -> Any:
    """Return what stands under a dotted name in a module, as an unpickler finds it; `_resolve` itself if nothing does."""
    found: Any = sys.modules.get(module)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:
        return _resolve  # a foreign __getattr__ may raise anything; then nothing is found there
    return found


def _places_of_classes(index: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every class that is bound in a module, each once, in the order in which the modules were imported."""
    seen: set[int] = set()
    bound = set(index.values())
    for module in [name for name in sys.modules if name in bound]:
        for name, value in list(vars(sys.modules[module]).items()):
            if issubclass(type(value), type) and index.get(id(value)) == module and id(value) not in seen:
                seen.add(id(value))
                yield module, name


def _index_of_classes(places: Iterable[tuple[str, str]]) -> dict[int, tuple[str, str]]:
    """Return `{id: (module, dotted name)}` of the members of the classes at these places, nested classes with them; the first wins."""
    index: dict[int, tuple[str, str]] = {}
    seen: set[int] = set()
    pending = deque((module, name, vars(sys.modules[module]).get(name)) for module, name in places)
    while pending:
        module, name, cls = pending.popleft()
        if not issubclass(type(cls), type) or id(cls) in seen:
            continue
        seen.add(id(cls))
        for key, member in list(vars(cls).items()):
            path = f"{name}.{key}"
            value = member.__func__ if type(member) is staticmethod else member
            index.setdefault(id(value), (module, path))
            for part in _PARTS.get(type(member), ()):
                index.setdefault(id(getattr(member, part)), (module, f"{path}.{part}"))
            pending.append((module, path, member))
    return index


def _index_of_modules(inside: dict[str, Any], own: str) -> dict[int, str]:
    """Return `{id: module}` of everything bound in the namespaces of other modules; the module imported first wins."""
    index: dict[int, str] = {}
    for module_name, module in reversed(list(sys.modules.items())):
        namespace = getattr(module, "__dict__", None)
        if type(namespace) is not dict or namespace is inside or module_name in ("__main__", own):
            continue
        if getattr(module, "__spec__", None) is not None:
            index.update(dict.fromkeys(map(id, namespace.values()), module_name))
    return index


def _bound_names(statements: tuple[tuple[ImportStatement, str], ...]) -> dict[str, list[tuple[str, str]]]:
    """Return `{name: [(module, attribute)]}` that the import statements bound, in order; an empty attribute means the module."""
    bound: dict[str, list[tuple[str, str]]] = {}
    for statement, module in statements:
        for name, attribute in statement.bound:
            if attribute == ".":
                bound.setdefault(name, []).append((module.partition(".")[0], ""))
            elif name == "*":
                for public in _public_names(module):
                    bound.setdefault(public, []).append((module, public))
            elif not attribute or hasattr(sys.modules.get(module), attribute):
                bound.setdefault(name, []).append((module, attribute))
    return bound


def _public_names(module: str) -> Iterable[str]:
    """Return what a star import takes."""
    namespace = vars(sys.modules[module]) if module in sys.modules else {}
    names: Iterable[str] = namespace.get("__all__", [name for name in namespace if not name.startswith("_")])
    return names
