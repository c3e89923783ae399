"""Running a body under observation: what it makes, what it hands out, what it changes outside, what it reads. Closed or not.

The collector tells what a body makes (`making`). The profile function of the thread tells when the body imports something (an import that
loads a module suspends the observation until it is done), and which functions are called whose results differ between processes or whose
effects do not stay in the namespace. A wrapper of `__import__` tells which import statements ran, and when.

A module is closed if there is no reason against it. The reasons are sentences for people: `record.run_reason`.
"""

from __future__ import annotations

import builtins
import gc
import inspect
import os
import sys
import threading
import types
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Self

from persistmod import holders, quiet, replacing
from persistmod.functions import module_of
from persistmod.making import Making, empty_youngest_generation
from persistmod.outside import Outside
from persistmod.reading import SysReads, is_in_memory
from persistmod.repeating import Places, is_within
from persistmod.reverting import WayBack
from persistmod.scope import ModuleScope
from persistmod.source import Body, ImportStatement
from persistmod.state import ImportStep, stored_items

_ENVIRON = {function.__code__ for function in vars(type(os.environ)).values() if isinstance(function, types.FunctionType)}
_GENERATED = ("__annotations__", "__conditional_annotations__")

# Built-in functions, by module: results that differ between processes, effects that do not stay in the namespace.
_READING = frozenset(("time", "posix", "nt", "_socket", "_locale", "pwd", "grp", "resource", "_uuid", "fcntl", "select", "_winapi"))
_ACTING = frozenset(("_signal", "atexit", "_codecs", "faulthandler", "_thread", "_posixsubprocess", "_warnings"))
_PURE = frozenset(
    (
        *("fspath", "_path_normpath", "_path_splitroot", "_path_splitroot_ex", "strerror", "waitstatus_to_exitcode"),
        *("encode", "decode", "lookup", "allocate_lock", "RLock", "get_ident", "lookup_error", "_is_main_interpreter"),
        *("_filters_mutated", "_filters_mutated_lock_held", "_acquire_lock", "_release_lock"),
    )
)
_SYS_READS = frozenset(("getfilesystemencoding", "getrecursionlimit", "gettrace", "getprofile", "getswitchinterval", "getdlopenflags"))
# Modules of the standard library whose Python functions answer for the process or the machine.
_READING_MODULES = frozenset(
    ("platform", "locale", "sysconfig", "getpass", "tempfile", "uuid", "secrets", "subprocess", "socket", "random", "site")
)

_RUNNING = ("persistmod", "importlib", "_frozen_importlib")  # modules that run bodies, and import for them

# Functions of those that answer for nothing but their arguments.
_TELLING_NOTHING = (
    *("random.Random.__init__", "random.Random.__init_subclass__", "random.SystemRandom.seed"),
    *("uuid.UUID.", "uuid.uuid3", "uuid.uuid5"),
)

ENOUGH_REASONS = 3  # are told, and looked for where that takes time


@dataclass(slots=True)
class Observation:
    """What a run was seen to do. `made`: what it made, by id; None if a collection during the run spoilt the count."""

    module: str
    namespace: dict[str, Any]
    import_attributes: dict[str, Any]
    made: dict[int, Any] | None = None
    steps: tuple[ImportStep, ...] = ()
    statements: tuple[tuple[ImportStatement, str], ...] = ()
    reasons: list[str] = field(default_factory=list)
    # References that others took to what the body had made while it waited for an import: {id: count}.
    taken: Counter[int] = field(default_factory=Counter)
    ignored_holders: Callable[[], Callable[[], set[int]] | None] = lambda: None  # a weak reference: what it is of may be gone
    registered: list[type] = field(default_factory=list)  # ABCs with which the body registered a class
    # Ids of what the body did not make alone, of what the collector does not know.
    shared: set[int] = field(default_factory=set)

    def scope(self) -> ModuleScope:
        """Return the scope in which the namespace is walked."""
        shared = frozenset(self.shared)
        return ModuleScope(self.module, self.namespace, self.import_attributes, self.steps, self.statements, self.made, shared)

    def handed_out(self) -> list[str]:
        """Return what of the things that the body made is held by somebody else, as reasons."""
        if self.made is None:
            return []
        return holders.handed_out(self.made, self.namespace, self.taken, self.ignored_holders() or set)

    def because(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


class Observer(Making):
    """Watches one run of a body in the current thread; `with observer: exec(code, namespace)`, then `observer.conclude()`."""

    own_globals = Making.own_globals | {id(globals())}

    def __init__(self, module: str, namespace: dict[str, Any], body: Body, repeated: Places = ()) -> None:
        super().__init__()
        statements = list(body.imports)
        self._reads = SysReads(namespace, statements, lambda: bool(self._depth))
        self.observation = Observation(module, namespace, dict(namespace))
        self._statements: dict[tuple[str, int, tuple[str, ...]], list[ImportStatement]] = {}
        for statement in statements:
            self._statements.setdefault((statement.name, statement.level, statement.fromlist), []).append(statement)
        self.own = {id(namespace)}
        self._way_back = WayBack()
        self._body, self._repeated = body, repeated  # all that is not quiet in it is known to change nothing, if anything is repeated
        self._is_unwatched = body.is_quiet or bool(repeated)  # until it does what a quiet body does not show
        self._looked_at: dict[str, dict[str, Any]] = {}  # modules of which there is a snapshot all the same
        # Imports as a flat list of atoms: a tuple or an object for each would be taken for something that the body made.
        self._imports: list[Any] = []

    def __enter__(self) -> Self:
        self._do_import: Callable[..., Any] = builtins.__import__
        self._wrapper: Callable[..., Any] = self._import
        self._sharing = shared_snapshot()
        self.outside = self._sharing.__enter__()
        self._previous_trace = sys.gettrace()
        super().__enter__()
        sys.settrace(self._reads.trace)  # the body only: Python runs slowly while it traces
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None:
            self.evaluate()
        sys.settrace(self._previous_trace)
        super().__exit__(*exception)
        self._sharing.__exit__(None, None, None)
        self._do_import = real_import(self._do_import)
        if sys.getrefcount(self._wrapper) > _OWN_REFERENCES:
            replacing.exchange(self._wrapper, self._do_import)
        del self._wrapper
        if _shared.observers is not None:
            _shared.observers.append(self)

    def resume(self) -> None:
        gc.disable()  # a snapshot makes many objects that stay
        if not self._is_unwatched:
            empty_youngest_generation()  # what garbage does when it goes is no deed of the body
            self.outside.take(self.observation.namespace)
        elif self._looked_at:
            self.outside.take_again(self.observation.namespace, self._looked_at)
        if self._segments:
            self.observation.taken.update(self._references_of_others())
            self.observation.taken.subtract(self._references_before)
        if builtins.__import__ is self._do_import:
            builtins.__import__ = self._wrapper  # for the body alone: others may keep what they find there
        super().resume()

    def _references_of_others(self) -> Counter[int]:
        values = [value for segment in self._segments for value in segment]
        return holders.excess_of_made(values, self.observation.namespace)

    def pause(self) -> None:
        if builtins.__import__ is self._wrapper:
            builtins.__import__ = self._do_import
        super().pause()
        self._note_own()
        if self._looked_at or not self._is_unwatched:
            self._note_changes()
        if self._depth:
            self._references_before = self._references_of_others()

    def _note_changes(self) -> None:
        """Note what differs outside, and the way back. What this refers to must be gone before references are counted."""
        found = self.outside.differing()
        self._way_back.add(self.outside.way_back(found, self.own))
        for reason in islice(self.outside.reasons(found, self.own), max(0, ENOUGH_REASONS - len(self.observation.reasons))):
            self.observation.because(reason)

    def _watch(self) -> None:
        """Take the snapshot now: so far the body has changed nothing outside."""
        self.pause()
        self._references_before = self._references_of_others()
        self._is_unwatched = False
        self.resume()

    def _look_at(self, namespace: dict[str, Any]) -> None:
        """Take a module into the snapshot before its code runs for a statement that is known to change nothing: others may have changed."""
        name = module_of(namespace)
        if name is not None and name not in self._looked_at and namespace is not self.observation.namespace:
            self.pause()
            self._references_before = self._references_of_others()
            self._looked_at[name] = namespace
            self.resume()

    def _note_own(self) -> None:
        """Note what the body has made so far: other modules may hold it from now on, and it is still no part of the outside."""
        # A dictionary of other modules joins the youngest generation when it first gets something that the collector must see.
        ours = self._reads.own_objects()
        segment = [value for value in self.outside.unknown(self._segments[-1]) if id(value) not in ours]
        self._segments[-1] = segment
        namespace = self.observation.namespace
        self.own.update(map(id, segment))
        untracked, shared = holders.untracked([value for segment in self._segments for value in segment], namespace)
        self.observation.shared |= shared - self.own
        self.own |= untracked - self.observation.shared

    def take_back(self) -> None:
        """Put back what the body has changed outside; the snapshot must be a restorable one."""
        self._way_back.go([*(self.observation.made or {}).values(), *chain.from_iterable(self._segments)])

    # Imports

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if globals is not self.observation.namespace:
            return self._do_import(name, globals, locals, fromlist, level)
        position = len(stored_items(self.observation.module, globals))
        names = fromlist if type(fromlist) is tuple else ()  # code in C may pass a list, which would count as made and held
        try:
            module = self._do_import(name, globals, locals, fromlist, level)
        except ImportError:
            if level or name.partition(".")[0] not in sys.stdlib_module_names:  # the tag implies the platform's
                self._imports += (position, sys._getframe(1).f_lineno, name, names, level, True)
            raise
        self._imports += (position, sys._getframe(1).f_lineno, name, names, level, False)
        return module

    def _conclude_imports(self) -> None:
        steps, statements = [], []
        for position, line, name, fromlist, level, failed in zip(*[iter(self._imports)] * 6, strict=True):
            names = tuple(fromlist or ())
            steps.append(ImportStep(position, line, name, names, level, failed))
            absolute = self._absolute(name, level)
            statements += [(statement, absolute) for statement in self._statements.get((name, level, names), ())]
        self.observation.steps, self.observation.statements = tuple(steps), tuple(statements)

    def _absolute(self, name: str, level: int) -> str:
        if not level:
            return name
        package = str(self.observation.import_attributes.get("__package__") or "").split(".")
        return ".".join((*package[: len(package) - level + 1], *((name,) if name else ())))

    # Calls

    def called(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if self._is_unwatched and not self._is_harmless(frame, event, argument):
            if is_within(frame, self._body.code, self._repeated):
                self._look_at(frame.f_globals)
            else:
                self._watch()
        super().called(frame, event, argument)
        if event == "call":
            self._python_call(frame)
        elif event == "c_call":
            self._builtin_call(frame, argument)

    def _is_harmless(self, frame: types.FrameType, event: str, argument: Any) -> bool:
        """Return whether a call is the work of who runs the body or imports for it, or defines a class, or gives a property a function."""
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _RUNNING:
            return True
        if event == "call":
            return self._is_body(frame)
        if event != "c_call" or type(getattr(argument, "__self__", None)) is property:
            return True
        namespace = self.observation.namespace
        return argument is builtins.__build_class__ and quiet.are_plain(self._body.bases, namespace, builtins.__dict__)

    def _python_call(self, frame: types.FrameType) -> None:
        if frame.f_code in _ENVIRON:
            self.observation.because("its body reads os.environ")
        elif frame.f_globals is self.observation.namespace:
            return
        elif frame.f_globals.get("__name__") in _READING_MODULES and not frame.f_code.co_name.startswith("<"):
            self._foreign_call(frame)

    def _foreign_call(self, frame: types.FrameType) -> None:
        name = f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}"
        if name.startswith(_TELLING_NOTHING):
            return
        if name == "random.Random.seed" and frame.f_locals.get("a") is not None:
            return
        self.observation.because(f"its body calls {name}")

    def _builtin_call(self, frame: types.FrameType, function: Any) -> None:
        module, name = getattr(function, "__module__", None), getattr(function, "__name__", "")
        owner = getattr(function, "__self__", None)
        if type(owner) is types.ModuleType or module is not None:
            self._function_of_module(frame, module or "", name)
        elif type(owner).__module__ == "_io" and not is_in_memory(owner):
            self.observation.because(f"its body calls {name} of an open file")
        elif isinstance(owner, type) and owner.__module__ == "datetime" and name in ("now", "today", "utcnow"):
            self.observation.because(f"its body calls {owner.__name__}.{name}")

    def _function_of_module(self, frame: types.FrameType, module: str, name: str) -> None:
        if (module in _READING or module in _ACTING) and not (name in _PURE or name.endswith(("_encode", "_decode"))):
            self.observation.because(f"its body calls {module.lstrip('_')}.{name}")
        elif module == "_io" and name in ("open", "open_code") or module == "builtins" and name in ("print", "input"):
            self.observation.because(f"its body calls {name}")
        elif module == "sys" and (name.startswith("set") or name == "addaudithook"):
            self.observation.because(f"its body calls sys.{name}")
        elif module == "sys" and name in _SYS_READS and frame.f_globals is self.observation.namespace:
            self.observation.because(f"its body calls sys.{name}")
        elif module == "gc" and name != "is_tracked":
            self.observation.because(f"its body calls gc.{name}")
        elif module == "builtins" and name in ("id", "hash") and self._is_body(frame):
            self.observation.because(f"its body calls {name}")

    def _is_body(self, frame: types.FrameType) -> bool:
        """Return whether a frame runs the body itself or a class body in it."""
        is_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED
        return frame.f_globals is self.observation.namespace and not is_function

    # The conclusion

    def conclude(self) -> Observation:
        """Return the observation, with all reasons but those that only the walk can find."""
        observation = self.observation
        self._conclude_imports()
        for attribute in self._reads.conclude():
            observation.because(f"its body reads sys.{attribute}")
        if self.spoilt:
            observation.because("its body runs the garbage collector")
        observation.made = self.made()
        observation.ignored_holders = weakref.WeakMethod(self.outside.own_containers)
        del self.outside  # it holds half the process, and whoever looks for holders finds it
        for cls in self.registered:
            if id(cls) not in observation.made:
                observation.registered.append(cls)
                observation.because(f"its body registers a class with {cls.__module__}.{cls.__qualname__}")
        self.registered.clear()
        self._conclude_module(observation)
        return observation

    def _conclude_module(self, observation: Observation) -> None:
        module = sys.modules.get(observation.module)
        if getattr(module, "__dict__", None) is not observation.namespace:
            observation.because("its body replaces the module in sys.modules")
        elif type(module) is not types.ModuleType:
            observation.because("its body changes the class of the module")


# The attribute of the observer, the argument of getrefcount.
_OWN_REFERENCES = 2


def real_import(function: Any) -> Any:
    """Return what does the imports for what persistmod has put in the place of `__import__`."""
    while function.__module__ is not None and function.__module__.partition(".")[0] == __name__.partition(".")[0]:
        function = function.__wrapped__
    return function


# A frame of the import system, for whoever looks for the line that imports: `warnings` passes over such frames.
Observer._import.__code__ = Observer._import.__code__.replace(co_filename="<frozen importlib._bootstrap>")


class _Shared(threading.local):
    outside: Outside | None = None
    observers: list[Observer] | None = None


_shared = _Shared()


@contextmanager
def shared_snapshot(restorable: bool = False) -> Iterator[Outside]:
    """Let the runs inside the block, in this thread, share one snapshot of the outside, which is then only brought up to date."""
    known = _shared.outside
    if known is not None and known.is_restorable >= restorable:
        yield known
        return
    _shared.outside = outside = Outside(restorable)
    try:
        yield outside
    finally:
        _shared.outside = known


@contextmanager
def noting_runs() -> Iterator[list[Observer]]:
    """Give a list which the observers of all runs inside the block, in this thread, join when the runs end."""
    known = _shared.observers
    observers: list[Observer] = []
    _shared.observers = observers
    try:
        yield observers
    finally:
        _shared.observers = known


def take_back(observers: Sequence[Observer], names: Collection[str]) -> None:
    """Put back what runs changed outside, those of `names` and of what has left `sys.modules`; what stays keeps its effects."""
    for observer in reversed(observers):
        if observer.observation.module in names or observer.observation.module not in sys.modules:
            observer.take_back()
