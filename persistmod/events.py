"""Events: what became of modules and their definitions, told to those who listen, by `zope.event`.

They are told in the process that changes a module, and in each that follows, when everything has been written: live objects are in their
new state. The transaction is still under way in the process that changes; if it aborts, events tell the way back. An import, a plan and
data that change are no events.

Every subscriber of `zope.event` gets every event, as from `zope.event.notify`; but one that raises is reported, and stops nothing.
"""

from __future__ import annotations

import logging
import types
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from zope.event import subscribers

logger = logging.getLogger("persistmod")

Handler = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a module; `module` is its name."""

    module: str


@dataclass(frozen=True, slots=True)
class ModuleAdded(Event):
    """A module was added, or its removal was taken back; its definitions were told before, as created."""

    version: int


@dataclass(frozen=True, slots=True)
class ModuleUpdated(Event):
    """A module has another version: a newer one, or an older one after an abort or an undo. What became of its definitions was told before.

    `version`: the one that it has now, `before`: the one that it had.
    """

    version: int
    before: int


@dataclass(frozen=True, slots=True)
class ModuleRemoved(Event):
    """A module was removed, or its addition was taken back; its definitions were told before, as reaped."""

    version: int


@dataclass(frozen=True, slots=True)
class ModuleRefused(Event):
    """A change of a module was refused, and the module is as it was: its addition or update, or a version that others committed.

    `error` is what was raised; modules that were to change together are all refused, for the same error.
    """

    error: Exception

    @property
    def plan(self) -> Any:
        """The plan that could not be carried out, None if it did not come to one."""
        return getattr(self.error, "plan", None)


@dataclass(frozen=True, slots=True)
class DefinitionEvent(Event):
    """What became of a definition: `name` is its canonical name, `live` the live object."""

    name: str
    live: Any = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DefinitionCreated(DefinitionEvent):
    """A function or class has come into the source of a module, or has come back."""


@dataclass(frozen=True, slots=True)
class DefinitionUpdated(DefinitionEvent):
    """A function or class is another one, or does something else."""


@dataclass(frozen=True, slots=True)
class ClassUpdated(DefinitionUpdated):
    """A class is another one, or has changed: names of its attributes, its bases as `__bases__` and its metaclass as `__class__`.

    Of a class inside another one the name is as in "Outer.Inner".
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DefinitionLeaked(DefinitionEvent):
    """A function or class has left the source of its module, and stays for those who use it."""


@dataclass(frozen=True, slots=True)
class DefinitionReaped(DefinitionEvent):
    """A module has a function or class no more; `live` is what it was."""


def is_heard() -> bool:
    """Return whether anybody listens; nothing need be found out otherwise."""
    return bool(subscribers)


def send(events: Iterable[Event]) -> None:
    """Notify all subscribers of events. One that raises is logged; only an interrupt goes through."""
    for event in events:
        _forget_dead()
        for subscriber in list(subscribers):
            try:
                subscriber(event)
            except KeyboardInterrupt:
                raise
            except BaseException:  # an event is no place to end the program from
                logger.exception("module %r: %s raised when it was told %s", event.module, _name_of(subscriber), type(event).__name__)


def subscribe(handler: Handler, *kinds: type[Event], weak: bool = False) -> None:
    """Have a handler called with events, of these classes if any are given.

    `weak`: the handler, or the object whose bound method it is, is not kept alive, and the subscription goes with it.
    """
    if not callable(handler):
        raise TypeError(f"a handler must be callable, which {handler!r} is not")
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise TypeError(f"{kind!r} is no class of events")
    _forget_dead()
    subscribers.append(_subscriber(_weakly(handler) if weak else lambda: handler, kinds or (Event,)))


def unsubscribe(handler: Handler) -> None:
    """Take back all that `subscribe` did for a handler; ValueError if that is nothing."""
    _forget_dead()
    found = [subscriber for subscriber in subscribers if (held := _held_by(subscriber)) is not None and held() == handler]
    if not found:
        raise ValueError(f"{handler!r} is not subscribed")
    for subscriber in found:
        subscribers.remove(subscriber)


def _subscriber(held: Callable[[], Handler | None], kinds: tuple[type[Event], ...]) -> Handler:
    """Return what stands in the list of subscribers; a function, so that an update that replaces the handler's class finds its holder."""

    def subscriber(event: object) -> None:
        handler = held()
        if handler is not None and isinstance(event, kinds):
            handler(event)

    vars(subscriber)[_HELD] = held
    return subscriber


_HELD = "_persistmod_held"


def _held_by(subscriber: Any) -> Callable[[], Handler | None] | None:
    held: Callable[[], Handler | None] | None = vars(subscriber).get(_HELD) if type(subscriber) is types.FunctionType else None
    return held


def _weakly(handler: Any) -> Callable[[], Handler | None]:
    """Return what gives a handler as long as it lives. Of a bound method that is the object that it is bound to."""
    if isinstance(handler, types.BuiltinFunctionType):
        raise TypeError(f"{handler!r} cannot be held weakly")
    if not isinstance(handler, types.MethodType):
        return weakref.ref(handler)
    owner, function = weakref.ref(handler.__self__), handler.__func__

    def method() -> Handler | None:
        instance = owner()
        return None if instance is None else types.MethodType(function, instance)

    return method


def _forget_dead() -> None:
    """Drop the subscriptions of handlers that are gone: here, not whenever one goes, since others may be walking through the list then."""
    for subscriber in list(subscribers):
        held = _held_by(subscriber)
        if held is not None and held() is None:
            subscribers.remove(subscriber)


def _name_of(subscriber: Any) -> str:
    held = _held_by(subscriber)
    handler = subscriber if held is None else held() or subscriber
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{named.__module__}.{named.__qualname__}"
