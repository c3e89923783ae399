"""The sources of modules, offered to `linecache`: tracebacks and debuggers ask there."""

from __future__ import annotations

import functools
import linecache
import os
from typing import Protocol

from ZODB.POSException import POSError

from persistmod.source import to_text


class Record(Protocol):
    """What is needed of the record of a module."""

    @property
    def name(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def has_source(self) -> bool: ...
    @property
    def running_source(self) -> bytes: ...


def offer_source(record: Record, filename: str) -> None:
    """Let `linecache` find the source also without the module at hand, as debuggers ask, which make file names absolute."""
    entry = (functools.partial(text_of, record),)
    for path in (filename, os.path.abspath(filename)):
        linecache.cache[path] = entry  # a lazy entry, as linecache.lazycache makes it


def withdraw_source(record: Record) -> None:
    """Take back what `offer_source` offered, if nobody has offered another source since."""
    for path in (record.filename, os.path.abspath(record.filename)):
        getter = linecache.cache.get(path, (None,))[0]
        if isinstance(getter, functools.partial) and getter.args == (record,):
            del linecache.cache[path]


def text_of(record: Record) -> str | None:
    """Return the source; where it cannot be read OSError, which `linecache` expects."""
    try:
        return to_text(record.running_source, record.name) if record.has_source else None
    except POSError as error:
        raise OSError(f"the source of {record.name} cannot be read: {error}") from error
