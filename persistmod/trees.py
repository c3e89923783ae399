"""Reading a directory: which files are modules, which are data, which cannot be kept.

A directory with `__init__.py` is a package; one without is a namespace package if there are modules in it or below, else it holds data
files of the package around it. Where a file and a directory claim one module name, Python's own order decides: package, module, namespace
package. Nothing is imported or compiled here.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path

from persistmod.errors import InvalidNameError, StorageError
from persistmod.source import digest_of

_EXTENSIONS = (".so", ".pyd", ".dll", ".dylib")
_COMPILED = (".pyc", ".pyo")
# What editors keep beside a file while they work on it, and `filechanges` until a commit is through.
_TEST = re.compile(r"test_(?P<a>.+)|(?P<b>.+)_(?:unittest|test)")
_SCRATCH = re.compile(r".*~|\.#.*|#.*#|\..*\.sw[a-z]|\..*\.new")
_READINGS = 3


@dataclass(frozen=True, slots=True)
class Module:
    """A module of a tree; `source` is None for a namespace package."""

    name: str
    source: bytes | None
    is_package: bool


@dataclass(slots=True)
class Tree:
    """What a directory holds: modules, packages first; `{package: {relative path: data}}`; `{path: why it cannot be kept}`.

    `unreadable`: `{path relative to the directory: why}` of files and directories of which it is not known what they hold.
    """

    name: str
    modules: list[Module] = field(default_factory=list)
    resources: dict[str, dict[str, bytes]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(slots=True)
class File:
    """A file of a tree: the source of module `owner`, or a data file at `place` in package `owner`.

    `content` is what it holds, or what reads that; files are compared by their digests.
    """

    owner: str
    place: str
    content: bytes | Callable[[], bytes]
    known_digest: str = ""
    is_package: bool = False

    @property
    def is_module(self) -> bool:
        return not self.place

    @property
    def data(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()

    @property
    def digest(self) -> str:
        if not self.known_digest:
            self.known_digest = digest_of(self.data)
        return self.known_digest


def path_of(owner: str, place: str, is_package: bool) -> str:
    """Return where a file stands below the directory that `owner`, a dotted name, begins in."""
    folder = owner.replace(".", "/")
    if place or is_package:
        return posixpath.join(folder, place or "__init__.py")
    return f"{folder}.py"


def files_of(tree: Tree) -> dict[str, File]:
    """Return `{path relative to the directory: file}` of a tree that was read from a directory."""
    files = [File(module.name, "", module.source, is_package=module.is_package) for module in tree.modules if module.source is not None]
    files += [File(package, place, data) for package, found in tree.resources.items() for place, data in found.items()]
    return {path_of(file.owner[len(tree.name) + 1 :], file.place, file.is_package): file for file in files}


def read(path: Path, name: str | None = None, *, strict: bool = True) -> Tree:
    """Read a module file or a directory; InvalidNameError if it has no name to go by.

    StorageError names all that cannot be read; if not strict, they stand in the tree.
    """
    tree = Tree(name or (path.resolve().stem if path.is_file() else path.resolve().name), folder=path)
    if not all(map(_is_name, tree.name.split("."))):
        raise InvalidNameError(f"{path}: {tree.name!r} cannot be the name of a module; give it a name", module=tree.name)
    with _noting(tree, path):
        if path.is_dir():
            _read_package(tree, path, tree.name, (path.resolve(),))
        else:
            tree.modules.append(Module(tree.name, read_bytes(path), False))
    if tree.unreadable and strict:
        what = "; ".join(f"{path / place} cannot be read: {problem}" for place, problem in tree.unreadable.items())
        raise StorageError(f"module {tree.name!r}: {what}", module=tree.name)
    return tree


@contextmanager
def _noting(tree: Tree, path: Path, *, may_vanish: bool = False) -> Iterator[None]:
    """Note that what a path holds is not known if the block cannot read it; what has vanished meanwhile is not there."""
    try:
        yield
    except OSError as error:
        if not (may_vanish and isinstance(error, FileNotFoundError)):
            tree.unreadable[str(path.relative_to(tree.folder))] = error.strerror or str(error)


def read_bytes(path: Path) -> bytes:
    """Return what a file holds; OSError if it cannot be read, or does not stay the same while it is."""
    for _ in range(_READINGS):
        with open(path, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            return data
    raise OSError(f"{path} changes while it is read")


def _is_name(text: str) -> bool:
    return text.isidentifier() and not iskeyword(text) and text != "__init__"


def _read_package(tree: Tree, folder: Path, name: str, around: tuple[Path, ...]) -> None:
    """Read a package; `around` are the directories around it and itself, with links followed."""
    init = folder / "__init__.py"
    source = None
    with _noting(tree, init, may_vanish=True):
        source = read_bytes(init) if init.is_file() else None
    tree.modules.append(Module(name, source, True))
    for entry in _entries(tree, folder, around):
        with _noting(tree, entry.path, may_vanish=True):
            if entry.folder is not None:
                _read_directory(tree, entry.path, name, (*around, entry.folder))
            elif entry.path != init:
                _read_file(tree, entry.path, name)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands in a directory: a file, or a `folder`, which is where it really is."""

    path: Path
    folder: Path | None


def _entries(tree: Tree, folder: Path, around: tuple[Path, ...]) -> Iterator[_Entry]:
    """Yield the files of a directory, then its directories, each in order; note what is left out, caches, scratch, broken links aside."""
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not is_left_out(entry.name) and _is_there(entry)]
    for entry in sorted(entries, key=lambda entry: (entry.is_dir(), entry.name)):
        path = folder / entry.name
        real = (path.resolve() if entry.is_symlink() else around[-1] / entry.name) if entry.is_dir() else None
        problem = _problem(entry, real, around)
        if problem:
            tree.skipped[str(path)] = problem
        elif path.suffix not in _COMPILED:
            yield _Entry(path, real)


def _is_there(entry: os.DirEntry[str]) -> bool:
    """Return whether a name leads anywhere; only a link may not."""
    return not entry.is_symlink() or Path(entry).exists()


def tested_by(stem: str) -> str | None:
    """Return the stem of the file that a file of tests stands beside, None for what is no such file."""
    match = _TEST.fullmatch(stem)
    return None if match is None else match["a"] or match["b"]


def is_left_out(name: str) -> bool:
    """Return whether a file or directory of this name is left out without a word."""
    return name == "__pycache__" or _SCRATCH.fullmatch(name) is not None


def _problem(entry: os.DirEntry[str], folder: Path | None, around: tuple[Path, ...]) -> str:
    """Return why a file or directory cannot be kept, "" if it can; `folder` is where a directory really is."""
    if folder is not None:
        if entry.name.startswith("."):
            return "it is a hidden directory, which belongs to a tool"
        return "it is a link to a directory around it" if folder in around else ""
    if not entry.is_file():
        return "it is neither a file nor a directory"
    return "it is machine code, which is loaded from files only" if entry.name.endswith(_EXTENSIONS) else ""


def _read_directory(tree: Tree, folder: Path, package: str, around: tuple[Path, ...]) -> None:
    if _is_package(folder):
        _read_package(tree, folder, f"{package}.{folder.name}", around)
    else:
        _read_data(tree, folder, package, folder.name, around)


def _is_package(folder: Path) -> bool:
    if not _is_name(folder.name):
        return False
    return (folder / "__init__.py").is_file() or (_has_modules(folder) and not folder.with_suffix(".py").is_file())


def _has_modules(folder: Path) -> bool:
    return any(
        name.endswith(".py") and name[:-3].isidentifier() for path, folders, names in os.walk(folder) for name in names
    )


def _read_file(tree: Tree, file: Path, package: str) -> None:
    if file.suffix != ".py" or not _is_name(file.stem):
        _keep(tree, file, package, file.name)
    elif os.path.isfile(f"{file.parent}/{file.stem}/__init__.py"):
        tree.skipped[str(file)] = "a package of the same name stands beside it"
    else:
        tree.modules.append(Module(f"{package}.{file.stem}", read_bytes(file), False))


def _read_data(tree: Tree, folder: Path, package: str, place: str, around: tuple[Path, ...]) -> None:
    """Keep all files below a directory as data; `place` is its path relative to the package."""
    for entry in _entries(tree, folder, around):
        path = f"{place}/{entry.path.name}"
        with _noting(tree, entry.path, may_vanish=True):
            if entry.folder is not None:
                _read_data(tree, entry.path, package, path, (*around, entry.folder))
            else:
                _keep(tree, entry.path, package, path)


def _keep(tree: Tree, file: Path, package: str, path: str) -> None:
    tree.resources.setdefault(package, {})[path] = read_bytes(file)
