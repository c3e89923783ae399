"""The import hook: a finder that asks a registry (PEP 451).

A registered name wins over a file of that name, since the finder stands first in `sys.meta_path`. Modules that are imported already are
not touched; so those that persistmod itself needs to open a database always come from their files. `importlib.reload` finds a module
again, so it reads the record as it is now.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.abc import MetaPathFinder, PathEntryFinder
from importlib.machinery import ModuleSpec

from ZODB.broken import broken_cache
from ZODB.interfaces import IStorage
from ZODB.POSException import POSKeyError, StateLoadError

from persistmod import livedata
from persistmod.errors import DamagedRecordError, HookError
from persistmod.loading import ROOT, Entry, Record, spec_of


class RegistryFinder(MetaPathFinder):
    """Finds the modules of one registry."""

    def __init__(self, registry: Mapping[str, Record]) -> None:
        self.registry = registry
        # Gives what needs no reading of a module's record; a mapping that is no registry lists nothing.
        self._listed: Callable[[str], tuple[Record, Entry] | None] = getattr(registry, "listed", lambda name: None)
        self._prefetch: Callable[[str], None] = getattr(registry, "prefetch", lambda name: None)
        # Guards the reading of records: a connection lets another thread see an object whose state is half loaded. Bodies never run
        # while it is held, since they import and so come back here from threads that wait for each other's modules.
        self.reading = threading.RLock()
        self.before_reading: Callable[[], object] = lambda: None
        self.after_failure: Callable[[], bool] = lambda: False  # says whether to try again

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.registry!r}>"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if _is_closed(self.registry) or self._is_run_by_storage():
            return None
        with self.reading, _naming(fullname):
            self.before_reading()
            try:
                return self._find(fullname)
            except Exception:
                if not self.after_failure():
                    raise
            return self._find(fullname)

    def _is_run_by_storage(self) -> bool:
        """Return whether the storage of the registry itself runs this thread: it cannot wait for what it has to do itself.

        The first commit over ZEO, for one, asks for a codec in the thread that brings the answers of the server.
        """
        if threading.get_ident() == threading.main_thread().ident:
            return False
        frame: types.FrameType | None = sys._getframe()
        began_in = ""
        while frame is not None:  # from here to the function that the thread began with
            module = frame.f_globals.get("__name__") or ""
            began_in, frame = module if module != "threading" else began_in, frame.f_back
        return began_in.partition(".")[0] in self._storage_packages

    @cached_property
    def _storage_packages(self) -> set[str]:
        connection = getattr(self.registry, "_p_jar", None)
        return set() if connection is None else _packages_of(connection.db().storage)

    def _find(self, fullname: str) -> ModuleSpec | None:
        self._prefetch(fullname)
        record, entry = self._listed(fullname) or (self.registry.get(fullname), None)
        if record is None:
            livedata.body_begins(getattr(self.registry, "_p_jar", None))
            return None
        return spec_of(record, entry)

    def path_hook(self, path: str) -> PathEntryFinder:
        """Be the finder of `__path__` of a package in the database, for `pkgutil`; `sys.path_hooks` calls it."""
        if not path.startswith(f"{ROOT}/"):
            raise ImportError(f"{path} is no package in a database")
        return _PackageFinder(self, path[len(ROOT) + 1 :].replace("/", "."))


class _PackageFinder(PathEntryFinder):
    """Finds and lists the modules of one package."""

    def __init__(self, finder: RegistryFinder, package: str) -> None:
        self._finder = finder
        self._package = package

    def find_spec(self, fullname: str, target: types.ModuleType | None = None) -> ModuleSpec | None:
        return self._finder.find_spec(fullname, None, target)

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Yield (name, is_package) of the modules right in the package, for `pkgutil.iter_modules`."""
        start = f"{self._package}."
        for name, record in self._finder.registry.items():
            if name.startswith(start) and "." not in name[len(start) :]:
                yield prefix + name[len(start) :], record.is_package


@contextmanager
def _naming(module: str) -> Iterator[None]:
    """Turn what ZODB says of a record that cannot be read into an error that names the module and is an ImportError."""
    try:
        yield
    except (StateLoadError, POSKeyError) as error:
        problem = f"its record is damaged in the database ({type(error.__cause__ or error).__name__}: {error.__cause__ or error})"
        advice = "restore the database, or remove the module and add it again"
        raise DamagedRecordError(f"module {module!r}: {problem}; {advice}", module=module) from error


def _is_closed(registry: Mapping[str, Record]) -> bool:
    """Return whether the connection of a registry is closed: then imports go on as if there were no database."""
    connection = getattr(registry, "_p_jar", None)
    return connection is not None and connection.opened is None


def _packages_of(storage: object) -> set[str]:
    """Return the packages that implement a storage, and those that it wraps."""
    found = {type(storage).__module__.partition(".")[0]}
    for value in vars(storage).values():
        if IStorage.providedBy(value):
            found |= _packages_of(value)
    return found


# The finders that are on, the last one first: `sys.meta_path` and `sys.path_hooks` are the process's, and so is this.
_on: list[tuple[RegistryFinder, object]] = []


def _switch_on(registry: Mapping[str, Record]) -> RegistryFinder:
    finder = RegistryFinder(registry)
    hook = finder.path_hook
    sys.meta_path.insert(0, finder)
    sys.path_hooks.append(hook)  # the last one: what is a directory is not asked about, nor shown to a debugger
    _on.insert(0, (finder, hook))
    _forget_paths()
    _mend(registry)
    return finder


def _mend(registry: Mapping[str, Record]) -> None:
    """Let a connection read again what it read before the hook was on, if classes of the registry were missing then.

    ZODB puts a `Broken` object in the place of what it finds no class for, and `get_registry` itself reads the root.
    """
    connection = getattr(registry, "_p_jar", None)
    if connection is None:
        return
    missing = [place for place in list(broken_cache) if place[0] in registry]
    for place in missing:
        broken_cache.pop(place, None)
    if missing:
        connection.cacheMinimize()


def _switch_off(finder: RegistryFinder) -> None:
    hooks = [hook for known, hook in _on if known is finder]
    sys.meta_path[:] = [known for known in sys.meta_path if known is not finder]
    sys.path_hooks[:] = [known for known in sys.path_hooks if known not in hooks]
    _on[:] = [pair for pair in _on if pair[0] is not finder]
    _forget_paths()


def _forget_paths() -> None:
    for path in [path for path in sys.path_importer_cache if path.startswith(ROOT)]:
        del sys.path_importer_cache[path]


@contextmanager
def importing(registry: Mapping[str, Record]) -> Iterator[None]:
    """Import modules of `registry` as well, and before files, inside the `with`; what is imported stays in `sys.modules`."""
    finder = _switch_on(registry)
    try:
        yield
    finally:
        _switch_off(finder)


def is_importing(registry: Mapping[str, Record]) -> bool:
    """Return whether a hook for `registry` is on."""
    return any(finder.registry is registry for finder, hook in _on)


_installed: list[RegistryFinder] = []


def install(registry: Mapping[str, Record]) -> RegistryFinder:
    """Import modules of `registry` in this process until `uninstall()`. HookError if one is installed already."""
    if _installed:
        raise HookError(f"persistmod is installed already, for {_installed[0].registry!r}; uninstall() it first")
    _installed.append(_switch_on(registry))
    return _installed[-1]


def installed() -> Mapping[str, Record] | None:
    """Return the registry that is installed, None if there is none."""
    return _installed[-1].registry if _installed else None


def uninstall() -> None:
    """Take the hook away again; modules that are imported stay. HookError if it is not installed."""
    if not _installed:
        raise HookError("persistmod is not installed; install(registry) comes first")
    _switch_off(_installed.pop())
