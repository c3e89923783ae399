"""What is measured on: packages as files with their .pyc, and the same packages in a FileStorage.

A real package is copied from where it is installed, without its tests, and compiled in the copy, so that the file
side never pays for a missing .pyc and both sides hold the same modules. Everything lives in one scratch folder and is
built once per run.
"""

from __future__ import annotations

import compileall
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import transaction

import persistmod

# packages whose `__init__` imports the rest
IMPORT_ALL = {"networkx"}

FUNCTION = '''
def task_{number}(first, second={number}, *, scale=1.5, label="task {number}"):
    """Return the scaled sum of two values under a label."""
    if first > second:
        first, second = second, first
    total = sum(value * scale for value in range(first, second, 7))
    try:
        share = total / (second - first)
    except ZeroDivisionError:
        share = 0.0
    return {{"label": label, "total": total, "share": share}}
'''

CLASS = '''
class Job_{number}(Base):
    """A job with a queue of its own."""

    limit = {number}
    states = ("new", "running", "done")

    def __init__(self, name, state="new"):
        self.name = name
        self.state = state

    @property
    def is_done(self):
        return self.state == self.states[-1]

    @classmethod
    def named(cls, name):
        return cls(name)

    def advance(self):
        self.state = self.states[min(self.states.index(self.state) + 1, len(self.states) - 1)]
        return self
'''


@dataclass(frozen=True, slots=True)
class Corpus:
    """One package on both sides: `directory` is what goes on sys.path, `database` the path or the URI of the database.

    `modules` are those that can be imported here, `reasons` why some of them are not closed.
    """

    name: str
    directory: Path
    database: Path | str
    modules: tuple[str, ...]
    reasons: dict[str, str]

    @property
    def closed(self) -> str:
        """How many of the modules are closed, in words."""
        return f"{len(self.modules) - len(self.reasons)} of {len(self.modules)} modules closed"

    @property
    def to_import(self) -> tuple[str, ...]:
        """What a process imports: the package where that brings in the rest, else each of its modules."""
        return (self.name,) if self.name in IMPORT_ALL else self.modules

    @property
    def file_bytes(self) -> tuple[int, int]:
        """The bytes of the sources, and of their .pyc files."""
        return _total(self.directory, "*.py"), _total(self.directory, "*.pyc")


@dataclass(slots=True)
class Workspace:
    """The scratch folder of one run, and what has been built in it."""

    folder: Path
    quick: bool = False
    _corpora: dict[str, Corpus] = field(default_factory=dict)

    def rounds(self, usual: int) -> int:
        """How many rounds to measure where `usual` give a steady figure."""
        return 1 if self.quick else usual

    def corpus(self, name: str) -> Corpus:
        """Return the package `name` on both sides; a quick run takes one small generated package in place of all."""
        if self.quick:
            name = "generated"
        if name not in self._corpora:
            fill = partial(_generate, modules=8, functions=10) if self.quick else FILLERS[name]
            self._corpora[name] = _build(name, self.folder / name, fill)
        return self._corpora[name]


def functions_source(count: int) -> str:
    """Return the source of a module of `count` functions."""
    return '"""Generated."""\n' + "\n".join(FUNCTION.format(number=number) for number in range(count))


def _build(name: str, folder: Path, fill: Callable[[str, Path], None]) -> Corpus:
    directory = folder / "files"
    package = directory / name
    fill(name, package)
    compileall.compile_dir(str(directory), quiet=2)
    database = folder / "app.fs"
    db = persistmod.open_db(str(database))
    try:
        with transaction.manager:
            registry = persistmod.get_registry(db.open())
            report = registry.add_tree(str(package), name)
            modules = tuple(each for each in report.added if each not in report.stored)
            reasons = {each: registry[each].run_reason for each in modules if registry[each].run == "always"}
        return Corpus(name, directory, database, modules, reasons)
    finally:
        db.close()


def _copy_installed(name: str, package: Path) -> None:
    """Copy an installed package without its tests."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the benchmarks need the package {name}: pip install persistmod[test]", name=name)
    ignored = shutil.ignore_patterns("tests", "__pycache__", "__main__.py")
    shutil.copytree(spec.submodule_search_locations[0], package, ignore=ignored)


def _generate(name: str, package: Path, *, modules: int, functions: int) -> None:
    """Write a package of closed modules that use each other."""
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Generated."""\n')
    (package / "base.py").write_text("class Base:\n    pass\n")
    for number in range(modules):
        parts = [FUNCTION.format(number=each) + CLASS.format(number=each) for each in range(functions)]
        (package / f"part_{number}.py").write_text("from .base import Base\n" + "".join(parts))


def _total(directory: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in directory.rglob(pattern))


# networkx registers most of its functions in a table of another of its modules, and the lexers of pygments share their
# tokens: their bodies run in every process. rich is ordinary code of classes, the generated package is closed throughout.
FILLERS: dict[str, Callable[[str, Path], None]] = {
    "networkx": _copy_installed,
    "pygments": _copy_installed,
    "rich": _copy_installed,
    "generated": partial(_generate, modules=200, functions=10),
}
