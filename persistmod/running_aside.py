"""Running new bodies aside: of one module, or of several that import each other.

The live modules stand aside; a finder gives each name its new body when it is imported, so that order and cycles take care of
themselves, as in a fresh process. Each body is observed on its own.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.abc import Loader, MetaPathFinder
from typing import Any

from persistmod import aside, classes, holders, imaging, imported, loading
from persistmod.aside import Observer
from persistmod.bookkeeping import Account
from persistmod.errors import BodyError, PersistmodError
from persistmod.imaging import ImageData
from persistmod.importer import importing, is_importing
from persistmod.pairing import Pair, classes_of
from persistmod.records import PersistentModule
from persistmod.repeating import Places
from persistmod.scratch import standing_aside
from persistmod.source import Body


@dataclass(slots=True)
class Target:
    """A module to be updated: its record, the live module, the new source; what of its body is known to change nothing, see `repeating`."""

    record: PersistentModule
    module: types.ModuleType
    data: bytes
    body: Body
    repeated: Places = ()


@dataclass(slots=True)
class Run:
    """A new body that ran aside: its scratch module, the image that it gives, what it made by id, the classes that it registered.

    Of a body that did not run (see `exchanging`), `pairs` are what in classes corresponds, and `has_run` is false.
    """

    target: Target
    scratch: types.ModuleType
    image: ImageData
    persistent: dict[str, Any]
    made: Account
    registered: Sequence[type] = ()
    pairs: Sequence[Pair] = ()
    has_run: bool = True


@dataclass(slots=True)
class Runs:
    """New bodies that ran aside together, by name, in the order in which they ended; `added`: modules that were imported first.

    `observers`: of all runs, those of modules that were imported first among them.
    """

    by_name: dict[str, Run] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)

    def take_back_effects(self) -> None:
        """Put back what the runs changed outside; a module that was imported and stays keeps its effects."""
        aside.take_back(self.observers, self.by_name)

    def take_back(self) -> None:
        """Put back what the runs changed outside, and the modules that they imported first."""
        for name in reversed(self.added):
            imported.forget(name, ())
        self.take_back_effects()
        for name, run in self.by_name.items():
            for cls in (cls for _, cls in classes_of(vars(run.scratch), name) if id(cls) in run.made):
                classes.leave_bases(cls)


@contextmanager
def running_aside(targets: Sequence[Target]) -> Iterator[Runs]:
    """Run new bodies; what they or the block raise takes back what they did. BodyError has as its cause what a body raised."""
    runs = Runs()
    before = set(sys.modules)
    in_order = sorted(targets, key=lambda target: loading.place_of(target.module))  # a circle of imports may work from one end only
    finder = _Finder({target.record.name: target for target in in_order}, runs)
    try:
        with (
            _hook(targets[0].record), standing_aside(finder.targets.keys()), finder.first(), aside.shared_snapshot(restorable=True),
            aside.noting_runs() as runs.observers,
        ):
            for name in finder.targets:
                if name not in runs.by_name:
                    importlib.import_module(name)
        runs.added = sorted(set(sys.modules) - before)
        yield runs
    except BaseException:
        runs.added = sorted(set(sys.modules) - before)
        runs.take_back()
        raise


def _hook(record: PersistentModule) -> contextlib.AbstractContextManager[object]:
    if record.registry is None or is_importing(record.registry):
        return contextlib.nullcontext()
    return importing(record.registry)


class _Finder(MetaPathFinder):
    """Finds the new bodies."""

    def __init__(self, targets: dict[str, Target], runs: Runs) -> None:
        self.targets, self.runs = targets, runs

    @contextmanager
    def first(self) -> Iterator[None]:
        """Be asked first inside the block."""
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        wanted = self.targets.get(fullname)
        if wanted is None:
            return None
        spec = loading.spec_of(wanted.record)
        spec.loader = _Runner(loading.assert_loader(spec), wanted, self.runs)
        return spec


class _Runner(Loader):
    """Runs one new body under observation."""

    def __init__(self, loader: Any, target: Target, runs: Runs) -> None:
        self._loader, self._target, self._runs = loader, target, runs

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        created: types.ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the body; the module has the true loader meanwhile."""
        target, spec = self._target, module.__spec__
        vars(module)["__loader__"] = self._loader
        if spec is not None:
            spec.loader = self._loader
        if target.record.script is not None:
            known = target.record.script  # what it contributed is its own, also where it leaves now
            loading.be_script(module, replace(known, contributes=known.contributes.union(target.body.slices)))
        loading.share_path(module, target.module)
        observer = Observer(target.record.name, vars(module), target.body, target.repeated)
        try:
            with observer:
                exec(target.body.code, vars(module))
            observation = observer.conclude()
            dictionaries = holders.dictionaries(observation.made or {}, vars(module))
            image, persistent = imaging.make_image(observation, target.body.code, target.record.requested_run)
            made = Account((observation.made or {}) | dictionaries)  # not before: it would be a holder of all that was made
        except BaseException as error:
            observer.take_back()
            if isinstance(error, PersistmodError | KeyboardInterrupt):
                raise
            name = target.record.name
            problem = f"module {name!r}: the new body raised {type(error).__name__}: {error}; nothing is changed"
            raise BodyError(problem, module=name) from error
        self._runs.by_name[target.record.name] = Run(target, module, image, persistent, made, observation.registered)
