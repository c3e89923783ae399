"""Writing opcodes: atoms, references, the memo, and what a pickle takes out of band.

A name is written with NEXT_BUFFER: it comes back from the marshalled buffers, where names are interned. Equal texts are written once.
"""

from __future__ import annotations

import pickle
import struct
import types
from collections.abc import Callable
from typing import Any

ATOMS = (types.NoneType, bool, int, float, complex, str, bytes, types.EllipsisType, types.NotImplementedType, range)
MARK, POP = pickle.MARK, pickle.POP


class Writer:
    """Opcodes in the making, and the memo that they build in the unpickler."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.size = 0
        self.memo: dict[int, int] = {}
        self.texts: dict[Any, int] = {}
        self.references: dict[tuple[str, str], int] = {}
        self.count = 0
        self.keep: list[Any] = []
        self.buffers: list[Any] = []

    def write(self, opcodes: bytes) -> None:
        self.out.append(opcodes)
        self.size += len(opcodes)

    def memoize(self, value: Any) -> None:
        self.memo[id(value)] = self.count
        self.keep.append(value)
        self.put()

    def put(self) -> None:
        self.out.append(pickle.MEMOIZE)
        self.size += 1
        self.count += 1

    def get(self, index: int) -> None:
        self.write(pickle.BINGET + bytes((index,)) if index < 256 else pickle.LONG_BINGET + struct.pack("<I", index))

    # By reference

    def save_reference(self, module: str, name: str) -> None:
        index = self.references.get((module, name))
        if index is not None:
            self.get(index)
            return
        self.save_string(module)
        self.save_string(name)
        self.write(pickle.STACK_GLOBAL)
        self.references[module, name] = self.count
        self.put()

    def save_module(self, name: str) -> None:
        self.save_reference("persistmod.rebuilding", "module")
        self.save_string(name)
        self.write(pickle.TUPLE1 + pickle.REDUCE)

    # Atoms

    def save_integer(self, value: int) -> None:
        if 0 <= value < 256:
            self.write(pickle.BININT1 + bytes((value,)))
        elif -(2**31) <= value < 2**31:
            self.write(pickle.BININT + struct.pack("<i", value))
        else:
            data = pickle.encode_long(value)
            short = len(data) < 256
            self.write((pickle.LONG1 + bytes((len(data),)) if short else pickle.LONG4 + struct.pack("<i", len(data))) + data)

    def save_string(self, value: str) -> None:
        index = self.texts.get(value)
        if index is not None:
            self.get(index)
            return
        if value.isidentifier():
            self.save_text(value)
            return
        data = value.encode("utf-8", "surrogatepass")
        self.write(_sized(data, pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8) + data)
        self.texts[value] = self.count
        self.put()

    def save_text(self, value: str) -> None:
        """Write an identifier: out of band, so that it comes back interned."""
        index = self.texts.get(value)
        if index is not None:
            self.get(index)
            return
        self.texts[value] = self.count
        self.save_buffer(value)

    def save_buffer(self, value: Any) -> None:
        self.buffers.append(value)
        self.write(pickle.NEXT_BUFFER)
        self.put()

    def save_bytes(self, value: bytes) -> None:
        index = self.texts.get(value)
        if index is not None:
            self.get(index)
            return
        self.write(_sized(value, pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8) + value)
        self.texts[value] = self.count
        self.put()

    def save_call(self, function: str, *arguments: Any) -> None:
        """Write a call of a built-in type with atoms."""
        self.save_reference("builtins", function)
        self.write(MARK)
        for argument in arguments:
            ATOM_WRITERS[type(argument)](self, argument)
        self.write(pickle.TUPLE + pickle.REDUCE)


def _sized(data: bytes, short: bytes, medium: bytes, long: bytes) -> bytes:
    size = len(data)
    if size < 256:
        return short + bytes((size,))
    return medium + struct.pack("<I", size) if size < 2**32 else long + struct.pack("<Q", size)


ATOM_WRITERS: dict[type, Callable[[Writer, Any], None]] = {
    types.NoneType: lambda pickler, value: pickler.write(pickle.NONE),
    bool: lambda pickler, value: pickler.write(pickle.NEWTRUE if value else pickle.NEWFALSE),
    int: Writer.save_integer,
    float: lambda pickler, value: pickler.write(pickle.BINFLOAT + struct.pack(">d", value)),
    str: Writer.save_string,
    bytes: Writer.save_bytes,
    complex: lambda pickler, value: pickler.save_call("complex", value.real, value.imag),
    range: lambda pickler, value: pickler.save_call("range", value.start, value.stop, value.step),
    types.EllipsisType: lambda pickler, value: pickler.save_reference("builtins", "Ellipsis"),
    types.NotImplementedType: lambda pickler, value: pickler.save_reference("builtins", "NotImplemented"),
}
