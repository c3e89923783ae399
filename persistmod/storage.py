"""A database from a URI.

A plain path is a FileStorage; whatever has a scheme (`file://`, `memory://`, `zeo://`, `zconfig://`,
`demo:(...)/(...)`, `postgresql://` and `sqlite://` of RelStorage, and those that other packages bring) is resolved by
zodburi. Everything that can go wrong on the way to an open database becomes one `StorageError` that names the URI, without
its password, and says what to do.

FileStorage takes its lock and its files before it looks at what it opens, and keeps them when it fails. So a file is
checked first.

Two processes that open an empty database at once both make its tables and its root, and one of them fails, with whatever
error its storage has for that. `init_db` tries again, unless the error is known to have another reason.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import transaction
from transaction.interfaces import TransientError
from zc.lockfile import LockError, LockFile
from ZODB.DB import DB, getTID
from ZODB.FileStorage import FileStorage, packed_version
from ZODB.FileStorage.FileStorage import FileStorageError
from ZODB.POSException import POSKeyError, ReadOnlyError
from ZODB.utils import z64

from persistmod.errors import StorageError
from persistmod.registry import get_registry

# Two letters at least, so that a drive of Windows is no scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://|\()")

# The URIs of these have no parameter for it.
_NEVER_READ_ONLY = frozenset({"demo", "memory", "zconfig"})

# What to install for a scheme, and the schemes that RelStorage calls otherwise.
_EXTRAS = {"postgres": "persistmod[relstorage]", "sqlite": "persistmod[relstorage]", "zeo": "persistmod[zeo]",
           "mysql": "RelStorage[mysql]", "oracle": "RelStorage[oracle]"}  # fmt: skip
_SAME = {"postgresql": "postgres"}

# Seconds: between the attempts of `init_db`, and how long others may take to open an SQLite database.
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_PATIENCE = 20

_PASSWORD = re.compile(r"(://[^:/?@]*:)[^/?]*(?=@)|([?&]password=)[^&]*")

_TRANSACTION_ID = re.compile(r"(?:0x)?([0-9a-fA-F]{16})")


def open_db(uri: str, at: str | datetime | None = None, *, read_only: bool = False, create: bool = True) -> Any:
    """Open the ZODB database at `uri`, a plain path or a URI that zodburi knows.

    `at` is an ISO time (UTC unless it says otherwise) or a transaction id in hex: every connection then reads the
    database as it was, and cannot write. `create=False` refuses to make a FileStorage that does not exist, as do `at`
    and `read_only`. Raises `StorageError`.
    """
    with _masking_password(uri):
        moment = None if at is None else parse_moment(uri, at)
        if moment is None:
            return _open(uri, read_only, create, DB)
        return _open_past(uri, moment)


def init_db(uri: str) -> bool:
    """Make an empty database with a registry; return False if there is one already. Other processes may do the same meanwhile.

    Raises `StorageError` as `open_db` does.
    """
    for wait in _WAITS:
        try:
            return _init(uri)
        except (StorageError, TransientError) as err:
            if not _may_be_a_race(err):
                raise
            time.sleep(wait * random.uniform(0.5, 1))
    return _init(uri)


def _init(uri: str) -> bool:
    db = open_db(uri)
    # A manager of its own, not to join the transaction of the thread.
    manager = transaction.TransactionManager()
    try:
        registry = get_registry(db.open(manager))
        registry._p_activate()
        is_new: bool = registry._p_serial == z64
        manager.get().note("persistmod init")
        manager.commit()
        return is_new
    finally:
        manager.abort()
        db.close()


def _may_be_a_race(err: Exception) -> bool:
    cause = err.__cause__ if isinstance(err, StorageError) else err
    if cause is None or _find_reason(cause):
        return isinstance(cause, LockError)
    # What drivers of databases raise is a DatabaseError of their own (PEP 249).
    return isinstance(cause, TransientError) or any(cls.__name__ == "DatabaseError" for cls in type(cause).__mro__)


def mask_password(uri: str) -> str:
    """Return a URI as it may be shown."""
    return _PASSWORD.sub(r"\1\2***", uri)


@contextlib.contextmanager
def _masking_password(uri: str) -> Iterator[None]:
    try:
        yield
    except StorageError as err:
        masked = mask_password(uri)
        if masked == uri:
            raise
        raise StorageError(str(err).replace(uri, masked)) from err.__cause__


def can_be_read_only(uri: str) -> bool:
    """Say whether `open_db(uri, read_only=True)` is possible."""
    return _get_scheme(uri) not in _NEVER_READ_ONLY


def _open(uri: str, read_only: bool, create: bool, factory: Any) -> Any:
    if read_only and not can_be_read_only(uri):
        raise StorageError(f"cannot open {uri} for reading only: a {_get_scheme(uri)!r} URI has no such parameter")
    _check_file(uri, read_only, create)
    _check_folder(uri, create)
    with _explaining(uri), _alone(uri):
        return _open_checked(uri, read_only, factory)


def _open_checked(uri: str, read_only: bool, factory: Any) -> Any:
    storage, keywords = _open_storage(uri, read_only)
    try:
        if read_only and not storage.isReadOnly():
            raise StorageError(f"cannot open {uri} for reading only: its storage allows writes whatever the URI says")
        return factory(storage, **keywords)
    except BaseException:
        storage.close()
        raise


def _open_storage(uri: str, read_only: bool) -> tuple[Any, dict[str, Any]]:
    if not _get_scheme(uri):
        return FileStorage(uri, read_only=read_only), {}
    make_storage, keywords = _resolve(uri + ("&" if "?" in uri else "?") + "read_only=1" if read_only else uri)
    return make_storage(), keywords


def _with_defaults(uri: str) -> str:
    """Let the cache of RelStorage keep Packs, each of which is bigger than what it keeps by default."""
    if not uri.startswith(("postgres:", "sqlite:")) or "cache_local_object_max=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}cache_local_object_max=1MB"


def _is_complete(uri: str) -> bool:
    """Say whether a URI has what its scheme needs: RelStorage takes what is missing for the text "None"."""
    parts = urlsplit(uri)
    if _get_scheme(uri) == "postgres":
        return None not in (parts.username, parts.password, parts.hostname, parts.port) and len(parts.path) > 1
    return _get_scheme(uri) != "sqlite" or "data_dir=" in parts.query


_FORMS = {"postgres": "postgresql://USER:PASSWORD@HOST:PORT/DATABASE", "sqlite": "sqlite:///?data_dir=FOLDER"}


def _resolve(uri: str) -> Any:
    # Imported late, since it looks through all installed packages, and a plain path does without.
    import zodburi

    scheme = _get_scheme(uri)
    if not _is_complete(uri):
        raise StorageError(f"cannot open {uri}: something is missing in it; it has the form {_FORMS[scheme]}")
    try:
        return zodburi.resolve_uri(_with_defaults(scheme + uri[uri.index(":") :]))
    except zodburi.NoResolverForScheme as err:
        advice = f"install {_EXTRAS[scheme]}" if scheme in _EXTRAS else "check it, or install the package that brings it"
        raise StorageError(f"cannot open {uri}: nothing here opens {scheme!r} URIs; {advice}") from err
    except zodburi.UnknownDatabaseKeywords as err:
        raise StorageError(f"cannot open {uri}: {err.args[0]}; check the part after '?'") from err


def _get_scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    scheme = match[1].lower() if match else ""
    return _SAME.get(scheme, scheme)


def _check_file(uri: str, read_only: bool, create: bool) -> None:
    path = _get_path(uri)
    if path is None:
        return
    if not os.path.exists(path):
        if read_only or not create:
            raise StorageError(f"no database at {uri}; `persistmod add` makes one")
        problem = _find_folder_problem(os.path.dirname(path) or os.curdir)
    else:
        problem = _find_file_problem(path, read_only)
    if problem:
        raise StorageError(f"cannot open {uri}: {problem}")


def _get_path(uri: str) -> str | None:
    """Return the path of the FileStorage that `uri` names, None for any other storage."""
    scheme = _get_scheme(uri)
    if not scheme:
        return uri or os.curdir
    if scheme == "file":
        return os.path.normpath(uri.split("://", 1)[1].split("?", 1)[0])
    return None


def _check_folder(uri: str, create: bool) -> None:
    folder = _get_folder(uri)
    if folder is None:
        return
    if not create and not os.path.exists(folder):
        raise StorageError(f"no database at {uri}; `persistmod add` makes one")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise StorageError(f"cannot open {uri}: {folder} is not a directory; name that of an SQLite database in data_dir")


def _get_folder(uri: str) -> str | None:
    """Return the folder of the SQLite database that `uri` names, None for any other storage."""
    return dict(parse_qsl(urlsplit(uri).query)).get("data_dir") if _get_scheme(uri) == "sqlite" else None


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Let one process at a time open an SQLite database: RelStorage makes its tables one by one, and what two make lacks rows."""
    folder = _get_folder(uri)
    if folder is None:
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with contextlib.closing(_lock(os.path.join(folder, "opening.lock"))):
        yield


def _lock(path: str) -> LockFile:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return LockFile(path)
        except LockError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _find_folder_problem(folder: str) -> str:
    if not os.path.isdir(folder):
        return f"there is no directory {folder}; make it first"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"directory {folder} cannot be written; change its permissions or choose another"
    return ""


def _find_file_problem(path: str, read_only: bool) -> str:
    if not os.path.isfile(path):
        return "it is not a file; name the file of a FileStorage, such as app.fs"
    if not os.access(path, os.R_OK):
        return "the file cannot be read; change its permissions"
    if not read_only and not os.access(path, os.W_OK):
        return "the file cannot be written; change its permissions, or open it with file://PATH?read_only=1"
    with open(path, "rb") as file:
        magic = file.read(len(packed_version))
    if magic and magic != packed_version:
        return "the file is not a FileStorage; choose another name"
    if not magic and read_only:
        return "the file is empty; `persistmod add` makes a database of it"
    return ""


@contextlib.contextmanager
def _explaining(uri: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except Exception as err:  # a storage is third-party code, and its drivers raise errors of their own
        raise StorageError(f"cannot open {uri}: {_explain(err, uri)}") from err


# What errors say of a server, by their exact types, which are named here since their packages may not be installed.
_REASONS = {
    "ZEO.Exceptions.ClientDisconnected": "no ZEO server answers there, or it has no such storage; check the URI and the server",
    "psycopg2.OperationalError": "{error}; check the server, and user, password and database in the URI",
    "relstorage.adapters.interfaces.NoDriversAvailableError": "there is no driver for it; install {package}",
    "relstorage.adapters.sqlite.drivers.UnableToConnect": "{error}; check data_dir in the URI",
    "builtins.ModuleNotFoundError": "{error}; install {package}",
}


def _explain(err: Exception, uri: str) -> str:
    reason = _find_reason(err) or ("{type}: {error}" if str(err) else "{type}; check the URI and its server")
    package = _EXTRAS.get(_get_scheme(uri), "the package that brings it")
    return " ".join(reason.format(type=type(err).__name__, error=err, package=package).split())


def _find_reason(err: BaseException) -> str:
    if isinstance(err, LockError):
        return "another process has it open; close it there, or share the database through a ZEO server (zeo://HOST:PORT)"
    if isinstance(err, ReadOnlyError):
        return "there is no database in the storage yet, and it is open for reading only"
    if isinstance(err, FileStorageError):
        return "the file is damaged ({error}); restore it from a copy, or try python -m ZODB.fsrecover"
    return _REASONS.get(f"{type(err).__module__}.{type(err).__qualname__}", "")


def parse_moment(uri: str, at: str | datetime) -> bytes:
    """Return the transaction id just after `at`, which is what ZODB takes as `before`."""
    if isinstance(at, str) and (match := _TRANSACTION_ID.fullmatch(at)):
        return bytes(getTID(bytes.fromhex(match[1]), None))
    try:
        time = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    except ValueError as err:
        raise StorageError(
            f"cannot open {uri} at {at!r}: not a time such as 2025-01-31T12:00, nor a transaction id of 16 hex digits"
        ) from err
    if time.replace(tzinfo=time.tzinfo or UTC) > datetime.now(UTC):
        raise StorageError(f"cannot open {uri} at {at}: that time is to come")
    return bytes(getTID(time, None))


def _open_past(uri: str, before: bytes) -> Any:
    db = _open(uri, can_be_read_only(uri), False, lambda storage, **keywords: _PastDB(storage, before, **keywords))
    try:
        if not getattr(db.storage, "keep_history", True):
            raise StorageError(f"cannot open {uri} in the past: its storage keeps no history")
        # A connection of its own, not to join the transaction of the thread.
        connection = db.open(transaction.TransactionManager())
        connection.root()
        connection.close()
    except POSKeyError as err:
        db.close()
        raise StorageError(f"cannot open {uri} in the past: the database begins later") from err
    except BaseException:
        db.close()
        raise
    return db


class _PastDB(DB):
    """A database whose connections read it as it was before the transaction id `before`."""

    # None while DB.__init__ looks for the root in the present.
    _before: bytes | None = None

    def __init__(self, storage: Any, before: bytes, **keywords: Any) -> None:
        super().__init__(storage, **keywords)
        # ZODB refuses times after the last transaction; nothing has happened since then.
        self._before = min(before, bytes(getTID(self.lastTransaction(), None)))

    def open(self, transaction_manager: Any = None, at: Any = None, before: Any = None) -> Any:
        if at is None and before is None:
            before = self._before
        return super().open(transaction_manager, at, before)
