"""Live classes and their instances: the namespace that makes a class again, the raw state that fills an instance.

`type.__new__` adds to a namespace what the class itself implies (slots, `__dict__`, `__weakref__`, a missing `__doc__`). A shape leaves
those out and keeps the rest in order: `namespace` is what `type.__new__` gets, `late` what was set after it had added its own.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import enum
import struct
import types
from _thread import _local
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from persistent import Persistent

from persistmod import containers
from persistmod.errors import NotStorable
from persistmod.namespace import vars_of
from persistmod.reducers import refuse_raised
from persistmod.typeflags import HEAP_TYPE, own_slots

# Names that `type.__new__` reads from the namespace: their values must be there when the class is made.
READ_BY_TYPE = frozenset(("__slots__", "__qualname__", "__module__", "__doc__"))

# Names under which `type.__new__` turns a plain function into a static or class method.
WRAPPED_BY_TYPE = frozenset(("__new__", "__init_subclass__", "__class_getitem__"))



@dataclass(frozen=True, slots=True)
class Shape:
    """A class as data; `registry` holds what is registered with an ABC, None for a class that is none."""

    namespace: dict[Any, Any]
    late: dict[Any, Any]
    registry: tuple[type, ...] | None


def shape(cls: type) -> Shape:
    """Take a class apart. NotStorable if its metaclass lays out classes in C."""
    if type(cls).__new__ is not type.__new__ and not _is_python_class_maker(type(cls)):
        raise NotStorable(f"its metaclass {type(cls).__qualname__} makes classes in C")
    namespace: dict[Any, Any] = {}
    late: dict[Any, Any] = {}
    target = namespace
    is_abstract = "_abc_impl" in cls.__dict__
    for name, value in cls.__dict__.items():
        if _is_implied(cls, name, value):
            target = late
        elif not (is_abstract and name in ("_abc_impl", "__abstractmethods__")):
            target[name] = value
    namespace = _with_qualname(namespace, cls)
    return Shape(namespace, late, registered(cls) if is_abstract else None)


def _is_python_class_maker(metaclass: type) -> bool:
    return all(not _is_c_new(base) for base in metaclass.__mro__ if base not in (type, object))


def _is_c_new(base: type) -> bool:
    return isinstance(base.__dict__.get("__new__"), types.BuiltinFunctionType)


def _is_implied(cls: type, name: Any, value: Any) -> bool:
    if isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
        return value.__objclass__ is cls and value.__name__ == name
    return name == "__doc__" and value is None


def _with_qualname(namespace: dict[Any, Any], cls: type) -> dict[Any, Any]:
    """Add `__qualname__`, which `type.__new__` takes out again, and keep it from guessing `__module__`."""
    if "__module__" in namespace:
        return {**namespace, "__qualname__": cls.__qualname__}
    return {"__module__": None, **namespace, "__qualname__": cls.__qualname__}


def registered(cls: type) -> tuple[type, ...]:
    """Return the classes that are registered with an ABC, in the order of their names."""
    live = [reference() for reference in _abc._get_dump(cls)[0]]
    return tuple(sorted((item for item in live if item is not None), key=lambda item: (item.__module__, item.__qualname__)))


def register_only(cls: type, others: Iterable[type]) -> None:
    """Let an ABC have just these classes registered."""
    _abc._reset_registry(cls)
    forget_subclasses(cls)
    for other in others:
        _abc._abc_register(cls, other)
    forget_subclasses(cls)


def forget_subclasses(cls: type) -> None:
    """Empty the caches in which an ABC and its bases keep what is a subclass of them and what is not."""
    for base in cls.__mro__:
        if "_abc_impl" in base.__dict__:
            _abc._reset_caches(base)


def composites(old: type, new: type) -> Iterator[tuple[Any, Any]]:
    """Yield the members of a flag that its source does not name, each with the one that another version of it makes of the value.

    They are made when they are first asked for.
    """
    if not issubclass(old, enum.Flag):
        return
    named = set(map(id, old._member_map_.values()))
    for value in [value for value, member in old._value2member_map_.items() if id(member) not in named]:
        try:
            member = new(value)
        except ValueError:
            continue  # the new class has no such flags
        if type(member) is new:
            yield old._value2member_map_[value], member


def inverted(old: type, new: type) -> Iterator[tuple[Any, Any]]:
    """Yield the members of a flag that remember what they are inverted, each with what they would remember in another version of it."""
    if issubclass(old, enum.Flag) and issubclass(new, enum.Flag):
        for name, member in old._member_map_.items():
            if name in new._member_map_ and vars(member).get("_inverted_") is not None:
                yield member, vars(new._member_map_[name]).get("_inverted_")


def is_persistent(cls: type) -> bool:
    """Return whether instances of a class are records of their own in a database."""
    return issubclass(cls, Persistent)


@dataclass(frozen=True, slots=True)
class Raw:
    """An instance as data: `base.__new__(cls, *arguments)`, then its attributes and slots, then the contents of its built-in base.

    `fill` is (function of `rebuilding`, contents) for a mutable built-in base.
    """

    base: type
    arguments: tuple[Any, ...]
    attributes: dict[Any, Any]
    slots: tuple[tuple[int, str, Any], ...]
    fill: tuple[str, Any] | None


BY_VALUE = (int, float, complex, str, bytes, tuple, frozenset)
DESCRIPTORS = (property, staticmethod, classmethod)
_BY_CONTENTS: dict[type, tuple[str, Any]] = {
    list: ("fill_list", list),
    dict: ("fill_dict", dict),
    set: ("fill_set", set),
    OrderedDict: ("fill_ordered_dict", dict),
}


def raw_state(instance: Any) -> Raw | None:
    """Take an instance of a class made in Python apart, past its own methods.

    None: its built-in base keeps more than can be seen, but its constructor is the base's own, so the base's reducer tells all.
    """
    cls = type(instance)
    base: Any = built_in_base(cls)
    if base is _local:
        return None  # its reducer knows how it was constructed
    attributes, slots = _attributes(instance), _slots(instance, cls)
    if base is object:
        return Raw(object, (), attributes, slots, None)
    if base in BY_VALUE:
        return Raw(base, value_of(instance, base), attributes, slots, None)
    if base in _BY_CONTENTS:
        function, kind = _BY_CONTENTS[base]
        contents: Any = dict(base.items(instance)) if kind is dict else kind(kind.__iter__(instance))
        return Raw(base, (), attributes, slots, (function, contents))
    if base in DESCRIPTORS:
        return Raw(base, (), attributes, slots, ("fill_descriptor", descriptor_parts(instance)))
    made = _made_by_new(instance, base)
    if made is not None:
        return Raw(base, made, attributes, slots, None)
    if issubclass(base, BaseException) and base.__basicsize__ == BaseException.__basicsize__:
        refuse_raised(instance)
        return Raw(base, instance.args, attributes, slots, None)
    if any(isinstance(cls.__dict__.get(name), types.FunctionType | staticmethod) for cls in cls.__mro__ for name in _CONSTRUCTORS):
        raise NotStorable(f"an instance of {cls.__qualname__!r}, which extends {base.__qualname__!r} with a constructor of its own")
    return None


def _made_by_new(instance: Any, base: Any) -> tuple[Any, ...] | None:
    """Return the arguments with which `__new__` of a base in C makes all that the base keeps; None if they are not known."""
    if keeps_nothing(base):
        return ()
    reducing = base.__dict__.get("__reduce_ex__") or base.__dict__.get("__reduce__")
    if base.__init__ is not object.__init__ or type(reducing) is not types.MethodDescriptorType:
        return None
    reduction: Any = reducing(instance, *((5,) if reducing.__name__ == "__reduce_ex__" else ()))
    return reduction[1] if type(reduction) is tuple and reduction[0] is type(instance) else None


def keeps_nothing(base: type) -> bool:
    """Return whether instances of a type in C have nothing but their type, as those of tzinfo; it has no constructor then."""
    return base.__basicsize__ == object.__basicsize__ and not base.__itemsize__ and base.__init__ is object.__init__  # type: ignore[misc]


def descriptor_parts(value: Any) -> tuple[Any, ...]:
    """Return the arguments that make a property, staticmethod or classmethod what it is, when it is there."""
    if not issubclass(type(value), property):
        return (value.__func__,)
    doc = property.__dict__["__doc__"].__get__(value)
    return value.fget, value.fset, value.fdel, doc


def shows_all(base: type) -> bool:
    """Return whether all that a type in C keeps are attributes, or slots and the contents of a container."""
    root = containers.kind_of(base) or object
    if root is object and base is not object and base.__flags__ & HEAP_TYPE:
        return False
    pointers = (base.__dictoffset__ > 0) + (len(own_slots(base)) if root is not object else 0)
    return base.__itemsize__ == root.__itemsize__ and base.__basicsize__ - root.__basicsize__ <= pointers * struct.calcsize("P")


class _Nowhere:
    """The base of classes that have left theirs."""


def leave_bases(cls: type) -> None:
    """Take a class out of `__subclasses__()` of its bases at once, where its layout allows that: it is garbage, but not yet collected."""
    metaclass: type = type(cls)
    bases = type.__dict__["__bases__"]
    if all(base is object for base in bases.__get__(cls)) or any("mro" in kind.__dict__ for kind in metaclass.__mro__ if kind is not type):
        return
    with suppress(TypeError):
        bases.__set__(cls, (_Nowhere,))


def built_in_base(cls: type) -> type:
    """Return the first class in the MRO that is made in C."""
    return next(base for base in cls.__mro__ if not is_made_in_python(base))


def is_made_in_python(cls: type) -> bool:
    """Return whether instances have nothing beyond what their base has but slots, `__dict__` and `__weakref__`.

    Types in C may be heap types, too, and need be neither immutable nor marked in any way; so it is told by the size.
    """
    base = cls.__base__
    if base is None or not cls.__flags__ & HEAP_TYPE or cls.__itemsize__ != base.__itemsize__:
        return False
    pointers = len(own_slots(cls)) + ("__dict__" in cls.__dict__) + ("__weakref__" in cls.__dict__)
    return cls.__basicsize__ - base.__basicsize__ <= pointers * struct.calcsize("P")


Slots = tuple[tuple[int, str, Any], ...]


def parts(raw: Raw, cls: type) -> list[tuple[dict[Any, Any], Slots]]:
    """Return the attributes and slots of an instance in the parts in which they are set.

    A frozenset needs the hashes of its items when it is made. If the instance is one of them, its hash must be ready before: so
    what may hold a frozenset comes last, and only its names come first, since they have an order.
    """
    if not (raw.attributes or raw.slots):
        return []
    late = {name: value for name, value in raw.attributes.items() if issubclass(type(value), (tuple, frozenset))}
    late_slots = tuple(slot for slot in raw.slots if issubclass(type(slot[2]), (tuple, frozenset)))
    hashes: tuple[Any, ...] = (object.__hash__, None)
    if cls.__hash__ in hashes or not (late or late_slots):
        return [(raw.attributes, raw.slots)]
    early = {name: None if name in late else value for name, value in raw.attributes.items()}
    return [(early, tuple(slot for slot in raw.slots if not issubclass(type(slot[2]), (tuple, frozenset)))), (late, late_slots)]


_CONSTRUCTORS = ("__new__", "__init__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


def value_of(instance: Any, base: Any) -> tuple[Any, ...]:
    """Return the arguments that make the value of an instance again, for one of the types of `BY_VALUE`."""
    if base is complex:
        return (complex.__complex__(instance),)
    if base in (tuple, frozenset):
        return (base(base.__iter__(instance)),)
    if base is int:
        return (int.__int__(instance),)
    return (base.__getitem__(instance, slice(None)),) if base in (str, bytes) else (float.__float__(instance),)


def _attributes(instance: Any) -> dict[Any, Any]:
    try:
        attributes = object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return {}
    if type(attributes) is not dict:
        raise NotStorable(f"an instance of {type(instance).__qualname__!r}, whose __dict__ is a {type(attributes).__qualname__}")
    return attributes


def _slots(instance: Any, cls: type) -> tuple[tuple[int, str, Any], ...]:
    found: list[tuple[int, str, Any]] = []
    for depth, owner in enumerate(cls.__mro__):
        if not is_made_in_python(owner):
            continue
        for name, member in own_slots(owner).items():
            found.extend((depth, name, value) for value in slot_value(member, instance))
    return tuple(found)


def slot_value(member: types.MemberDescriptorType, instance: Any) -> tuple[Any, ...]:
    """Return the value of a slot in a tuple, () if the slot is empty."""
    try:
        return (member.__get__(instance),)
    except AttributeError:
        return ()


def values_of(instance: Any) -> dict[str, Any]:
    """Return what is in the attributes and the slots of an instance."""
    values = dict(vars_of(instance))
    for name, member in slots_of(instance):
        values |= dict(zip((name,), slot_value(member, instance), strict=False))
    return values


def slots_of(instance: Any) -> Iterator[tuple[str, types.MemberDescriptorType]]:
    """Yield the names and slots of an instance that can be written: of classes made in Python, of containers (`default_factory`)."""
    for cls in type(instance).__mro__:
        if is_made_in_python(cls):
            yield from own_slots(cls).items()
        elif containers.kind_of(cls) not in (cls, None):
            yield from ((name, member) for name, member in own_slots(cls).items() if _can_be_written(member, instance))


def _can_be_written(member: types.MemberDescriptorType, instance: Any) -> bool:
    """Return whether a slot in C is none that is read only; tried with what it has."""
    try:
        member.__set__(instance, member.__get__(instance))
    except (AttributeError, TypeError):
        return False
    return True


def slot_of(cls: type, name: str) -> Any:
    """Return the slot of a class that an attribute is kept in, None if it is kept in the `__dict__`."""
    for base in cls.__mro__:
        if (member := own_slots(base).get(name)) is not None:
            return member
    return None


def set_value(instance: Any, name: str, value: Any) -> None:
    """Put a value into the slot or the `__dict__` of an instance."""
    slot = slot_of(type(instance), name)
    slot.__set__(instance, value) if slot is not None else vars_of(instance).__setitem__(name, value)
