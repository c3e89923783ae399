"""Packages of the registry as files: which they are, whether a directory can hold them, writing them."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from persistmod.errors import NotRegisteredError, StorageError
from persistmod.filechanges import FileChanges
from persistmod.records import PersistentModule
from persistmod.trees import File, path_of, read_bytes


class Registry(Protocol):
    """What is needed of a registry."""

    def __contains__(self, name: object) -> bool: ...
    def __getitem__(self, name: str) -> PersistentModule: ...
    def below(self, name: str) -> list[str]: ...


def files_in(registry: Registry, name: str) -> dict[str, File]:
    """Return `{path: file}` of a package of the registry, or of a module; nothing for a name that it does not have.

    What a file holds is read from the database when it is asked for.
    """
    files = []
    for found in [name, *registry.below(name)] if name in registry else []:
        record = registry[found]
        if record.has_source:
            files.append(File(found, "", partial(_source_of, record), record.source_digest, record.is_package))
        kept = record.resources
        files += [File(found, place, partial(kept.__getitem__, place), kept.digest(place)) for place in kept]
    return {path_of(file.owner[len(name) + 1 :], file.place, file.is_package): file for file in files}


def _source_of(record: PersistentModule) -> bytes:
    return record.source_bytes


def misplaced(directory: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return `{path: why}` of files that a directory cannot hold where they belong."""
    paths = sorted(paths)
    found = {path: "it would stand outside the directory" for path in paths if _leads_out(path)}
    if _tells_case_apart(directory):
        return found
    same = defaultdict(list)
    for path in paths:
        same[path.casefold()].append(path)
    for names in same.values():
        found |= {path: f"{', '.join(names)} differ in case only, and are one file there" for path in names if len(names) > 1}
    return found


def _leads_out(path: str) -> bool:
    return "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/"))


def _tells_case_apart(directory: Path) -> bool:
    """Return whether a file system tells names in capitals from others, by what is there already."""
    there = next((folder for folder in (directory.resolve(), *directory.resolve().parents) if folder.exists()), None)
    while there is not None and there.name:
        other = there.with_name(there.name.swapcase())
        if other != there:
            return not (other.exists() and other.samefile(there))
        there = there.parent
    return True


def export(registry: Registry, directory: Path, names: Iterable[str]) -> list[str]:
    """Write modules and packages as files below a directory; see `Registry.export`."""
    files: dict[str, bytes] = {}
    for name in names:
        if name not in registry:
            raise NotRegisteredError(f"no module {name!r} in the registry", module=name)
        files |= {path_of(file.owner, file.place, file.is_package): file.data for file in files_in(registry, name).values()}
    problems = misplaced(directory, files)
    if problems:
        what = "; ".join(f"{path}: {problem}" for path, problem in problems.items())
        raise StorageError(f"{directory} cannot hold {what}; nothing was written")
    different = [path for path, data in files.items() if (directory / path).exists() and read_bytes(directory / path) != data]
    if different:
        raise StorageError(f"{directory} has other files {', '.join(sorted(different))}; nothing was written")
    changes = FileChanges(directory, {path: data for path, data in files.items() if not (directory / path).exists()})
    changes.write()
    changes.take_place()
    return sorted(files)


def diffs(before: Mapping[str, File], after: Mapping[str, File], names: tuple[str, str]) -> Iterator[bytes]:
    """Yield a unified diff of each file that differs; of what is no text it is only said that it does."""
    for path in sorted({*before, *after}):
        if path in before and path in after and before[path].digest == after[path].digest:
            continue
        old, new = (files[path].data if path in files else None for files in (before, after))
        heads = [os.fsencode(f"{name}/{path}" if data is not None else "/dev/null") for name, data in zip(names, (old, new), strict=True)]
        if b"\0" in (old or b"") + (new or b""):
            yield b"Binary files %b and %b differ\n" % (heads[0], heads[1])
            continue
        lines = difflib.diff_bytes(difflib.unified_diff, _lines(old), _lines(new), heads[0], heads[1])
        yield b"".join(lines) or b"--- %b\n+++ %b\n" % (heads[0], heads[1])


def _lines(data: bytes | None) -> list[bytes]:
    """Return lines with their ends, as `diff` counts and marks them."""
    *lines, last = (data or b"").split(b"\n")
    return [line + b"\n" for line in lines] + ([last + b"\n\\ No newline at end of file\n"] if last else [])
