"""Data files of packages in a database, as `importlib.resources` reads them.

Files are kept by the innermost package, under their path relative to it ("templates/page.html"); a directory is there if a file in it is.
Tools see what they would see on a disk: a package shows its own files, the sources of its modules, and its subpackages as directories.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable, TraversableResources
from typing import IO, Any, Protocol


class Holder(Protocol):
    """What is needed of the record of a module or package."""

    @property
    def is_package(self) -> bool: ...
    @property
    def has_source(self) -> bool: ...
    @property
    def source_bytes(self) -> bytes: ...
    @property
    def resources(self) -> Mapping[str, bytes]: ...


class PackageFiles(Mapping[str, bytes]):
    """The files of a package by path relative to it: its own, its sources, and those of the packages below it in `registry`."""

    def __init__(self, package: str, record: Holder, registry: Mapping[str, Holder] | None = None) -> None:
        self._package = package
        self._registry = {package: record} if registry is None else registry
        self._record = record

    def __getitem__(self, path: str) -> bytes:
        for holder, rest in self._holders(path):
            if rest in holder.resources:
                return holder.resources[rest]
            if rest == "__init__.py" and holder.has_source:
                return holder.source_bytes
        module = self._registry.get(self._dotted(path.removesuffix(".py"))) if path.endswith(".py") else None
        if module is None or module.is_package:
            raise KeyError(path)
        return module.source_bytes

    def _holders(self, path: str) -> Iterator[tuple[Holder, str]]:
        """Yield (package, path relative to it) for the package and each package on the way to `path`."""
        yield self._record, path
        parts = path.split("/")
        for length in range(1, len(parts)):
            holder = self._registry.get(self._dotted("/".join(parts[:length])))
            if holder is not None and holder.is_package:
                yield holder, "/".join(parts[length:])

    def _dotted(self, path: str) -> str:
        return f"{self._package}.{path.replace('/', '.')}"

    def __iter__(self) -> Iterator[str]:
        yield from _paths(self._record, "")
        start = f"{self._package}."
        for name, holder in self._registry.items():
            if name.startswith(start):
                yield from _paths(holder, name[len(start) :].replace(".", "/"))

    def __len__(self) -> int:
        return sum(1 for path in self)

    def __contains__(self, path: object) -> bool:
        try:
            return isinstance(path, str) and self[path] is not None
        except KeyError:
            return False


def _paths(holder: Holder, place: str) -> Iterator[str]:
    """Yield the paths of what one record holds; `place` is its own path without the suffix, "" for the package itself."""
    if not holder.is_package:
        yield f"{place}.py"
        return
    prefix = f"{place}/" if place else ""
    if holder.has_source:
        yield f"{prefix}__init__.py"
    for path in holder.resources:
        yield prefix + path


class ResourceReader(TraversableResources):
    """The data files of one package."""

    def __init__(self, package: str, files: Mapping[str, bytes]) -> None:
        self._package = package
        self._files = files

    def files(self) -> Traversable:
        return ResourcePath(self._package.rpartition(".")[2], "", self._files)


class ResourcePath(Traversable):
    """A file or directory among the files of a package; `path` is relative to the package `package`, "" is the package itself."""

    def __init__(self, package: str, path: str, files: Mapping[str, bytes]) -> None:
        self._package = package
        self._path = path
        self._files = files

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        return f"{self._package}/{self._path}".rstrip("/")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourcePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2] or self._package

    def iterdir(self) -> Iterator[Traversable]:
        if self.is_file():
            raise NotADirectoryError(str(self))
        names = {path.partition("/")[0] for path in self._below()}
        if not names and self._path:
            raise self._missing()
        return (self.joinpath(name) for name in sorted(names))

    def _below(self) -> Iterator[str]:
        prefix = f"{self._path}/" if self._path else ""
        return (path[len(prefix) :] for path in self._files if path.startswith(prefix))

    def is_dir(self) -> bool:
        return not self._path or any(True for path in self._below())

    def is_file(self) -> bool:
        return self._path in self._files

    def joinpath(self, *descendants: Any) -> Traversable:
        parts = self._path.split("/") if self._path else []
        for part in "/".join(map(str, descendants)).split("/"):
            if part == "..":
                del parts[-1:]  # the package is its own root
            elif part not in ("", "."):
                parts.append(part)
        return ResourcePath(self._package, "/".join(parts), self._files)

    def __truediv__(self, child: Any) -> Traversable:
        return self.joinpath(child)

    def open(self, mode: str = "r", *arguments: Any, **keywords: Any) -> IO[Any]:
        if mode not in ("r", "rb", "rt"):
            raise ValueError(f"data files of a package in a database are read-only, not {mode!r}")
        stream = io.BytesIO(self.read_bytes())
        return stream if mode == "rb" else io.TextIOWrapper(stream, *arguments, **keywords)

    def read_bytes(self) -> bytes:
        try:
            return self._files[self._path]
        except KeyError:
            raise IsADirectoryError(str(self)) if self.is_dir() else self._missing() from None

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        with self.open("r", encoding=encoding or "utf-8", errors=errors) as stream:
            text: str = stream.read()
            return text

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(f"no file {self._path!r} in package {self._package!r} in the database")
