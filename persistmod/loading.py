"""Making a live module from a record: its spec and its loader (PEP 451).

A module with an image for the running Python is filled from its state if it is closed, and otherwise runs its code as any module does.
Without an image, or if the state cannot be loaded here, its source is run, observed, and the new image is handed to the record.

Modules in a database have the file name `<persistmod>/package/module.py`: the same in every process and on every machine, and never the
name of a real file, so that tools ask the loader for the source.
"""

from __future__ import annotations

import builtins
import gc
import importlib._bootstrap
import importlib.abc
import importlib.machinery
import importlib.util
import marshal
import sys
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from persistmod import imaging, livedata, offering
from persistmod.aside import Observer
from persistmod.errors import OtherModuleError
from persistmod.imaging import ImageData
from persistmod.namespace import CONTRIBUTES
from persistmod.resources import Holder, PackageFiles, ResourceReader
from persistmod.source import Body, current_tag
from persistmod.watching import AS_ADDED

ROOT = "<persistmod>"


def file_name(name: str, is_package: bool) -> str:
    """Return the file name that a module of the database goes by."""
    return f"{ROOT}/{name.replace('.', '/')}{'/__init__' if is_package else ''}.py"


class Record(Holder, Protocol):
    """What a loader needs of the record of a module."""

    _p_jar: Any

    @property
    def name(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def requested_run(self) -> str: ...
    @property
    def script(self) -> Script | None: ...
    @property
    def running_source(self) -> str | None: ...
    def body(self) -> Body: ...
    @property
    def registry(self) -> Mapping[str, Record] | None: ...
    def image(self, tag: str) -> ImageData | None: ...
    def keep_image(self, tag: str, image: ImageData, persistent: dict[str, Any]) -> None: ...
    def persistent_object(self, path: str) -> Any: ...
    def loaded(self, module: types.ModuleType, image: ImageData) -> None: ...


# Which record a live module came from. Like `sys.modules`, it belongs to the process: one set of live modules per process.
_records: weakref.WeakKeyDictionary[types.ModuleType, Record] = weakref.WeakKeyDictionary()


def record_of(module: types.ModuleType) -> Record | None:
    """Return the record that a live module belongs to, None for a module that was never converted or loaded."""
    return _records.get(module)


def place_of(module: types.ModuleType) -> int:
    """Return a number that is greater for modules of which the import began later; `sys.modules` has the order in which they ended."""
    return next((place for place, known in enumerate(_records) if known is module), len(_records))


# Definitions that an update deleted from live modules, for their return, as long as somebody holds them: {module: {name: reference}}.
_retired: weakref.WeakKeyDictionary[types.ModuleType, dict[str, weakref.ref[Any]]] = weakref.WeakKeyDictionary()


def retire(module: types.ModuleType, names: Iterable[str]) -> None:
    """Note what is about to be deleted from a live module."""
    for name in names:
        if issubclass(type(vars(module)[name]), type | types.FunctionType):
            _retired.setdefault(module, {})[name] = weakref.ref(vars(module)[name])


def retired(module: types.ModuleType) -> dict[str, Any]:
    """Return `{name: definition}` of what was deleted from a live module, and is held by somebody."""
    found = {name: reference() for name, reference in _retired.get(module, {}).items()}
    return {name: value for name, value in found.items() if value is not None and name not in vars(module)}


def bind(module: types.ModuleType, record: Record) -> None:
    """Note that a live module belongs to a record."""
    _records[module] = record


def hand_over(module: types.ModuleType, record: Record) -> None:
    """Have a live module belong to its record as another connection has it: tools ask that for the source."""
    bind(module, record)
    loader = getattr(module.__spec__, "loader", None)
    if isinstance(loader, RecordLoader):
        loader.record = record
    offering.offer_source(record, record.filename)


@dataclass(frozen=True, slots=True)
class Script:
    """What makes a module a script.                                                # stored: format 1

    `namespace`: whose name it runs under; `contributes`: the names under which its body may define something there.
    """

    namespace: str
    contributes: frozenset[str]


def be_script(module: types.ModuleType, script: Script | None) -> None:
    """Have what a module defines carry the name of the namespace that it contributes to."""
    if script is not None:
        vars(module).update({"__name__": script.namespace, CONTRIBUTES: script.contributes})


def has_followed(module: types.ModuleType, record: Record) -> None:
    """Have a live module that took another version of its record say what that says."""
    be_script(module, record.script)
    offering.offer_source(record, record.filename)
    if becomes_package(module, record):
        importlib._bootstrap._init_module_attrs(spec_of(record), module, override=True)


def becomes_package(module: types.ModuleType, record: Record) -> bool:
    """Return whether a live module that came from its record as no package is to be one now."""
    origin = getattr(module.__spec__, "origin", None)
    return record.is_package and isinstance(origin, str) and not origin.rpartition("/")[2].startswith("__init__.")


def share_path(scratch: types.ModuleType, module: types.ModuleType) -> None:
    """Give the scratch module of a package the search path of the live one, which may have been changed, if that has one yet."""
    if hasattr(scratch, "__path__") and hasattr(module, "__path__"):
        scratch.__path__ = module.__path__


@dataclass(frozen=True, slots=True)
class Entry:
    """What an import needs to know of a module.

    With a `pack`, which holds the image, it stands for the record, which then need not be read: the module is as it was added.
    """

    name: str
    filename: str
    is_package: bool
    has_source: bool
    image: ImageData | None
    pack: Any = None
    script: Script | None = None


def entry_of(record: Record) -> Entry:
    """Return what an import needs to know, as the record has it."""
    image = record.image(current_tag())
    return Entry(record.name, record.filename, record.is_package, record.has_source, image, script=record.script)


def spec_of(record: Record, entry: Entry | None = None) -> importlib.machinery.ModuleSpec:
    """Return the spec of a module of the database; finding it reads the record and its image, unless `entry` tells all."""
    entry = entry or entry_of(record)
    kind: type[RecordLoader] = CodeLoader if entry.image is not None and entry.image.state is None else ImageLoader
    if not entry.has_source:
        kind = NamespaceLoader
    loader = kind(record, entry)
    spec = importlib.machinery.ModuleSpec(entry.name, loader, origin=entry.filename, is_package=entry.is_package)
    if entry.is_package:
        spec.submodule_search_locations = [entry.filename.rpartition("/")[0]]
    spec.has_location = entry.has_source
    return spec


def load_module(record: Record) -> types.ModuleType:
    """Return the live module of a record: the one in `sys.modules` if it is that, else a new one that is put there.

    Raises OtherModuleError if a module of that name is live which did not come from this record.
    """
    module = sys.modules.get(record.name)
    if module is None:
        parent = record.name.rpartition(".")[0]
        if parent and parent not in sys.modules:
            importlib.import_module(parent)
        module = _load(record)
        if parent:
            setattr(sys.modules[parent], record.name.rpartition(".")[2], module)
    elif not is_of(module, record):
        origin = getattr(module.__spec__, "origin", None) or "elsewhere"
        problem = f"module {record.name!r} of this process is another one than the database's: it came from {origin}"
        raise OtherModuleError(f"{problem}; import the module from the database before, in a new process", module=record.name)
    return module


def is_of(module: types.ModuleType, record: Record) -> bool:
    """Return whether a live module came from a record, be it through another connection."""
    return _is_same(record_of(module), record)


def _is_same(known: Any, record: Any) -> bool:
    """Return whether two records are one, or the same record of one database seen through two connections."""
    if known is record or known is None:
        return known is record
    jars = (known._p_jar, record._p_jar)
    return None not in jars and jars[0].db() is jars[1].db() and known._p_oid == record._p_oid


def _load(record: Record) -> types.ModuleType:
    spec = spec_of(record)
    module = importlib.util.module_from_spec(spec)
    sys.modules[record.name] = module
    try:
        assert_loader(spec).exec_module(module)
    except BaseException:
        sys.modules.pop(record.name, None)
        raise
    return sys.modules[record.name]


def assert_loader(spec: importlib.machinery.ModuleSpec) -> importlib.abc.Loader:
    """Return the loader of a spec that was made here, which always has one."""
    if spec.loader is None:
        raise ImportError(f"{spec.name} has no loader", name=spec.name)
    return spec.loader


class RecordLoader(importlib.abc.InspectLoader):
    """What every loader of this module offers to tools: source, code, file name, data files."""

    def __init__(self, record: Record, entry: Entry) -> None:
        self.record = record
        self.name = entry.name
        self.image = entry.image  # until the module is loaded: a process keeps no image beside the module made from it
        self._pack = entry.pack
        self._script = entry.script

    @property
    def connection(self) -> Any:
        """The connection through which the module is imported, None if its record is in none yet."""
        connection = self.record._p_jar
        return connection if connection is not None else getattr(self.record.registry, "_p_jar", None)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        be_script(module, self._script)
        bind(module, self.record)
        if spec.has_location and spec.origin:
            offering.offer_source(self.record, spec.origin)
        return module

    def is_package(self, fullname: str) -> bool:
        return self.record.is_package

    def get_filename(self, fullname: str) -> str:
        return self.record.filename

    def get_source(self, fullname: str) -> str | None:
        return offering.text_of(self.record)

    def get_code(self, fullname: str) -> types.CodeType | None:
        """Return the code of the body: compiled now for a closed module, which does not keep it."""
        image = self.image or self.record.image(current_tag())
        if image is not None and image.code:
            code: types.CodeType = marshal.loads(image.code)
            return code
        return self.record.body().code if self.record.has_source else None

    def get_data(self, path: str) -> bytes:
        """Return a data file of the package by its file name, or the source by the module's own."""
        if path == self.record.filename:
            return self.record.source_bytes
        folder = self.record.filename.rpartition("/")[0] + "/"
        relative = path.replace("\\", "/").removeprefix(folder)
        try:
            return self._files()[relative]
        except KeyError:
            raise FileNotFoundError(f"no data file {path!r} with {self.record.name!r} in the database") from None

    def get_resource_reader(self, fullname: str) -> ResourceReader | None:
        return ResourceReader(fullname, self._files()) if self.record.is_package else None

    def _loaded(self, module: types.ModuleType, image: ImageData) -> None:
        """Have the record complete a module that has been made, unless it is known to have nothing to say; have it watched."""
        if self._pack is None:
            self.record.loaded(module, image)
        else:
            is_closed = image.state is not None
            livedata.of(self.connection).watch(self.name, self.record, module, is_closed, self._pack, AS_ADDED)

    def _files(self) -> PackageFiles:
        return PackageFiles(self.record.name, self.record, self.record.registry)


class CodeLoader(RecordLoader):
    """Runs the cached code of a module that is not closed.

    The body is run by importlib's own `exec_module`, and the frame here says that it is importlib's, too: so `warnings` find the
    importing line.
    """

    def exec_module(self, module: types.ModuleType) -> None:
        with livedata.importing(self.connection):
            livedata.body_begins(self.connection)
            super().exec_module(module)
            image, self.image = self.image, None
            if image is not None:
                self._loaded(module, image)


CodeLoader.exec_module.__code__ = CodeLoader.exec_module.__code__.replace(co_filename="<frozen importlib._bootstrap>")


class NamespaceLoader(RecordLoader):
    """A namespace package: nothing to run."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Leave the namespace as it is."""


class ImageLoader(RecordLoader):
    """Fills a closed module from its state; runs and observes the source where there is no image, or none that loads."""

    def exec_module(self, module: types.ModuleType) -> None:
        with livedata.importing(self.connection):
            image, self.image = self.image, None
            if image is None or not self.fill(module, image):
                self.record.loaded(module, self._run(module))
            else:
                self._loaded(module, image)

    def fill(self, module: types.ModuleType, image: ImageData) -> bool:
        """Load the state, see `imaging.fill`."""
        module.__dict__["__builtins__"] = builtins.__dict__
        with collector_off():
            return imaging.fill(module.__dict__, self.name, image, self._persistent_object)

    def _persistent_object(self, path: str) -> Any:
        return self.record.persistent_object(path)

    def _run(self, module: types.ModuleType) -> ImageData:
        record = self.record
        livedata.body_begins(self.connection)
        image, persistent = run_observed(self.name, module, record.body(), record.requested_run)
        record.keep_image(current_tag(), image, persistent)
        return image


def run_observed(name: str, module: types.ModuleType, body: Body, run: str) -> tuple[ImageData, dict[str, Any]]:
    """Run a body in a module that stands in `sys.modules`, and return its image and its persistent objects by path."""
    observer = Observer(name, module.__dict__, body)
    with observer:
        _execute(body.code, module.__dict__)
    return imaging.make_image(observer.conclude(), body.code, run)


def _execute(code: types.CodeType, namespace: dict[str, Any]) -> None:
    exec(code, namespace)


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep the collector from running while many objects are made that all stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
