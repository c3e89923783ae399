"""The records: what a module is in the database.                                         # stored: format 1

    PersistentModule ── _source ──> Source           the bytes of the source; read when somebody asks for them
                     ── _images ──> {tag: Image | Pack}  one per Python: the state of a closed module, the code of any other
                                          ── bases ──> Bases  what bodies made that run always; read by updates
                     ── _definitions ──> Definitions {canonical name: PersistentFunction | PersistentClass}
                     ── _data ──> ModuleData         what a closed module changed at run time, and its persistent objects
                     ── _resources ──> Resources     data files of a package

An import reads the module and its image; where the registry lists the image, in a Pack with others, it does not read the module.
A `PersistentFunction` or `PersistentClass` is written only when that definition changes. Any record may be stored anywhere in the database
and gives its live object.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple
from functools import partial
from typing import Any

from ZODB.POSException import POSError

from persistmod import datastate, following, imaging, livedata, loading, pickling, repeating
from persistmod.contents import DAMAGE, Files, Image, Leak, ModuleData, Pack, Resources, Source, damaged, image_size
from persistmod.defined import Definitions, PersistentClass, PersistentDefinition, PersistentFunction
from persistmod.errors import DamagedRecordError
from persistmod.following import Version
from persistmod.images import Imaged, Listing
from persistmod.imaging import ImageData
from persistmod.importer import importing, is_importing
from persistmod.loading import file_name
from persistmod.namespace import definitions
from persistmod.source import Body, Slice, compile_source, current_tag, digest_of, to_text
from persistmod.state import State
from persistmod.watching import is_there


class PersistentModule(Imaged):
    """The record of a module.

    `name`, `version`, `is_package`, `requested_run` and `registry` (None if it is in none) are plain attributes.
    """

    is_removed = False  # from its registry
    before: Any = None  # source and images of the version before, for processes that still run it: a pack removes only older ones
    _v_body: Body | None = None
    _v_seen_at: object = None  # the state of all code when the body was last seen to change nothing; see `repeating`
    _v_image: ImageData | None = None  # while a version is followed
    _digest = ""  # of the source

    def __init__(self, name: str, source: bytes | None, *, package: bool = False, filename: str | None = None, run: str = "auto") -> None:
        self.name = name
        self.version = 1
        self.is_package = package
        self.requested_run = run
        self._filename = filename
        self.registry: Listing | None = None
        self._source: Source | None = None
        if source is not None:
            self.keep_source(source)
        self._images = {}
        self._definitions: Definitions | None = None
        self._data: ModuleData | None = None
        self._resources: Resources | None = None
        self.leaks: dict[str, Leak] = {}
        self.versions: tuple[Version, ...] = ()

    def __repr__(self) -> str:
        return f"<{'PersistentPackage' if self.is_package else 'PersistentModule'} {self.name}>"

    # The source

    @property
    def filename(self) -> str:
        """The file name that code of the module goes by."""
        return self._filename or file_name(self.name, self.is_package)

    @property
    def has_source(self) -> bool:
        """False for a namespace package."""
        return self._source is not None

    @property
    def source_bytes(self) -> bytes:
        """The source as it was given."""
        try:
            return b"" if self._source is None else self._source.data
        except DAMAGE as error:
            raise damaged(self.name, "its source", error) from error

    @property
    def source_digest(self) -> str:
        """The digest of the source, which is read only if the record has none."""
        return self._digest or digest_of(self.source_bytes)

    def keep_source(self, data: bytes) -> None:
        """Store another source, without what goes with it."""
        self._source, self._digest = Source(data), digest_of(data)

    @property
    def source(self) -> str:
        """The text of the source."""
        return to_text(self.source_bytes, self.name)

    @property
    def running_source(self) -> str | None:
        """The source of the version that runs in this process; a newer one may be in the database that cannot be applied here.

        None if there is none, or it cannot be read, since the connection is closed, say: a traceback is shown without its lines then.
        """
        try:
            is_behind = livedata.version_of(self) == self.version - 1
            source = self.before[0] if is_behind and self.before is not None and self.before[0] is not None else self._source
            return None if source is None else to_text(self.source_bytes if source is self._source else source.data, self.name)
        except POSError:
            return None

    def take_source(self, data: bytes) -> None:
        """Take another source, of which nothing is known yet; for a module that is not live."""
        self.version += 1
        self.keep_source(data)
        self._images, self._v_body, self._v_seen_at = {}, None, None

    def body(self) -> Body:
        """Return the source, compiled; kept until `define` has used it; after an update until the record is a ghost."""
        body = self._v_body
        if body is None:
            body = self._v_body = compile_source(self.source_bytes, self.name, self.filename)
        return body

    @property
    def resources(self) -> Files:
        """The data files of a package: `{path relative to the package: bytes}`."""
        return Files(self._resources)

    def change_resources(self, files: Mapping[str, bytes | None]) -> None:
        """Change data files of a package: `{path relative to it: bytes, or None to remove it}`."""
        if files:
            self._resources = self._resources or Resources()
            self._resources.change(files)

    # The images

    @property
    def size(self) -> int:
        """The bytes of the source and of the image of the running Python."""
        image = self._any_image()
        return len(self.source_bytes) + (image_size(image) if image is not None else 0)

    def keep_image(self, tag: str, image: ImageData, persistent: dict[str, Any]) -> None:
        """Store an image, unless the database is read-only; persistent objects that are known by their path are kept."""
        if self._p_jar is not None and self._p_jar.isReadOnly():
            return
        self._images = {**self._images, tag: Image(image)}
        self.keep_persistent(persistent)

    def keep_persistent(self, persistent: dict[str, Any]) -> None:
        """Store persistent objects that the body made by their paths; those that are known already stay."""
        if persistent:
            data = self._writable_data()
            data.persistent = {**persistent, **data.persistent}

    @property
    def has_more(self) -> bool:
        """Whether an import needs more of the record than its images."""
        return self._data is not None or self._filename is not None or bool(self.leaks or self.versions or self.script)

    def persistent_object(self, path: str) -> Any:
        """Return the persistent object that the body made at a path."""
        if self._data is None:
            raise KeyError(path)
        return self._data.persistent[path]

    def _writable_data(self) -> ModuleData:
        if self._data is None:
            self._data = ModuleData()
            self._unlist(self.tags)
        return self._data

    def loaded(self, module: types.ModuleType, image: ImageData) -> None:
        """Take over what left the source and what data changed since, in a module that has just been made from this record; watch it."""
        self.restore_leaks(module)
        if image.state is not None:
            data, removed = self.stored_data()
            datastate.put(vars(module), data)
            for name in removed:
                vars(module).pop(name, None)
        self.watch(module, image.state is not None)

    # Versions

    def restore_leaks(self, module: types.ModuleType) -> None:
        """Bind what left the source and is still kept, as it was when it left; what refers to other leaks comes after them.

        What refers to a leak of a module that is being loaded still is tried again after that.
        """
        error = following.restore_leaks(self.leaks, vars(module))
        if error is not None and self._p_jar is None:
            raise error
        if error is not None:
            livedata.of(self._p_jar).waiting.append(partial(self.restore_leaks, module))

    def follow(self, module: types.ModuleType, known: Any, base: Image | Pack | None, others: Sequence[tuple[Any, ...]] = ()) -> None:
        """Give the live module this version; `known` is the log of the one that it has, `base` what holds its image.

        `others`: (record, module, known, base) of what follows with it.
        """
        every = ((self, module, known, base), *others)
        with importing(self.registry) if self.registry is not None and not is_importing(self.registry) else nullcontext():
            following.follow([record._follower(live, log, holder) for record, live, log, holder in every])
        for record, live, _, _ in every:
            record.restore_leaks(live)
        datastate.in_turn([partial(record._put_data, live) for record, live, _, _ in every])
        for record, live, _, _ in every:
            loading.has_followed(live, record)
            repeating.note_change()

    def _put_data(self, live: types.ModuleType) -> None:
        datastate.put(vars(live), self.stored_data()[0])

    def read_ahead(self) -> None:
        """Read what following a version reads when the first thing has been written: whatever cannot be read is known before."""
        parts: tuple[Any, ...] = (*self.leaks.values(), self._data)
        for part in filter(None, parts):
            part._p_activate()
        self._v_image = self.image(current_tag())

    def has_state(self) -> bool:
        """Return whether the running Python loads the module from its state: it is closed."""
        image = self._v_image or self.image(current_tag())
        return image is not None and image.state is not None

    def take_over(self, module: types.ModuleType) -> None:
        """Have a live module belong to this record, which another connection has made or changed."""
        loading.hand_over(module, self)

    def _follower(self, module: types.ModuleType, known: Any, base: Image | Pack | None) -> following.Follower:
        self.read_ahead()
        image = self._v_image or imaging.always(self.body().code, "")
        edit = following.edit_between(known, self.versions)
        spec = loading.spec_of(self)
        apart = following.apart_between(known, self.versions)
        made_from = partial(self._made_from, base, vars(module))
        return following.Follower(self.name, module, image, self.body, self.persistent_object, spec, edit, self.leaks, made_from, apart)

    def watch(self, module: types.ModuleType, is_closed: bool) -> None:
        """Have new versions followed, and the data of a closed module saved and taken back with the transactions of the connection."""
        if self._p_jar is not None:
            seen = (self.image_holder(), self.data_serial(), self.stored_paths(), self.version, self.leaks)
            livedata.of(self._p_jar).watch(self.name, self, module, is_closed, *seen)

    # Data at run time

    def data_serial(self) -> tuple[object, ...]:
        """Return what changes whenever the stored data change; the persistent objects that are read for it are in it."""
        if self._data is None:
            return (self.versions,)
        self._data._p_activate()
        return self.versions, self._data, self._data._p_serial

    def stored_paths(self) -> tuple[str, ...]:
        """Return the paths of the values that are stored apart from the image."""
        return self._data.paths if self._data is not None else ()

    def stored_data(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return ({path: value} as stored apart from the image, names that are gone)."""
        if self._data is None:
            return {}, ()
        data: dict[str, Any] = {}
        if self._data.changes is not None:
            try:
                pickling.load(State(*self._data.changes), data, self.persistent_object)
            except (ImportError, AttributeError) as error:
                problem = f"its stored data refer to what is not there (yet): {error}"
                raise DamagedRecordError(f"module {self.name!r}: {problem}", module=self.name) from error
        return data, self._data.removed

    def base_data(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """Return `{path: value}` of the data that the body made, as copies; definitions in them are those of the live module."""
        scratch = self._scratch(namespace)
        dump = datastate.dump_data(self.name, datastate.all_data(scratch, self.name), scratch)
        data: dict[str, Any] = {}
        pickling.load(dump.state, data, dump.persistent.__getitem__)
        return data

    def is_base_data(self, data: dict[str, Any], namespace: dict[str, Any]) -> bool:
        """Return whether `{path: value}` of a live namespace are what the body made."""
        scratch = self._scratch(namespace)
        base = datastate.mutable_data(scratch, self.name)
        if base.keys() != data.keys():
            return False
        first, second = (datastate.dump_data(self.name, {path: found[path] for path in data}, whole) for found, whole in
                         ((base, scratch), (data, namespace)))
        return first.state == second.state

    def base_namespace(self, namespace: dict[str, Any]) -> dict[str, Any] | None:
        """Return a namespace as the body filled it when it last ran, None if that is not known."""
        return self._made_from(self.image_holder(), namespace)

    def _made_from(self, holder: Image | Pack | None, namespace: dict[str, Any]) -> dict[str, Any] | None:
        if holder is None or not is_there(holder):
            return None
        try:
            state = holder.data(self.name).state or holder.base(self.name)
        except (DamagedRecordError, *DAMAGE):
            return None
        if self._data is not None:
            self._data._p_activate()  # here, where a storage that fails is an error
        try:
            return None if state is None else self._scratch(namespace, state)
        except Exception:  # the image refers to what other modules have no more
            return None

    def _scratch(self, namespace: dict[str, Any], state: State | None = None) -> dict[str, Any]:
        """Return a namespace filled from a state, its image's if none is given; the live module's import attributes are in it, too."""
        scratch = {name: value for name, value in namespace.items() if name.startswith("__")}
        image = self._v_image or self.image(current_tag()) if state is None else None
        state = state if image is None else image.state
        if state is not None:
            pickling.load(state, scratch, self.persistent_object)
        return scratch

    def save_data(
        self, data: dict[str, Any], live: dict[str, Any], removed: tuple[str, ...], is_data: datastate.IsData = lambda module, name: False
    ) -> None:
        """Store `{path: value}` apart from the image; `live` is the namespace of the module, `removed` are names that are gone."""
        dump = datastate.dump_data(self.name, data, live, is_data)
        record = self._writable_data()
        record.changes, record.paths, record.removed = astuple(dump.state), tuple(data), removed
        if dump.persistent:
            record.persistent = {**record.persistent, **dump.persistent}

    # Live objects

    @property
    def module(self) -> types.ModuleType:
        """The live module, loaded if need be; what it imports is found in its registry, too."""
        if self.registry is None or is_importing(self.registry):
            return loading.load_module(self)
        with importing(self.registry):
            return loading.load_module(self)

    # Definitions

    @property
    def definitions(self) -> Mapping[str, PersistentDefinition]:
        """`{canonical name: record}` of the module's definitions."""
        return types.MappingProxyType(self._definitions.records if self._definitions is not None else {})

    def define(self, namespace: dict[str, Any], module_name: str) -> None:
        """Make or renew the records of the definitions in the namespace of the live module."""
        slices = self.body().slices
        records = {
            name: self._definition(name, value, slices.get(name)) for name, value in definitions(namespace, module_name).items()
        }
        if self._definitions is None or records != self._definitions.records:
            self._definitions = Definitions(records)
        self._v_body = None

    def _definition(self, name: str, value: Any, text: Slice | None) -> PersistentDefinition:
        kind = PersistentClass if isinstance(value, type) else PersistentFunction
        known = self.definitions.get(name)
        if type(known) is kind and known.fingerprint == (text.fingerprint if text else ""):
            return known
        return kind(self, name, text)
