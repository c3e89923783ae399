"""`init`: an empty database is made once, whoever begins, however many do."""

import pytest
from servers import KINDS, running_postgres

from persistmod.errors import StorageError
from persistmod.storage import init_db


@pytest.mark.parametrize("kind", KINDS)
def test_database_is_made_once(kind, storage_uri, nodes):
    uri = storage_uri(kind)
    assert init_db(uri) is True
    assert init_db(uri) is False
    node = nodes(uri)
    assert node("list(registry), connection.root()['persistmod'] is registry") == ([], True)


def test_server_that_is_not_there_is_refused_at_once(monkeypatch):
    with running_postgres() as server:
        uri = server.new_uri()
    monkeypatch.setattr("time.sleep", None)  # to wait would fail
    with pytest.raises(StorageError, match="Connection refused"):
        init_db(uri)


def test_database_with_data_and_modules_keeps_them(storage_uri, nodes):
    uri = storage_uri("file")
    node = nodes(uri)
    node("connection.root()['value'] = 1; registry.add('shop', 'n = 1'); transaction.commit()")
    node.close()
    assert init_db(uri) is False
    assert nodes(uri)("connection.root()['value'], list(registry)") == (1, ["shop"])


@pytest.mark.parametrize("kind", KINDS)
def test_many_that_begin_at_once_all_end_with_one_database(kind, storage_uri, nodes):
    starters = [nodes() for number in range(3)]
    for uri in [storage_uri(kind) for number in range(5)]:
        for starter in starters:
            starter.begin("from persistmod.storage import init_db; init_db(uri)", uri=uri)
        assert sorted(starter.end() for starter in starters) == [False, False, True]
        assert nodes(uri)("len(registry)") == 0
