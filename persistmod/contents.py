"""What the record of a module holds: its source, images, data files, data.                          # stored: format 1

Each is a record of its own, so that it is read and written only when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import Any

from persistent import Persistent

from persistmod.errors import DamagedRecordError
from persistmod.imaging import ImageData
from persistmod.livedata import Followed
from persistmod.state import State


class Source(Persistent):
    """The source of a module, byte for byte."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Image(Persistent):
    """What one Python keeps of a module: a cache, made again from the source where it is missing.

    `content` is (pickle, marshalled buffers, paths of persistent objects, trace) for a closed module, marshalled code for any other.
    """

    def __init__(self, image: ImageData) -> None:
        self.run = image.run
        self.reason = image.reason
        state = image.state
        self.content = image.code if state is None else (
            *(state.pickle, state.buffers, state.persistent, image.trace),
        )

    def data(self, module: str) -> ImageData:
        """Return the image as data; a record that is not what it should be is a DamagedRecordError."""
        content = self.content
        try:
            if isinstance(content, bytes):
                return ImageData(self.run, self.reason, content, None)
            opcodes, buffers, persistent, trace = content
            return ImageData(self.run, self.reason, b"", State(opcodes, buffers, persistent), trace)
        except (ValueError, EOFError, TypeError) as error:
            raise damaged(module, "its image", error) from error
        finally:
            self._p_deactivate()  # it is read once, and big

    @property
    def size(self) -> int:
        """The bytes of its content."""
        return len(self.content) if isinstance(self.content, bytes) else sum(map(len, self.content))


def damaged(module: str, what: str, cause: Exception) -> DamagedRecordError:
    """Return the error for a record that cannot be read."""
    problem = f"{what} is damaged in the database ({type(cause).__name__}: {cause})"
    advice = "restore the database, or remove the module and add it again"
    return DamagedRecordError(f"module {module!r}: {problem}; {advice}", module=module)


class Resources(Persistent):
    """The data files of a package: `{path relative to the package: Resource}`."""

    def __init__(self) -> None:
        self.files: dict[str, Resource] = {}


class Resource(Persistent):
    """One data file."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Files(Mapping[str, bytes]):
    """The data files of a package as bytes; each is read when it is asked for."""

    def __init__(self, resources: Resources | None) -> None:
        self._files = resources.files if resources is not None else {}

    def __getitem__(self, path: str) -> bytes:
        return self._files[path].data

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class Leak(Persistent):
    """Names that left the source of a module in one update, and stay: what is left of the version that last had them.

    `states`: `{tag: state}`, as they were; a Python without one runs `texts`, `{name: source of the definition}`, again.
    """

    def __init__(self, version: int, tag: str, state: State | None, texts: dict[str, str]) -> None:
        self.version = version
        self.states = {} if state is None else {tag: astuple(state)}
        self.texts = texts


class ModuleData(Followed):
    """What is not the image's: persistent objects of the body by path, and globals that changed at run time.

    `changes` is the state of the changed globals, or None, and `paths` are theirs; `removed` names globals that are gone.
    """

    def __init__(self) -> None:
        self.persistent: dict[str, Any] = {}
        self.changes: tuple[bytes, bytes, tuple[str, ...]] | None = None
        self.paths: tuple[str, ...] = ()
        self.removed: tuple[str, ...] = ()
