"""Storages of every kind that a URI names, for tests: servers run once per session, every test gets an empty database.

`storage_uri(kind)`, a fixture, gives the URI of an empty database of one of `KINDS`. What is not installed fails. A test that kills a
server starts one of its own: `running_zeo`, `running_postgres`.
"""

from contextlib import ExitStack
from functools import cached_property
from itertools import count

import pytest

from benchmarks.servers import running_postgres, running_zeo

KINDS = ("file", "zeo", "postgresql", "postgresql-history-free", "sqlite")
SERVED = tuple(kind for kind in KINDS if kind != "file")  # those that several processes open for writing
WITH_HISTORY = tuple(kind for kind in KINDS if kind != "postgresql-history-free")

__all__ = ["KINDS", "SERVED", "WITH_HISTORY", "Servers", "running_postgres", "running_zeo", "servers", "storage_uri"]


class Servers:
    """The servers of a session, each started when a test first needs it."""

    def __init__(self, stack):
        self._stack = stack

    @cached_property
    def zeo(self):
        return self._stack.enter_context(running_zeo(storages=200))

    @cached_property
    def postgres(self):
        return self._stack.enter_context(running_postgres())

    def uri(self, kind, folder):
        """Return the URI of an empty database; `folder` is where one that lives in files goes."""
        if kind == "file":
            return str(folder / "app.fs")
        if kind == "sqlite":
            return f"sqlite:///?data_dir={folder}/app.sqlite"
        if kind == "zeo":
            return self.zeo.new_uri()
        return self.postgres.new_uri("&keep_history=0" if kind == "postgresql-history-free" else "")


@pytest.fixture(scope="session")
def servers():
    """Give the servers of the session."""
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def storage_uri(servers, tmp_path):
    """Give a function from a kind of storage to the URI of an empty database, another one each time."""
    numbers = count(1)

    def make_uri(kind):
        folder = tmp_path / f"storage{next(numbers)}"
        folder.mkdir()
        return servers.uri(kind, folder)

    return make_uri
