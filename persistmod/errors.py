"""The exception tree.

Every error of persistmod is a `PersistmodError` and also the built-in exception that a caller would catch in its place. Each carries the
name of the module it is about (`module`) and, where there is one, the canonical name of the definition or value (`name`).
"""

from __future__ import annotations

from typing import Any

from transaction.interfaces import TransientError


class PersistmodError(Exception):
    """The base of all errors of persistmod.

    `module` is the dotted name of the module concerned, `name` the canonical name or path inside it; either may be "". `paths`: the scripts
    of a mount that an error is about, by their files; the first of them would do.
    """

    paths: tuple[str, ...] = ()
    name: Any  # str; ImportError has the name, too, and allows None

    def __init__(self, message: str = "", *, module: str = "", name: str = "") -> None:
        super().__init__(message)
        self.module = module
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        # What C keeps (the name of an ImportError, the place of a SyntaxError) does not stand in the __dict__.
        kept = {name: getattr(self, name) for name in _KEPT_IN_C if getattr(self, name, None) is not None}
        return (_restore_error, (type(self), self.args, {**self.__dict__, **kept}))


def _restore_error(cls: type[PersistmodError], args: tuple[Any, ...], state: dict[str, Any]) -> PersistmodError:
    error = cls.__new__(cls, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


_KEPT_IN_C = ("name", "filename", "lineno", "offset", "text", "msg")


class ConversionError(PersistmodError, TypeError):
    """A value cannot be stored; `name` is the path to it."""


class InvalidNameError(PersistmodError, ValueError):
    """A module name is not a dotted sequence of identifiers, or names a place where no module can be."""


class NameTakenError(PersistmodError, ValueError):
    """A module of that name is already registered."""


class NotRegisteredError(PersistmodError, KeyError):
    """No module of that name is registered."""

    # KeyError shows the repr of its argument, which spoils a sentence.
    __str__ = Exception.__str__


class SourceError(PersistmodError, SyntaxError):
    """A source cannot be decoded or compiled; `filename`, `lineno`, `offset` and `text` are those of the cause where it has them."""

    __str__ = Exception.__str__


class BodyError(PersistmodError, ImportError):
    """The body of a module raised; `__cause__` is what it raised."""


class UpdateError(PersistmodError, ValueError):
    """An update is refused, with nothing changed; `plan` says what was in the way."""

    def __init__(self, message: str = "", *, module: str = "", name: str = "", plan: Any = None) -> None:
        super().__init__(message, module=module, name=name)
        self.plan = plan


class GateError(UpdateError):
    """Checks have refused changes, with nothing changed; `reports` says what each of them said."""

    def __init__(self, message: str = "", *, module: str = "", name: str = "", plan: Any = None, reports: Any = ()) -> None:
        super().__init__(message, module=module, name=name, plan=plan)
        self.reports = reports


class StorageError(PersistmodError, OSError):
    """A database cannot be opened or written."""

    __str__ = Exception.__str__


class SyncError(PersistmodError, ValueError):
    """A directory and the registry cannot be brought in step without a decision; nothing is changed."""


class DamagedRecordError(PersistmodError, ImportError):
    """A record in the database cannot be read."""


class OtherModuleError(PersistmodError, ImportError):
    """The live module of a name is not the one that the database has under that name."""


class HookError(PersistmodError, TypeError):
    """The import hook is installed already, or not installed."""


class QuiesceError(PersistmodError, TransientError, TimeoutError):
    """Transactions did not end in time for code to be applied between them; abort, and try again."""

    __str__ = Exception.__str__


class ShadowedWarning(UserWarning):
    """A module was added that every process imports from its file before it can open a database."""


class NotStorable(Exception):
    """Why one value cannot be stored; the walk adds the path and raises ConversionError."""
