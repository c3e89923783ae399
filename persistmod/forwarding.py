"""Putting new code into a function that lives: code fitted to its closure, and code that forwards every call to another function.

A function keeps its globals and the number of its closure cells for life; anything else about it can be exchanged. Code with fewer free
variables is padded. What does not fit forwards: the function gets code that calls the function which took its place.
"""

from __future__ import annotations

import dis
import inspect
import types
import warnings
from collections.abc import Callable
from typing import Any

_COPY_FREE_VARS = dis.opmap["COPY_FREE_VARS"]
_EXTENDED_ARG = dis.opmap["EXTENDED_ARG"]
_WIDEST_OPERAND = 255


def fits(code: types.CodeType, function: types.FunctionType) -> bool:
    """Return whether `function` can run `code`: its cells are the code's free variables by name, and it may have more behind them."""
    have, needed = function.__code__.co_freevars, code.co_freevars
    return have[: len(needed)] == needed and len(have) <= _WIDEST_OPERAND


def fitted(code: types.CodeType, freevars: tuple[str, ...]) -> types.CodeType:
    """Return `code` with more free variables, which it does not use.

    The cells are copied into the frame by one instruction, whose operand says how many they are: it must say so for the padded code,
    or the code finds each cell in the place of another.
    """
    padding = freevars[len(code.co_freevars) :]
    if not padding:
        return code
    names = tuple(f"{name} (unused)" for name in padding)
    bytecode = code.co_code
    if code.co_freevars:
        bytecode = _copying(bytecode, len(freevars))
    return code.replace(co_freevars=code.co_freevars + names, co_code=bytecode)


def _copying(bytecode: bytes, count: int) -> bytes:
    operations = range(0, len(bytecode), 2)
    position = next(place for place in operations if bytecode[place] == _COPY_FREE_VARS)
    if position and bytecode[position - 2] == _EXTENDED_ARG:
        raise ValueError("more than 255 free variables")
    return bytecode[: position + 1] + bytes((count,)) + bytecode[position + 2 :]


def _forward(*arguments: Any, **keywords: Any) -> Any:
    target: Any = "target"
    return target(*arguments, **keywords)


def forwarder(target: Callable[..., Any], like: types.CodeType) -> types.CodeType:
    """Return code that calls `target` with all arguments and needs neither defaults nor cells; `like` is the code it stands for."""
    constants = tuple(target if constant == "target" else constant for constant in _forward.__code__.co_consts)
    return fitted(
        _forward.__code__.replace(
            co_consts=constants, co_name=like.co_name, co_qualname=like.co_qualname, co_filename=like.co_filename,
            co_firstlineno=like.co_firstlineno,
        ),
        like.co_freevars,
    )


def is_same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Return whether two codes are the same, those inside them, too, and of one file: comparing them tells all but that."""
    return one == other and one.co_filename == other.co_filename


def set_code(function: types.FunctionType, code: types.CodeType) -> None:
    """Give a function code that fits it; from 3.13 on Python warns where a generator becomes none, which is just what is wanted."""
    if function.__code__.co_flags & _KINDS == code.co_flags & _KINDS:
        function.__code__ = code
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        function.__code__ = code


_KINDS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def target_of(function: types.FunctionType) -> Any:
    """Return what a function forwards to, None if it runs code of its own."""
    return function.__code__.co_consts[TARGET] if forwards(function.__code__) else None


def forwards(code: types.CodeType) -> bool:
    """Return whether code was made by `forwarder`."""
    return code.co_code == _forward.__code__.co_code and len(code.co_consts) > TARGET


def without_target(code: types.CodeType) -> types.CodeType:
    """Return code that forwards without what it forwards to, which stands at TARGET in its constants; other code is returned as it is."""
    return code.replace(co_consts=_forward.__code__.co_consts) if forwards(code) else code


TARGET = _forward.__code__.co_consts.index("target")
