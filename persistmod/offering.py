"""The sources of modules, offered to `linecache`: tracebacks and debuggers ask there."""

from __future__ import annotations

import functools
import linecache
import os
from typing import Protocol


class Record(Protocol):
    """What is needed of the record of a module."""

    @property
    def name(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def running_source(self) -> str | None: ...


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
    """Return the source that runs here, None if there is none or it cannot be read: a traceback is shown without its lines then."""
    return record.running_source
