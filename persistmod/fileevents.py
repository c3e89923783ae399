"""Where the changes of a directory come from: the operating system, by watchfiles; or a look at all files from time to time.

What watchfiles tells may be late or missing, as on network file systems and behind links; `stamp` tells whether anything has changed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from persistmod.errors import StorageError
from persistmod.trees import is_left_out

logger = logging.getLogger("persistmod.watch")

Stamp = frozenset[tuple[str, int, int, int, int]]

_PAUSE = 0.2  # seconds between two looks at the clock


def changes_of(directory: Path, stop: threading.Event | None = None) -> Iterator[Collection[str]]:
    """Return an iterator over the paths that change, in batches; an empty batch says that time has passed.

    The first batch comes when changes are watched. A directory that is replaced is watched anew, one that is gone is waited for.
    StorageError if watchfiles is not installed.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise StorageError("watching needs the package watchfiles: pip install 'persistmod[watch]'") from error
    return _changes(watchfiles.watch, directory, stop or threading.Event())


def _changes(watch: Any, directory: Path, stop: threading.Event) -> Iterator[Collection[str]]:
    known = ""  # the problem that was logged last
    while not stop.is_set():
        try:
            yield from _changes_while_there(watch, directory, stop)
            known = ""
        except (OSError, RuntimeError) as error:  # those of watchfiles are RuntimeErrors
            if directory.is_dir() and str(error) != known:
                logger.warning("%s cannot be watched, and is looked at from time to time: %s", directory, error)
                known = str(error)
            stop.wait(_PAUSE)
            yield ()


def _changes_while_there(watch: Any, directory: Path, stop: threading.Event) -> Iterator[Collection[str]]:
    """Yield changes until another directory stands in the place."""
    identity = _identity(directory)
    first: Collection[str] = (str(directory),)
    followed = _Filter(directory)
    options = {"rust_timeout": int(_PAUSE * 1000), "yield_on_timeout": True, "ignore_permission_denied": True}
    for changes in watch(directory, watch_filter=followed, stop_event=stop, **options):
        yield first or {path for _, path in changes}
        first = ()
        if _identity(directory) != identity:
            yield (str(directory),)
            return


def _identity(directory: Path) -> tuple[int, int]:
    status = directory.stat()
    return status.st_dev, status.st_ino


class _Filter:
    """Tells which changes matter: not those of what is left out."""

    def __init__(self, directory: Path) -> None:
        self._folders = (directory, directory.resolve())

    def __call__(self, change: object, path: str) -> bool:
        for folder in self._folders:
            if Path(path).is_relative_to(folder):
                return not any(map(is_left_out, Path(path).relative_to(folder).parts))
        return True


def stamp(directory: Path) -> Stamp:
    """Return what differs if any file below a directory was changed, with its links followed."""
    found: set[tuple[str, int, int, int, int]] = set()
    pending, seen = [str(directory)], set()
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if is_left_out(entry.name):
                        continue
                    status = entry.stat()
                    identity = (status.st_dev, status.st_ino)
                    if not entry.is_dir():
                        found.add((entry.path, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
                    elif identity not in seen:
                        seen.add(identity)
                        pending.append(entry.path)
        except OSError as error:  # it has just gone, or cannot be read
            found.add((str(error.filename), error.errno or 0, 0, 0, 0))
    return frozenset(found)
