"""The heart: the walk over a namespace, and the state that it gives.

`dump` walks a module's namespace in the order of its names and writes a pickle (protocol 5) that `load` fills into an empty namespace:
with new functions and classes, the same identities, the same order. The pickle is made for the C unpickler and for one purpose:

- *Create empty, memoize, fill later.* A function is created from its code and empty cells, a class from its finished namespace with
  None where a value is not ready, an instance by `__new__` of its built-in base. Their states wait in three queues (functions, then
  attributes of classes, then the rest) that are drained before anything is called with, hashed by, or bound to what waits.
- *A worklist, not recursion.* Each object under way is a generator that yields the objects it contains; a loop keeps their stack. Data
  nested 100,000 deep are data too. The unpickler is a stack machine and does not recurse either.
- *Out of band.* The namespace, the code objects and the identifiers do not stand in the pickle: opcode NEXT_BUFFER takes them, in order,
  from the `buffers` of the state. Marshal keeps codes compact and identifiers interned, and the pickle becomes deterministic:
  two equal namespaces give equal bytes, which is how a state is proven (`dump(load(state)) == state`).
- *By reference, never by value*: modules, and what the scope finds by identity in an importable module. What is not found there and
  was not made by the body is shared with somebody else; the scope decides about it, and a refusal names the path.

Rejected: `pickle.Pickler` with `reducer_override`, which recurses in C for every container, cannot delay the state of a list or a dict
whose keys are not hashable yet, and cannot stop in the middle of a class. Rejected: stubs in place of definitions; as the namespace is
filled in order, nothing needs them.
"""

from __future__ import annotations

import copyreg
import marshal
import pickle
import sys
import types
from collections import deque
from collections.abc import Callable
from typing import Any

from persistmod import classes, reducers, tables
from persistmod.definitions import DefinitionWalker
from persistmod.errors import NotStorable
from persistmod.opcodes import ATOMS, MARK, POP
from persistmod.state import Dump, ImportStep, Path, Scope, State, load, stored_items
from persistmod.walking import Steps

__all__ = ["Pickler", "dump", "load"]


def dump(scope: Scope) -> Dump:
    """Walk the namespace of `scope` and return its state; what cannot be stored is a ConversionError with its path."""
    try:
        return Pickler(scope).dump()
    except _SharedTableError:
        return Pickler(scope, with_tables=False).dump()


class _SharedTableError(Exception):
    """A part of a table is held by something else, too, which only the walk can store."""


class Pickler(DefinitionWalker):
    """One walk over one namespace; use `dump`."""

    def __init__(self, scope: Scope, with_tables: bool = True) -> None:
        super().__init__(scope)
        self.with_tables = with_tables
        self.in_tables: set[int] = set()
        self.persistent: dict[str, Any] = {}
        self.places: list[tuple[int, Path]] = []
        self.initial = {id(value): name for name, value in scope.import_attributes.items() if type(value) not in ATOMS}

    def dump(self) -> Dump:
        self.write(pickle.PROTO + b"\x05" + pickle.NEXT_BUFFER)
        self.memoize(self.scope.namespace)
        self.run(self.save_namespace())
        self.write(pickle.STOP)
        state = State(b"".join(self.out), marshal.dumps(tuple(self.buffers)), tuple(self.persistent))
        return Dump(state, self.persistent, self.values, frozenset(self.references), self.places)

    # The namespace

    def save_namespace(self) -> Steps:
        root = Path(None, self.scope.module)
        steps = deque(self.scope.steps)
        items = stored_items(self.scope.module, self.scope.namespace)
        for position, (name, value) in enumerate(items):
            while steps and steps[0].position <= position:
                self.import_step(steps.popleft())
            if not self.scope.is_import_attribute(name, value):
                yield self.save_item(name, value, Path(root, f".{name}"))
        while steps:
            self.import_step(steps.popleft())
        yield from self.last
        yield self.drain()

    def save_item(self, name: str, value: Any, path: Path) -> Steps:
        self.places.append((self.size, path))
        self.save_text(name)
        imported = self.scope.imported(name, value)
        if imported:
            self.save_imported(imported, value)
        else:
            yield value, path
        yield self.drain()
        self.write(pickle.SETITEM)

    def save_imported(self, imported: tuple[str, str], value: Any) -> None:
        module, attribute = imported
        if attribute:
            self.save_reference(module, attribute)
        elif id(value) in self.memo:
            self.get(self.memo[id(value)])
        else:
            self.save_module(module)
            self.memoize(value)

    def import_step(self, step: ImportStep) -> None:
        self.save_reference("persistmod.rebuilding", "import_fails" if step.failed else "import_at")
        self.write(MARK)
        self.get(self.memo[id(self.scope.namespace)])
        self.save_integer(step.line)
        self.save_filename()
        self.save_text(step.name)
        self.write(MARK)
        for name in step.fromlist:
            self.save_text(name)
        self.write(pickle.TUPLE)
        self.save_integer(step.level)
        self.write(pickle.TUPLE + pickle.REDUCE + POP)

    def save_filename(self) -> None:
        self.save_string(self.scope.import_attributes.get("__file__") or f"<{self.scope.module}>")

    # Any value

    def save_compound(self, value: Any, kind: type, path: Path) -> Steps | None:
        if issubclass(kind, types.ModuleType):  # isinstance() asks the value, which may say or raise anything
            self.save_module_value(value, path)
            return None
        if id(value) in self.initial and self.scope.import_attributes[self.initial[id(value)]] is value:
            self.save_import_attribute(value)
            return None
        reference = None if id(value) in self.temporary else self.scope.reference(value)
        if reference is not None:
            self.save_reference(*reference)
            self.memo[id(value)] = self.references[reference]
            self.keep.append(value)
            return None
        if id(value) in self.in_tables:
            raise _SharedTableError
        self.values[id(value)] = value
        self.places.append((self.size, path))
        if self.with_tables and self.save_table(value):
            return None
        writer = _WRITERS.get(kind)
        if not self.may_be_stored(value, kind):
            if issubclass(kind, BaseException):
                reducers.refuse_raised(value)
            raise NotStorable(f"<{kind.__module__}.{kind.__qualname__} object>, which the body did not make and no module names")
        if writer is not None:
            steps: Steps | None = writer(self, value, path)
            return steps
        return self.save_instance(value, kind, path)

    def save_table(self, value: Any) -> bool:
        """Write a big table of plain data as one buffer, if nothing that was written before is in it."""
        parts = tables.containers(value)
        if parts is None or not self.scope.are_own(parts):
            return False
        ids = set(map(id, parts))
        if not self.memo.keys().isdisjoint(ids):
            return False
        self.in_tables |= ids
        self.memo[id(value)] = self.count
        self.keep.append(value)
        self.save_buffer(value)
        return True

    def may_be_stored(self, value: Any, kind: type) -> bool:
        """Return whether a value that is found nowhere by identity is nobody else's, or is found again by its reducer."""
        if self.scope.is_own(value) or id(value) in self.temporary or classes.is_persistent(kind):
            return True
        return kind not in _WRITERS and not issubclass(kind, type) and reducers.is_recreated(value)

    def save_instance(self, value: Any, kind: type, path: Path) -> Steps:
        if issubclass(kind, type):
            return self.save_class(value, path)
        if classes.is_persistent(kind):
            return self.save_persistent(value, path)
        if self.scope.has_raw_instances(kind) and not reducers.has_reducer(kind):
            return self.save_own_instance(value, kind, path)
        return self.save_reduced(value, self.reduction(value, kind, path), path)

    def reduction(self, value: Any, kind: type, path: Path) -> tuple[Any, ...] | str:
        try:
            return reducers.reduce(value, kind)
        except NotStorable:
            raise
        except Exception as error:  # a foreign reducer may raise anything to say no
            raise NotStorable(f"<{kind.__module__}.{kind.__qualname__} object>: {error}") from error

    def save_module_value(self, value: types.ModuleType, path: Path) -> None:
        reference = self.scope.reference(value)
        if reference is None:
            raise NotStorable(f"the module {value.__name__!r}, which is not in sys.modules")
        self.save_module(reference[0])
        self.memoize(value)

    def save_import_attribute(self, value: Any) -> None:
        """Take what the import system put into the namespace (`__spec__`, `__loader__`) from the namespace that is filled."""
        self.save_reference("operator", "getitem")
        self.get(self.memo[id(self.scope.namespace)])
        self.save_string(self.initial[id(value)])
        self.write(pickle.TUPLE2 + pickle.REDUCE)
        self.memoize(value)

    # Instances

    def save_own_instance(self, value: Any, kind: type, path: Path) -> Steps:
        """An instance of a class of the module: made by `__new__` of its built-in base, filled past its own methods."""
        raw = classes.raw_state(value)
        if raw is None:
            yield from self.save_reduced(value, self.reduction(value, kind, path), path)
            return
        self.keep.append(raw)
        if raw.fill:
            self.temporary.add(id(raw.fill[1]))  # a copy, made past the methods of the instance
        self.save_reference(raw.base.__module__, f"{raw.base.__qualname__}.__new__")
        self.write(MARK)
        yield kind, Path(path, ".__class__")
        for argument in raw.arguments:
            yield argument, Path(path, ".")
        if id(value) in self.memo:
            self.write(pickle.POP_MARK + POP)
            self.get(self.memo[id(value)])
            return
        self.write(pickle.TUPLE + pickle.REDUCE)
        self.memoize(value)
        self.take_attributes(raw.attributes)
        if raw.attributes or raw.slots or raw.fill:
            self.under_way.add(id(value))
            self.waiting[2].append(self.fill_instance(value, raw, path))

    def fill_instance(self, value: Any, raw: classes.Raw, path: Path) -> Steps:
        for attributes, slots in classes.parts(raw, type(value)):
            yield from self.call_later("fill_instance", value, (attributes, slots), path)
        self.under_way.discard(id(value))
        if raw.fill:
            yield from self.fill_contents(value, *raw.fill, path)

    def fill_contents(self, value: Any, function: str, contents: Any, path: Path) -> Steps:
        """Write the call that fills a container of a class of the module, when what it hashes is ready."""
        self.save_reference("persistmod.rebuilding", function)
        self.write(MARK)
        self.get(self.memo[id(value)])
        yield contents, path
        yield self.drain()
        self.write(pickle.TUPLE + pickle.REDUCE + POP)

    def save_persistent(self, value: Any, path: Path) -> Steps:
        """An instance of `Persistent`: a record of its own, taken out of band."""
        self.persistent[str(path)] = value
        self.memoize_buffer(value)
        yield from ()

    def memoize_buffer(self, value: Any) -> None:
        self.memo[id(value)] = self.count
        self.keep.append(value)
        self.save_buffer(None)

    def save_reduced(self, value: Any, reduction: tuple[Any, ...] | str, path: Path) -> Steps:
        """An object of another module, as its reducer says (`object.__reduce__` in the Python documentation)."""
        if isinstance(reduction, str):
            raise NotStorable(f"it: its reducer names the global {reduction!r}, where it is not found")
        self.begin(value, f"it: its reducer needs the {type(value).__qualname__} itself before it is made")
        self.keep_temporary(reduction)
        parts: list[Any] = [*reduction, *[None] * (6 - len(reduction))]
        function, arguments, state, items, pairs, setter = parts
        is_new = function is copyreg.__newobj__  # type: ignore[attr-defined]
        head, rest = (arguments[0], arguments[1:]) if is_new else (function, arguments)
        self.keep.append(rest)
        yield head, path
        yield rest, path
        if rest:  # what is made of nothing waits for nothing, which may need it
            yield self.drain()
        if id(value) in self.memo:
            self.write(POP + POP)
            self.get(self.memo[id(value)])
            return
        self.write(pickle.NEWOBJ if is_new else pickle.REDUCE)
        self.memoize(value)
        self.under_way.add(id(value))
        if items is not None:
            yield self.append_items(list(items), path)
        if pairs is not None:
            yield self.set_items(value, list(pairs), path)
        if state is not None:
            yield self.save_state(value, state, setter, path)
        self.under_way.discard(id(value))

    def keep_temporary(self, reduction: tuple[Any, ...]) -> None:
        """Keep what a reducer made for us alive, since the memo goes by id; nobody else has it, so it is no stranger."""
        self.keep.append(reduction)
        pending = list(reduction)
        while pending:
            part = pending.pop()
            if type(part) in (tuple, list, dict, set) and sys.getrefcount(part) <= _REFERENCES_OF_A_TEMPORARY:
                self.temporary.add(id(part))
                pending += part if type(part) is tuple else ()

    def save_state(self, value: Any, state: Any, setter: Any, path: Path) -> Steps:
        if setter is not None:
            yield setter, path
            self.get(self.memo[id(value)])
            yield state, path
            yield self.drain()
            self.write(pickle.TUPLE2 + pickle.REDUCE + POP)
            return
        if type(state) is dict:
            self.take_attributes(state)
            yield self.save_attributes(state, path)
        else:
            yield state, path
        yield self.drain()
        self.write(pickle.BUILD)


# The tuple that holds it, the variable of the loop, the argument of getrefcount.
_REFERENCES_OF_A_TEMPORARY = 3

_Writer = Callable[[Pickler, Any, Path], Any]

_WRITERS: dict[type, _Writer] = {
    tuple: Pickler.save_tuple,
    list: Pickler.save_list,
    dict: Pickler.save_dict,
    set: Pickler.save_set,
    frozenset: Pickler.save_frozenset,
    bytearray: Pickler.save_bytearray,
    types.CodeType: Pickler.save_code,
    types.FunctionType: Pickler.save_function,
    type: Pickler.save_class,
    staticmethod: Pickler.save_method_holder,
    classmethod: Pickler.save_method_holder,
}
