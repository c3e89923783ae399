"""What the record of a module holds: its source, images, data files, data.                          # stored: format 1

Each is a record of its own, so that it is read and written only when it is needed.
"""

from __future__ import annotations

import types
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import Any

from persistent import Persistent
from ZODB.POSException import POSKeyError, StateLoadError

from persistmod.errors import DamagedRecordError
from persistmod.imaging import ImageData
from persistmod.livedata import Followed
from persistmod.loading import Entry, file_name
from persistmod.source import digest_of
from persistmod.state import State


class Source(Persistent):
    """The source of a module, byte for byte; stored compressed, since it is seldom read."""

    def __init__(self, data: bytes) -> None:
        self._compressed = zlib.compress(data)

    @property
    def data(self) -> bytes:
        """The bytes of the source."""
        return zlib.decompress(self._compressed)


# An image as it is stored: run, reason, and marshalled code, or for a closed module
# (pickle, marshalled buffers, paths of persistent objects, trace).
Content = tuple[str, str, bytes | tuple[bytes, bytes, tuple[str, ...], bytes]]


def _content(image: ImageData) -> Content:
    state = image.state
    if state is None:
        return image.run, image.reason, image.code
    return image.run, image.reason, (state.pickle, state.buffers, state.persistent, image.trace)


def _image(run: str, reason: str, content: Any) -> ImageData:
    if isinstance(content, bytes):
        return ImageData(run, reason, content, None)
    opcodes, buffers, persistent, trace = content
    return ImageData(run, reason, b"", State(opcodes, buffers, persistent), trace)


def image_size(image: ImageData) -> int:
    """Return the bytes of an image."""
    state = image.state
    return len(image.code) if state is None else len(state.pickle) + len(state.buffers) + len(image.trace)


class Bases(Persistent):
    """What bodies made that run in every process: for updates, which compare with it; imports do not read it."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[Any, ...]] = {}

    def put(self, key: str, state: State) -> None:
        """Take in what a body made, before this is stored."""
        self.states[key] = astuple(state)

    def get(self, key: str, module: str) -> State | None:
        """Return what the body of a module made that was put under a key; errors as for `Image.data`."""
        try:
            return State(*self.states[key]) if key in self.states else None
        except _WRONG as error:
            raise damaged(module, "what its body made", error) from error


class Image(Persistent):
    """What one Python keeps of a module: a cache, made again from the source where it is missing."""

    bases: Bases | None = None

    def __init__(self, image: ImageData) -> None:
        self.content = _content(image)
        if image.base is not None:
            self.bases = Bases()
            self.bases.put("", image.base)

    def data(self, module: str) -> ImageData:
        """Return the image as data; a record that is not what it should be is a DamagedRecordError."""
        try:
            return _image(*self.content)
        except _WRONG as error:
            raise damaged(module, "its image", error) from error
        finally:
            self._p_deactivate()  # it is read once, and big

    def base(self, module: str) -> State | None:
        """Return what the body of a module that is not closed made when this image was made, None if that is not known."""
        return None if self.bases is None else self.bases.get("", module)


class Pack(Persistent):
    """The images of modules that were added together, read in one load; it stays as it was made.

    `images` is {module: (whether it is a package, content)}.
    """

    _v_read: set[str] | None = None
    _v_size = 0
    bases: Bases | None = None

    def __init__(self) -> None:
        self.images: dict[str, tuple[bool, Content]] = {}

    def has_room(self, image: ImageData) -> bool:
        """Return whether one more image leaves a pack that is read in one go; there is always room for the first."""
        return not self.images or self._v_size + image_size(image) <= _FULL

    def put(self, module: str, is_package: bool, image: ImageData, base: State | None) -> None:
        """Take the image of a module in, before the pack is stored, and what its body made, if that is known and it is not closed."""
        self.images[module] = (is_package, _content(image))
        self._v_size += image_size(image)
        if base is not None:
            self.bases = self.bases or Bases()
            self.bases.put(module, base)

    def base(self, module: str) -> State | None:
        """Return what the body of a module made, as for `Image.base`."""
        return None if self.bases is None else self.bases.get(module, module)

    def data(self, module: str) -> ImageData:
        """Return the image of a module as data; errors as for `Image.data`."""
        return self._read(module)[1]

    def entry(self, module: str) -> Entry:
        """Return all that an import of a module needs."""
        is_package, image = self._read(module)
        return Entry(module, file_name(module, is_package), is_package, True, image, self)

    def _read(self, module: str) -> tuple[bool, ImageData]:
        try:
            is_package, content = self.images[module]
            image = _image(*content)
        except _WRONG as error:
            raise damaged(module, "its image", error) from error
        self._let_go_after(module)
        return is_package, image

    def _let_go_after(self, module: str) -> None:
        """Become a ghost when the last module has been read: an import of a whole package needs no image twice."""
        read = self._v_read = self._v_read or set()
        read.add(module)
        if len(read) >= len(self.images):
            self._p_deactivate()


_FULL = 512 * 1024
_WRONG = (AttributeError, KeyError, TypeError, ValueError, EOFError)  # what reading a record that is none of ours raises
DAMAGE = (StateLoadError, POSKeyError, *_WRONG)  # what reading a damaged record raises; a storage that is away is no damage


def damaged(module: str, what: str, cause: Exception) -> DamagedRecordError:
    """Return the error for a record that cannot be read."""
    problem = f"{what} is damaged in the database ({type(cause).__name__}: {cause})"
    advice = "restore the database, or remove the module and add it again"
    return DamagedRecordError(f"module {module!r}: {problem}; {advice}", module=module)


class Resources(Persistent):
    """The data files of a package: `{path relative to the package: Resource}`, and the digests of those that have one."""

    digests: Mapping[str, str] = types.MappingProxyType({})

    def __init__(self) -> None:
        self.files: dict[str, Resource] = {}

    def change(self, files: Mapping[str, bytes | None]) -> None:
        """Take other files, `{path: bytes, or None to remove it}`."""
        new = {path: data for path, data in files.items() if data is not None}
        kept = self.files.keys() - files.keys()
        self.files = {path: file for path, file in self.files.items() if path in kept} | {path: Resource(new[path]) for path in new}
        self.digests = {path: self.digests[path] for path in kept if path in self.digests} | {path: digest_of(new[path]) for path in new}


class Resource(Persistent):
    """One data file."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Files(Mapping[str, bytes]):
    """The data files of a package as bytes; each is read when it is asked for."""

    def __init__(self, resources: Resources | None) -> None:
        self._files = resources.files if resources is not None else {}
        self._digests = resources.digests if resources is not None else {}

    def __getitem__(self, path: str) -> bytes:
        return self._files[path].data

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def digest(self, path: str) -> str:
        """Return the digest of a file, which is read only if its record has none."""
        return self._digests.get(path) or digest_of(self[path])


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
