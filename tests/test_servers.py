"""The servers of tests and benchmarks: they start, stop, die and start again with what was committed."""

from contextlib import closing

import pytest
import transaction
from servers import KINDS, running_postgres, running_zeo

import persistmod


def put(uri, value):
    with closing(persistmod.open_db(uri)) as db, transaction.manager:
        db.open().root()["value"] = value


def get(uri):
    with closing(persistmod.open_db(uri)) as db:
        value = db.open().root().get("value")
        transaction.abort()
        return value


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_storage_is_empty_and_keeps_what_is_committed(kind, storage_uri):
    uri = storage_uri(kind)
    put(uri, 1)
    assert get(uri) == 1
    assert get(storage_uri(kind)) is None


@pytest.mark.parametrize("running", [running_zeo, running_postgres])
def test_killed_server_starts_again_on_its_port_with_what_was_committed(running):
    with running() as server:
        uri, port, first = server.new_uri(), server.port, server.process.pid
        put(uri, 1)
        server.kill()
        assert server.process is None
        server.start()
        assert server.port == port and server.process.pid != first
        assert get(uri) == 1
        server.stop()
        assert not server.is_ready()
