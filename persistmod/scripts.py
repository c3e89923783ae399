"""Which files of a directory are scripts: reading a directory that is mounted.

Every `.py` file is one, whatever its name, tests aside (`test_X.py`, `X_test.py`, `X_unittest.py`, and pytest's `conftest.py`); every
directory that holds some, at any depth, is a namespace and needs a name that can be imported. Hidden directories belong to tools.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path

from persistmod.errors import StorageError
from persistmod.trees import tested_by


@dataclass(slots=True)
class Scripts:
    """What a directory holds: `{path relative to it: contents}`, tests apart; `{path: why it is left out}`, or cannot be read."""

    files: dict[str, bytes] = field(default_factory=dict)
    tests: dict[str, bytes] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def is_script(path: str) -> bool:
    """Return whether a file is a script, by its path relative to the directory that is mounted, with slashes."""
    *folders, name = path.split("/")
    return name.endswith(".py") and not name.startswith(".") and not _is_test(name) and all(map(_is_name, folders))


def is_tested_by(path: str, test: str) -> bool:
    """Return whether a file of tests stands beside a script."""
    (folder, _, name), (other, _, stem) = path.rpartition("/"), test.removesuffix(".py").rpartition("/")
    return folder == other and f"{tested_by(stem)}.py" == name


def namespace_of(path: str, top: str) -> str:
    """Return the namespace of a script in a directory that is mounted at `top`; Python reads names in their normal form (PEP 3131)."""
    return ".".join((top, *(unicodedata.normalize("NFKC", folder) for folder in path.split("/")[:-1])))


def _is_test(name: str) -> bool:
    return name == "conftest.py" or (name.endswith(".py") and tested_by(name.removesuffix(".py")) is not None)


def _is_name(folder: str) -> bool:
    return folder.isidentifier() and not iskeyword(folder) and folder not in ("__pycache__", "__init__")


def read(directory: Path, *, strict: bool = True) -> Scripts:
    """Read all scripts in a directory. StorageError if it cannot be read, or a file in it, unless not strict."""
    found = Scripts()
    try:
        if not directory.is_dir():
            raise NotADirectoryError(f"{directory} is no directory")
        _read_folder(found, directory, "", frozenset((directory.resolve(),)))
    except OSError as error:
        raise StorageError(f"directory {directory} cannot be mounted: {error}") from error
    if found.unreadable and strict:
        what = "; ".join(f"{path}: {problem}" for path, problem in found.unreadable.items())
        raise StorageError(f"directory {directory} cannot be mounted: {what}")
    return found


def _read_folder(found: Scripts, folder: Path, place: str, seen: frozenset[Path]) -> None:
    for entry in sorted(folder.iterdir()):
        try:
            _read_entry(found, entry, f"{place}{entry.name}", seen)
        except FileNotFoundError:  # it has just gone
            continue
        except OSError as error:
            found.unreadable[f"{place}{entry.name}"] = f"it cannot be read: {error.strerror or error}"


def _read_entry(found: Scripts, entry: Path, path: str, seen: frozenset[Path]) -> None:
    if entry.is_dir() and entry.name != "__pycache__":
        problems = list(_problems(entry, seen))
        if problems:
            found.skipped[path] = problems[0]
        else:
            _read_folder(found, entry, f"{path}/", seen | {entry.resolve()})
    elif entry.is_file() and is_script(path):
        found.files[path] = entry.read_bytes()
    elif entry.is_file() and _is_test(entry.name):
        found.tests[path] = entry.read_bytes()


def _problems(folder: Path, seen: frozenset[Path]) -> Iterator[str]:
    if folder.name.startswith("."):
        yield "it is a hidden directory, which belongs to a tool"
    if not _is_name(folder.name):
        yield "its name cannot be that of a namespace"
    if folder.resolve() in seen:
        yield "it is a link to a directory around it"
