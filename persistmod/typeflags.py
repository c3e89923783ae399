"""What CPython says of a type by its flags and slots."""

from __future__ import annotations

import struct
import types

HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, or by C at run time
IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def static_base(cls: type) -> type:
    """Return the first class in the MRO that is no heap type."""
    return next(base for base in cls.__mro__ if not base.__flags__ & HEAP_TYPE)


def has_attributes(cls: type) -> bool:
    """Return whether instances may be made of attributes: those of a heap type, or of one in C that has a `__dict__` alone."""
    is_namespace = cls.__dictoffset__ > 0 and cls.__basicsize__ == object.__basicsize__ + struct.calcsize("P")
    return not issubclass(cls, type) and (bool(cls.__flags__ & HEAP_TYPE) or is_namespace)


def own_slots(cls: type) -> dict[str, types.MemberDescriptorType]:
    """Return the slots that a class adds, by name; one of another class that it has as an attribute is none."""
    return {name: slot for name, slot in cls.__dict__.items() if type(slot) is types.MemberDescriptorType and slot.__objclass__ is cls}
