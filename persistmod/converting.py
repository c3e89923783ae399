"""`convert`: from a module that is imported the ordinary way to its record.

The live module is not touched. Its source runs once more aside, in a namespace of its own, to be observed; what that run changes outside
is put back. A module without source is judged by the walk and the proof alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from persistmod import datastate, imaging, loading, proving
from persistmod.aside import Observer, shared_snapshot
from persistmod.errors import ConversionError, NotRegisteredError
from persistmod.imaging import ImageData
from persistmod.live import in_sys_modules
from persistmod.namespace import check_name
from persistmod.proving import payload_of
from persistmod.records import PersistentModule
from persistmod.registry import Registry
from persistmod.source import current_tag


def convert(
    module: types.ModuleType | str, *, registry: Registry | None = None, run: str = "auto"
) -> PersistentModule:
    """Make the record of a module that is imported, and of its definitions; the live module stays as it is.

    `module`: the module or its name. With `registry` it is registered under its name. `run` as in `Registry.add`.
    Raises ConversionError for what is no module of Python source, NameTakenError if the registry has the name. Nothing is committed.
    """
    with loading.collector_off():
        return _convert(_live(module), registry, run)


def _convert(live: types.ModuleType, registry: Registry | None, run: str) -> PersistentModule:
    name = live.__name__
    check_name(name)
    record = PersistentModule(name, _source_of(live), package=hasattr(live, "__path__"), run=run)
    if registry is not None:
        registry.check(record)
    with proving.Prover(partial(_payload, record, registry)) as prover:
        image, persistent = _image(live, record, run, prover)
    record.keep_image(current_tag(), image, persistent)
    record.define(vars(live), name)
    loading.bind(live, record)
    if registry is not None:
        registry.register(record)
        record.watch(live, image.state is not None)
    return record


def _live(module: types.ModuleType | str) -> types.ModuleType:
    if isinstance(module, str):
        return importlib.import_module(module)
    if not isinstance(module, types.ModuleType):
        raise TypeError(f"convert: {module!r} is neither a module nor the name of one")
    if sys.modules.get(module.__name__) is not module:
        raise NotRegisteredError(f"module {module.__name__!r} is not in sys.modules; import it first", module=module.__name__)
    return module


def _source_of(module: types.ModuleType) -> bytes:
    """Return the source of a live module, byte for byte where it has a file."""
    loader: Any = getattr(module.__spec__, "loader", None)
    try:
        filename = loader.get_filename(module.__name__)
        if filename.endswith(".py"):
            data: bytes = loader.get_data(filename)
            return data
        source = loader.get_source(module.__name__)
    except (AttributeError, ImportError, OSError):
        source = None
    if source is None:
        problem = "it has no Python source; extension modules and modules made by hand stay what they are"
        raise ConversionError(f"module {module.__name__!r}: {problem}", module=module.__name__)
    text: str = source
    return text.encode("utf-8")


def _image(
    live: types.ModuleType, record: PersistentModule, run: str, prover: proving.Prover
) -> tuple[ImageData, dict[str, Any]]:
    code = record.body().code
    with _aside(live, record) as scratch, shared_snapshot(restorable=True):
        observer = Observer(record.name, vars(scratch), record.body())
        try:
            with observer:
                exec(code, vars(scratch))
        except Exception as error:  # the body may raise anything; then it is not known what it does
            observer.take_back()
            return imaging.always(code, f"its body cannot be run aside: {type(error).__name__}: {error}"), {}
        image, persistent = imaging.make_image(observer.conclude(), code, run)
        observer.take_back()
        if image.state is None:
            return image, persistent
        problem = _keep_live_data(record, vars(scratch), vars(live), persistent)
    if problem is None:
        record.keep_image(current_tag(), image, {})
        problem = prover.prove(record.name)
    return (image, persistent) if problem is None else (imaging.always(code, problem, image.state), {})


def _keep_live_data(
    record: PersistentModule, scratch: dict[str, Any], live: dict[str, Any], persistent: dict[str, Any]
) -> str | None:
    """Store what the live module's data have become since its body ran; return why they cannot be stored, None if they can.

    The persistent objects of the live module take the places of those that the run aside made.
    """
    name = record.name
    base = datastate.all_data(scratch, name)
    try:
        data = datastate.own_data(datastate.all_data(live, name), name, live)
        made = datastate.dump_data(name, base, scratch)
        current = datastate.dump_data(name, {**base, **data}, live)
    except ConversionError as error:
        return f"its data cannot be stored: {str(error).removeprefix(f'module {name!r}: ')}"
    persistent.update({path: value for path, value in current.persistent.items() if path in persistent})
    if made.state != current.state:
        record.save_data(data, live, tuple(name for name in scratch if name not in live))
    return None


@contextmanager
def _aside(live: types.ModuleType, record: PersistentModule) -> Iterator[types.ModuleType]:
    """Give a module like the live one before its body ran; it stands in `sys.modules` inside the block."""
    scratch = importlib.util.module_from_spec(loading.spec_of(record))
    if record.is_package:
        scratch.__path__ = live.__path__
    with in_sys_modules(scratch, record.name):
        yield scratch


def _payload(record: PersistentModule, registry: Registry | None, name: str) -> proving.Payload | None:
    """Return what the proof of the module of `record` finds under a name."""
    if name == record.name:
        return payload_of(record)
    if registry is not None and name in registry:
        return payload_of(registry[name])
    return _payload_of_sibling(name, record.name)


def _payload_of_sibling(name: str, converted: str) -> proving.Payload | None:
    """Return a module of the same package that is not converted yet, as the code that it is: the proof is of one module alone."""
    module = sys.modules.get(name)
    if module is None or name.partition(".")[0] != converted.partition(".")[0]:
        return None
    try:
        return payload_of(PersistentModule(name, _source_of(module), package=hasattr(module, "__path__"), run="always"))
    except ConversionError:
        return None
