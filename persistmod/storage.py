"""A database from a URI.

A plain path is a FileStorage; whatever has a scheme (`file://`, `memory://`, `zeo://`, `zconfig://`,
`demo:(...)/(...)`, and those that other packages bring) is resolved by zodburi. Everything that can go wrong on the way
to an open database becomes one `StorageError` that names the URI and says what to do.

FileStorage takes its lock and its files before it looks at what it opens, and keeps them when it fails. So a file is
checked first.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import transaction
from zc.lockfile import LockError
from ZODB.DB import DB, getTID
from ZODB.FileStorage import FileStorage, packed_version
from ZODB.FileStorage.FileStorage import FileStorageError
from ZODB.POSException import POSKeyError, ReadOnlyError

from persistmod.errors import StorageError

# Two letters at least, so that a drive of Windows is no scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://|\()")

# The URIs of these have no parameter for it.
_NEVER_READ_ONLY = frozenset({"demo", "memory", "zconfig"})

_TRANSACTION_ID = re.compile(r"(?:0x)?([0-9a-fA-F]{16})")


def open_db(uri: str, at: str | datetime | None = None, *, read_only: bool = False, create: bool = True) -> Any:
    """Open the ZODB database at `uri`, a plain path or a URI that zodburi knows.

    `at` is an ISO time (UTC unless it says otherwise) or a transaction id in hex: every connection then reads the
    database as it was, and cannot write. `create=False` refuses to make a FileStorage that does not exist, as do `at`
    and `read_only`. Raises `StorageError`.
    """
    moment = None if at is None else _parse_moment(uri, at)
    if moment is None:
        return _open(uri, read_only, create, DB)
    return _open_past(uri, moment)


def can_be_read_only(uri: str) -> bool:
    """Say whether `open_db(uri, read_only=True)` is possible."""
    return _get_scheme(uri) not in _NEVER_READ_ONLY


def _open(uri: str, read_only: bool, create: bool, factory: Any) -> Any:
    if read_only and not can_be_read_only(uri):
        raise StorageError(f"cannot open {uri} for reading only: a {_get_scheme(uri)!r} URI has no such parameter")
    _check_file(uri, read_only, create)
    with _explaining(uri):
        storage, keywords = _open_storage(uri, read_only)
    try:
        if read_only and not storage.isReadOnly():
            raise StorageError(f"cannot open {uri} for reading only: its storage allows writes whatever the URI says")
        with _explaining(uri):
            return factory(storage, **keywords)
    except BaseException:
        storage.close()
        raise


def _open_storage(uri: str, read_only: bool) -> tuple[Any, dict[str, Any]]:
    if not _get_scheme(uri):
        return FileStorage(uri, read_only=read_only), {}
    make_storage, keywords = _resolve(uri + ("&" if "?" in uri else "?") + "read_only=1" if read_only else uri)
    return make_storage(), keywords


def _resolve(uri: str) -> Any:
    # Imported late, since it looks through all installed packages, and a plain path does without.
    import zodburi

    try:
        return zodburi.resolve_uri(uri)
    except zodburi.NoResolverForScheme as err:
        scheme = _get_scheme(uri)
        raise StorageError(
            f"cannot open {uri}: nothing here opens {scheme!r} URIs; check it, or install the package that brings it"
        ) from err
    except zodburi.UnknownDatabaseKeywords as err:
        raise StorageError(f"cannot open {uri}: {err.args[0]}; check the part after '?'") from err


def _get_scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


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
        raise StorageError(f"cannot open {uri}: {_explain(err)}") from err


def _explain(err: Exception) -> str:
    if isinstance(err, LockError):
        return "another process has it open; close it there, or share the database through a ZEO server (zeo://HOST:PORT)"
    if isinstance(err, ReadOnlyError):
        return "there is no database in the storage yet, and it is open for reading only"
    if isinstance(err, FileStorageError):
        return f"the file is damaged ({err}); restore it from a copy, or try python -m ZODB.fsrecover"
    return f"{type(err).__name__}: {err}" if str(err) else f"{type(err).__name__}; check the URI and its server"


def _parse_moment(uri: str, at: str | datetime) -> bytes:
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
        # A connection of its own, not to join the transaction of the thread.
        connection = db.open(transaction.TransactionManager())
        connection.root()
        connection.close()
    except POSKeyError as err:
        db.close()
        raise StorageError(f"cannot open {uri} in the past: the database begins later") from err
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
