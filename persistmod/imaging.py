"""From a run to an image: the state of a closed module, the code of any other, with the reason; and the proof.

The proof of a state is that it can be loaded and walked again with the same result, byte for byte; code objects are compared as code.
In the process that ran the body it shows that nothing was lost on the way. In a fresh process (`proving`) it also shows that nothing is
missing outside.
"""

from __future__ import annotations

import builtins
import marshal
import pickletools
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import islice
from typing import Any

from persistmod import classes, pickling, rebuilding, tables
from persistmod.aside import ENOUGH_REASONS, Observation
from persistmod.errors import ConversionError
from persistmod.making import Making
from persistmod.pairing import classes_of
from persistmod.source import ImportStatement
from persistmod.state import Dump, ImportStep, State, is_submodule

ONCE, ALWAYS = "once", "always"


@dataclass(frozen=True, slots=True)
class ImageData:
    """What one Python keeps of one module: `code` is the body's, for a module that is not closed; `state` is what a closed one has.

    `trace` tells which imports the run did, marshalled: a state that is walked again is walked by them. `base` is what the body of a module
    that is not closed has made, if that can be stored; nothing is loaded from it, updates compare with it.
    """

    run: str
    reason: str
    code: bytes
    state: State | None
    trace: bytes = b""
    base: State | None = None


def make_image(observation: Observation, code: types.CodeType, run: str) -> tuple[ImageData, dict[str, Any]]:
    """Return the image of a module whose body has just run, and its persistent objects by path.

    `run`: "auto", or the caller's word that it is "once" or "always"; "once" still needs a state that can be stored and proven,
    and raises ConversionError if there is none.
    """
    if run == ALWAYS:
        return always(code, "the caller said so", _base(observation)), {}
    reasons = [] if run == ONCE else list(observation.reasons)
    if run != ONCE and not reasons:
        reasons = observation.handed_out()
    if reasons:
        return always(code, "; ".join(reasons[:ENOUGH_REASONS]), _base(observation)), {}
    try:
        dump = pickling.dump(observation.scope())
        prove(dump, observation)
    except ConversionError as error:
        if run == ONCE:
            raise
        return always(code, _without_module(str(error), observation.module)), {}
    return ImageData(ONCE, "", b"", dump.state, _trace(observation)), dump.persistent


def _base(observation: Observation) -> State | None:
    try:
        dump = pickling.dump(observation.scope())
    except ConversionError:
        return None
    return None if dump.persistent else dump.state


def _trace(observation: Observation) -> bytes:
    steps = tuple(astuple(step) for step in observation.steps)
    statements = tuple((astuple(statement), module) for statement, module in observation.statements)
    return marshal.dumps((steps, statements))


def observation_of(image: ImageData, module: str, namespace: dict[str, Any]) -> Observation:
    """Return what was observed of the imports of a closed module, for a namespace that is about to be filled from its image."""
    steps, statements = marshal.loads(image.trace)
    return Observation(
        module,
        namespace,
        dict(namespace),
        steps=tuple(ImportStep(*step) for step in steps),
        statements=tuple((ImportStatement(*statement), name) for statement, name in statements),
    )


def _without_module(message: str, module: str) -> str:
    return message.removeprefix(f"module {module!r}: ")


def always(code: types.CodeType, reason: str, base: State | None = None) -> ImageData:
    """Return the image of a module whose body runs in every process; `base` is what it has made, if that is known."""
    return ImageData(ALWAYS, reason, marshal.dumps(code), None, base=base)


def fill(namespace: dict[str, Any], module: str, image: ImageData, persistent: Callable[[str], Any]) -> bool:
    """Load the state of an image; False, with the namespace as before but for submodules, if what it refers to is not what it was."""
    before = dict(namespace)
    if image.state is None:
        return False
    try:
        pickling.load(image.state, namespace, persistent)
    except (ImportError, AttributeError, TypeError, LookupError, ValueError, rebuilding.Outdated):
        submodules = {name: value for name, value in namespace.items() if is_submodule(module, name, value)}
        namespace.clear()
        namespace.update(before | submodules)  # those are imported, and an import that finds them does not bind them again
        return False
    return True


def prove(dump: Dump, observation: Observation) -> None:
    """Load a state beside the live module and walk it again; a difference is a ConversionError that names the place.

    Who asks for the module meanwhile finds what is there already, as in an import.
    """
    namespace = dict(observation.import_attributes)
    with _seen_as(observation, namespace):
        again = load_and_dump(dump.state, replace(observation, namespace=namespace), dump.persistent.__getitem__)
    for _, cls in classes_of(namespace, observation.module):
        classes.leave_bases(cls)
    offset = difference(dump.state, again.state)
    if offset is not None:
        where = dump.path_at(offset)
        problem = f"module {observation.module!r}: {where}: it is not the same when it is loaded again"
        raise ConversionError(problem, module=observation.module, name=where)


@contextmanager
def _seen_as(observation: Observation, namespace: dict[str, Any]) -> Iterator[None]:
    """Show this thread another namespace as that of the module that was observed."""
    module = sys.modules.get(observation.module)
    if type(module) is not types.ModuleType or vars(module) is not observation.namespace:
        yield
        return
    thread = threading.get_ident()

    def get(module: types.ModuleType, name: str) -> Any:
        if threading.get_ident() != thread or name == "__class__":
            return types.ModuleType.__getattribute__(module, name)
        try:
            return namespace if name == "__dict__" else namespace[name]
        except KeyError:
            raise AttributeError(f"module {observation.module!r} has no attribute {name!r}", name=name, obj=module) from None

    module.__class__ = type("module", (types.ModuleType,), {"__slots__": (), "__getattribute__": get})
    try:
        yield
    finally:
        module.__class__ = types.ModuleType


def load_and_dump(state: State, observation: Observation, persistent: Callable[[str], Any]) -> Dump:
    """Load a state into the namespace of `observation` and walk that."""
    making = Making()
    observation.namespace.setdefault("__builtins__", builtins.__dict__)
    try:
        with making:
            pickling.load(state, observation.namespace, persistent)
    except Exception as error:  # whatever it is: this state cannot be loaded
        problem = f"its state cannot be loaded: {type(error).__name__}: {error}"
        raise ConversionError(f"module {observation.module!r}: {problem}", module=observation.module) from error
    return pickling.dump(replace(observation, made=making.made()).scope())


def run_and_dump(code: types.CodeType, observation: Observation) -> Dump:
    """Run a body in the namespace of `observation`, and walk what it has made."""
    making = Making()
    with making:
        exec(code, observation.namespace)
        making.evaluate()
    return pickling.dump(replace(observation, made=making.made()).scope())


def difference(first: State, second: State) -> int | None:
    """Return the offset in the first pickle where two states differ, None if they are the same."""
    if first.pickle != second.pickle:
        return _first_difference(first.pickle, second.pickle)
    if first.persistent != second.persistent:
        return 0
    one, other = marshal.loads(first.buffers), marshal.loads(second.buffers)
    if one == other and all(map(_is_same_table, one, other)):
        return None
    # The first buffer that the pickle takes is the namespace, which is not stored.
    takes = (offset for opcode, argument, offset in pickletools.genops(first.pickle) if opcode.name == "NEXT_BUFFER")
    return next(islice(takes, _first_difference(one, other) + 1, None), 0)


def _is_same_table(one: Any, other: Any) -> bool:
    return type(one) not in (dict, list) or tables.text(one) == tables.text(other)


def _first_difference(first: Sequence[Any], second: Sequence[Any]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    different = (offset for offset, (one, other) in pairs if one != other or not _is_same_table(one, other))
    return next(different, min(len(first), len(second)))
