"""What CPython says of a type by its flags."""

from __future__ import annotations

HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, or by C at run time
IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def static_base(cls: type) -> type:
    """Return the first class in the MRO that is no heap type."""
    return next(base for base in cls.__mro__ if not base.__flags__ & HEAP_TYPE)
