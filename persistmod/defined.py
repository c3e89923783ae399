"""The records of definitions: a function or class of a module, that any object of the database may refer to.        # stored: format 1"""

from __future__ import annotations

import types
import zlib
from typing import Any, Protocol

from persistent import Persistent

from persistmod.errors import DamagedRecordError
from persistmod.source import Slice


class Defining(Protocol):
    """What is needed of the record of the module."""

    name: str
    version: int

    @property
    def module(self) -> types.ModuleType:
        """The live module, loaded if need be."""


class Definitions(Persistent):
    """The records of a module's definitions by canonical name; written when a name comes or goes."""

    def __init__(self, records: dict[str, PersistentDefinition]) -> None:
        self.records = records


class PersistentDefinition(Persistent):
    """A definition of a module: a function or class that is bound at module level."""

    def __init__(self, module: Defining, name: str, text: Slice | None) -> None:
        self._module = module
        self.name = name
        self.version = module.version
        self.source = text.text if text else ""
        self.fingerprint = text.fingerprint if text else ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.module_name}.{self.name}>"

    @property
    def source(self) -> str:
        """The text of the definition; "" if it has none."""
        return zlib.decompress(self._compressed).decode("utf-8", "surrogatepass")

    @source.setter
    def source(self, text: str) -> None:
        self._compressed = zlib.compress(text.encode("utf-8", "surrogatepass"))

    @property
    def module_name(self) -> str:
        """The dotted name of the module."""
        return self._module.name

    def _live(self) -> Any:
        live: Any = self._module.module
        for part in self.name.split("."):
            try:
                live = getattr(live, part)
            except AttributeError as error:
                problem = f"module {self.module_name!r} has no {self.name!r} any more"
                raise DamagedRecordError(problem, module=self.module_name, name=self.name) from error
        return live


class PersistentFunction(PersistentDefinition):
    """The record of a function, or of anything callable that is no class; calling it calls the live function."""

    @property
    def function(self) -> Any:
        """The live function; the module is loaded if need be."""
        return self._live()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._live()(*arguments, **keywords)


class PersistentClass(PersistentDefinition):
    """The record of a class."""

    @property
    def cls(self) -> type:
        """The live class; the module is loaded if need be."""
        live: type = self._live()
        return live
