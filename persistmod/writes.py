"""Writing to objects that live: every write notes how it is taken back, so that all of them can be.

How a write is taken back is noted before it is done, and does no harm if nothing was done: an interrupt may come at any moment.
`before_write` is called before each, with the number of writes done: whoever tests what happens when one fails raises there.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from persistmod import containers, forwarding

_MISSING = object()


class Writes:
    """The writes of one change, in order."""

    before_write: Callable[[int], None] | None = None

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def __len__(self) -> int:
        return len(self._undo)

    def do(self, action: Callable[[], object], undo: Callable[[], object]) -> None:
        """Do `action`, which `undo` takes back."""
        if self.before_write is not None:
            self.before_write(len(self._undo))
        self._undo.append(undo)
        action()

    def roll_back(self) -> None:
        """Take back every write, the last one first. An interrupt, or a step that fails, keeps none of the others from being taken back."""
        failure: BaseException | None = None
        with uninterrupted():
            while self._undo:
                try:
                    self._undo[-1]()
                except KeyboardInterrupt as interrupt:
                    failure = interrupt
                    continue
                except Exception as error:
                    failure = error
                self._undo.pop()
        if failure is not None:
            raise failure

    # Namespaces and containers

    def bind(self, namespace: dict[Any, Any], name: Any, value: Any) -> None:
        """Set an item of a dictionary."""
        before = namespace.get(name, _MISSING)
        if before is _MISSING:
            self.do(lambda: namespace.__setitem__(name, value), lambda: namespace.pop(name, None))
        elif before is not value:
            self.do(lambda: namespace.__setitem__(name, value), lambda: namespace.__setitem__(name, before))

    def unbind(self, namespace: dict[Any, Any], name: Any) -> None:
        """Delete an item of a dictionary; taken back, it stands where it stood."""
        following = list(namespace)
        following = following[following.index(name) :]
        values = {key: namespace[key] for key in following}

        def undo() -> None:
            for key in following:
                value = namespace.pop(key, values[key])
                namespace[key] = values[key] if key == name else value

        self.do(lambda: namespace.pop(name), undo)

    def refill(self, container: Any, held: Any) -> None:
        """Exchange the contents of a container, past the methods of its class."""
        before = containers.contents(container)
        self.do(lambda: containers.fill(container, held), lambda: containers.fill(container, before))

    # Attributes

    def set(self, target: Any, name: str, value: Any) -> None:
        """Set what a built-in descriptor of the type gives (`__defaults__`, `cell_contents`, `__class__`, ...)."""
        descriptor = next(vars(cls)[name] for cls in type(target).__mro__ if name in vars(cls))
        self.set_by(descriptor, target, value)

    def set_by(self, descriptor: Any, target: Any, value: Any) -> None:
        try:
            before = descriptor.__get__(target, type(target))
        except (AttributeError, ValueError):  # an empty slot or cell
            self.do(lambda: descriptor.__set__(target, value), lambda: _empty(descriptor, target))
        else:
            self.do(lambda: descriptor.__set__(target, value), lambda: descriptor.__set__(target, before))

    def empty(self, descriptor: Any, target: Any) -> None:
        """Delete a slot or the contents of a cell."""
        before = descriptor.__get__(target, type(target))
        self.do(lambda: descriptor.__delete__(target), lambda: descriptor.__set__(target, before))

    def set_class_attribute(self, cls: type, name: str, value: Any) -> None:
        """Set an attribute of a class, past its metaclass."""
        before = cls.__dict__.get(name, _MISSING)
        if before is _MISSING:
            self.do(lambda: set_in_class(cls, name, value), lambda: _delete(cls, name))
        else:
            self.do(lambda: set_in_class(cls, name, value), lambda: set_in_class(cls, name, before))

    def delete_class_attribute(self, cls: type, name: str) -> None:
        """Delete an attribute of a class, past its metaclass; taken back, it stands where it stood."""
        before = dict(cls.__dict__)

        def undo() -> None:
            set_in_class(cls, name, before[name])
            _put_in_order(cls, list(before))

        self.do(lambda: _delete(cls, name), undo)

    def set_code(self, function: types.FunctionType, code: types.CodeType) -> None:
        before = function.__code__
        self.do(lambda: forwarding.set_code(function, code), lambda: forwarding.set_code(function, before))


def set_in_class(cls: type, name: str, value: Any) -> None:
    """Set what a class has under a name in its namespace, which may be a name that its metaclass has a descriptor for."""
    if _is_metaclass_attribute(cls, name):
        _namespace(cls)[name] = value
    else:
        type.__setattr__(cls, name, value)


def _put_in_order(cls: type, names: list[str]) -> None:
    """Have the namespace of a class list names in an order; their values are the same, so that no cache of them is wrong."""
    namespace = _namespace(cls)
    for name in [name for name in names if name in namespace]:
        namespace[name] = namespace.pop(name)


def _empty(descriptor: Any, target: Any) -> None:
    with suppress(AttributeError, ValueError):  # it is empty still
        descriptor.__get__(target, type(target))
        descriptor.__delete__(target)


def _delete(cls: type, name: str) -> None:
    if name not in cls.__dict__:
        return
    if _is_metaclass_attribute(cls, name):
        del _namespace(cls)[name]
    else:
        type.__delattr__(cls, name)


def _is_metaclass_attribute(cls: type, name: str) -> bool:
    """Return whether setting an attribute of a class would set what the metaclass has a descriptor for, such as its own `__class__`."""
    metaclass: type = type(cls)
    for owner in metaclass.__mro__:
        if name in owner.__dict__:
            return hasattr(type(owner.__dict__[name]), "__set__") and not (owner is type and name in _KEPT_IN_NAMESPACE)
    return False


_KEPT_IN_NAMESPACE = ("__module__", "__doc__", "__annotations__", "__type_params__")


def _namespace(cls: type) -> dict[str, Any]:
    """Return the namespace of a class itself, and have the interpreter forget what it looked up there."""
    namespace: dict[str, Any] = next(held for held in gc.get_referents(cls.__dict__) if type(held) is dict)
    type.__setattr__(cls, "<forget>", None)
    type.__delattr__(cls, "<forget>")
    return namespace


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no other thread run bytecode inside the block, as far as the interpreter's switching goes: nothing in it may wait."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_LONG)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


_LONG = 1000.0  # seconds
