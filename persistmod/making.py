"""What a run makes: the collector tells.

The youngest generation is emptied and collection switched off, so that afterwards it holds exactly what the run made. The profile
function of the thread tells when the run imports a module: what that makes is not counted.
"""

from __future__ import annotations

import abc
import gc
import importlib._bootstrap
import sys
import types
import typing
from contextlib import suppress
from typing import Any, Self

from persistmod.bookkeeping import Account

_FIND_AND_LOAD = importlib._bootstrap._find_and_load.__code__  # type: ignore[attr-defined]
_REGISTER = abc.ABCMeta.register.__code__
# What Python evaluates when it is first asked for, by type.
_LAZY: dict[type, tuple[str, ...]] = {}
if hasattr(typing, "TypeAliasType"):
    _LAZY = {
        typing.TypeAliasType: ("__value__",),
        typing.TypeVar: ("__bound__", "__constraints__", "__default__"),
        typing.ParamSpec: ("__default__",),
        typing.TypeVarTuple: ("__default__",),
    }


class Making:
    """Collects what is made in the current thread, imports that load a module aside; `with making: ...`, then `making.made()`.

    `spoilt` is set if the collector ran meanwhile, since then the youngest generation does not tell all.
    """

    own_globals = frozenset((id(globals()),))  # those of the functions that watch, by id

    def __init__(self) -> None:
        self.spoilt = False
        self._depth = 0
        self._segments: list[list[Any]] = []
        self.registered: list[type] = []  # ABCs with which a class was registered

    def __enter__(self) -> Self:
        self._previous: Any = sys.getprofile()
        self._was_enabled = gc.isenabled()
        self.resume()
        sys.setprofile(self.profile)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(self._previous if callable(self._previous) else None)
        if hasattr(self._previous, "enable"):  # a profiler in C, which no one can call
            self._previous.enable()
        self.pause()
        if self._was_enabled:
            gc.enable()

    def resume(self) -> None:
        gc.disable()
        repr([None])  # makes the list in which C keeps what it is about to show, one for the thread
        empty_youngest_generation()
        self._collections = _collections()

    def pause(self) -> None:
        self._segments.append(_of_the_body(gc.get_objects(0)))  # nothing is made here before
        self.spoilt = self.spoilt or _collections() != self._collections

    def evaluate(self) -> None:
        """Have what the body declared evaluated, as it would be at some time by whoever asks: what that makes and does is the body's."""
        if _LAZY:
            young = gc.get_objects(0)
            lazy = [value for values in (*self._segments, young) for value in values if type(value) in _LAZY]
            del young
            _evaluate(lazy)

    def made(self) -> Account:
        """Return `{id: object}` of what was made and is still there."""
        made = Account()
        for segment in self._segments:
            made.update(zip(map(id, segment), segment, strict=True))
        self._segments.clear()
        return made

    def profile(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if frame.f_code is _FIND_AND_LOAD:
            self._import_boundary(event)
        elif not self._depth and id(frame.f_globals) not in self.own_globals:
            self.called(frame, event, argument)

    def called(self, frame: types.FrameType, event: str, argument: Any) -> None:
        """Take note of a call."""
        if event == "call" and frame.f_code is _REGISTER:
            self.registered.append(frame.f_locals["cls"])

    def _import_boundary(self, event: str) -> None:
        if event == "call":
            self._depth += 1
            if self._depth == 1:
                self.pause()
        elif event == "return":
            self._depth -= 1
            if self._depth == 0:
                self.resume()


def _evaluate(lazy: list[Any]) -> None:
    while lazy:
        value = lazy.pop()
        for attribute in _LAZY[type(value)]:
            with suppress(Exception):  # whatever it raises, it raises again when the walk asks, which gives the reason
                getattr(value, attribute)


def _belongs_to_the_interpreter(value: Any, running: set[int]) -> bool:
    """Return whether a new object is a frame that runs (one of an exception that was caught does not), the function of a module's code,
    or a tuple that C is about to fill and may resize.
    """
    kind = type(value)
    if kind is tuple:
        return len(value) != len(gc.get_referents(value))
    if kind is types.FrameType:
        return id(value) in running or value.f_code.co_name == "<module>"
    return kind is types.FunctionType and value.__code__.co_name == "<module>"


_SUSPECT = frozenset(map(id, (tuple, types.FrameType, types.FunctionType)))


def _of_the_body(young: list[Any]) -> list[Any]:
    running = _running()
    return [value for value in young if id(type(value)) not in _SUSPECT or not _belongs_to_the_interpreter(value, running)]


def _running() -> set[int]:
    """Return the ids of the frames that run in this thread."""
    ids: set[int] = set()
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        ids.add(id(frame))
        frame = frame.f_back
    return ids


def empty_youngest_generation() -> None:
    """Let the young be old: at once, or, if somebody has frozen objects, which are to stay that, by a collection.

    A collection does not tell `gc.callbacks`: what they would do is no deed of the body.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
        return
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    try:
        gc.collect(0)
    finally:
        gc.callbacks[:] = callbacks


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())
