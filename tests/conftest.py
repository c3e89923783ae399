"""Every test leaves the process as it was."""

import os
import signal
import sys
import types
from functools import cache

import edits
import mounts
import pytest
import transaction
from nodes import nodes  # noqa: F401
from servers import servers, storage_uri  # noqa: F401  fixtures for every test
from support import outcomes_of

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it, and so do its children


@pytest.fixture(autouse=True)
def same_process():
    """Put back what imports and chdir change, and end the transaction under way."""
    lists = {name: list(getattr(sys, name)) for name in ("path", "meta_path", "path_hooks")}
    caches = {name: dict(getattr(sys, name)) for name in ("modules", "path_importer_cache")}
    environ, folder = dict(os.environ), os.getcwd()
    yield
    transaction.abort()
    for name, before in lists.items():
        getattr(sys, name)[:] = before
    for name, before in caches.items():
        restore(getattr(sys, name), before)
    restore(os.environ, environ)
    os.chdir(folder)


@pytest.fixture
def importable():
    """Give a function that makes a module of a source, which is found under its name until the test ends."""

    def made(name, source):
        module = sys.modules[name] = types.ModuleType(name)
        exec(source, vars(module))
        return module

    return made


def restore(mapping, before):
    """Give a mapping its items again; what is there already is not touched."""
    for key in set(mapping) - set(before):
        del mapping[key]
    for key, value in before.items():
        if mapping.get(key, mapping) is not value:
            mapping[key] = value


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """Give a function from the name of a test module to a folder of its own."""
    return cache(lambda name: tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def outcomes(folder_of):
    """Give a function from the name of a test module to the outcomes of its checks; see `support`."""
    return lambda name: outcomes_of(name, folder_of(name))


@pytest.fixture(scope="session")
def edits_in(folder_of):
    """Give a function from the name of a test module to the outcomes of its edits; see `edits`."""
    return lambda name: edits.outcomes_of(name, folder_of(name))


@pytest.fixture(scope="session")
def changes_in(folder_of):
    """Give a function from the name of a test module to the outcomes of its changes of files; see `mounts`."""
    return lambda name: mounts.outcomes_of(name, folder_of(name))
