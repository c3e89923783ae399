"""Files that are written and removed by the commit of a transaction, all or none.

They are written beside their places when the transaction votes, which fails if they cannot be, and take them when it has been decided.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persistmod.errors import StorageError

_LONGEST = 50  # characters of a name in that of the file beside it: file systems take 255 bytes


class FileChanges:
    """`{path relative to the folder: bytes, or None to remove it}`; the data manager of one transaction, once it has joined that."""

    transaction_manager: Any = None

    def __init__(self, folder: Path, changes: Mapping[str, bytes | None]) -> None:
        self._folder = folder
        self._changes = dict(changes)
        self._written: dict[Path, str] = {}  # where each file is until it takes its place
        self._made: list[Path] = []  # directories that were made for them

    def join(self, manager: Any) -> None:
        """Have the changes made by the commit of the transaction under way."""
        self.transaction_manager = manager
        manager.get().join(self)

    def write(self) -> None:
        """Write all files beside their places; StorageError if one cannot be written, and then none is."""
        try:
            for relative, data in self._changes.items():
                if data is not None:
                    self._write(self._place(relative), data)
        except OSError as error:
            self.forget()
            raise StorageError(f"{self._folder}: a file cannot be written: {error}; nothing is changed") from error

    def _place(self, relative: str) -> Path:
        """Return where a file stands: what is a link stays one."""
        path = self._folder / relative
        return path.resolve() if path.is_symlink() else path

    def _write(self, path: Path, data: bytes) -> None:
        self._made += [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_LONGEST]}.", suffix=".new")
        self._written[path] = name
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())

    def take_place(self) -> None:
        """Put what was written into its places, and remove what is to be removed."""
        for path, name in self._written.items():
            os.replace(name, path)
        self._written, self._made = {}, []
        for relative in [relative for relative, data in self._changes.items() if data is None]:
            path = self._folder / relative
            path.unlink(missing_ok=True)
            self._remove_empty(path.parent)

    def forget(self) -> None:
        """Remove what was written, and the directories that were made for it."""
        for name in self._written.values():
            os.unlink(name)
        for folder in sorted(set(self._made), reverse=True):
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        self._written, self._made = {}, []

    def _remove_empty(self, folder: Path) -> None:
        """Remove directories that the removal of a file has left empty, but not the one that is kept in step."""
        while folder != self._folder and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    # The data manager

    def savepoint(self) -> _Point:
        """Return the point in the transaction from which the changes stand, whatever is rolled back to it."""
        return _Point()

    def abort(self, transaction: Any) -> None:
        self._changes = {}

    def tpc_begin(self, transaction: Any) -> None:
        """Nothing is written before the vote."""

    def commit(self, transaction: Any) -> None:
        """Nothing is written before the vote."""

    def tpc_vote(self, transaction: Any) -> None:
        self.write()

    def tpc_finish(self, transaction: Any) -> None:
        self.take_place()

    def tpc_abort(self, transaction: Any) -> None:
        self.forget()

    def sortKey(self) -> str:
        return "~persistmod.files"


class _Point:
    """A savepoint after which nothing of this data manager is taken back: an earlier one aborts it whole."""

    def rollback(self) -> None:
        """The changes stand."""


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
