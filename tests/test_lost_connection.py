"""A storage that fails at any one of the loads of an import, or of the following of a version: nothing is half done, and it works later."""

import contextlib
import logging
import sys

import pytest
import transaction
from deployed import Deployed
from processes import Database
from psycopg2 import OperationalError
from ZEO.Exceptions import ClientDisconnected

import persistmod

PACK = {
    "pack": "from persistent import Persistent\nLIMIT = {0}\nclass Item(Persistent):\n    version = {0}\nITEM = Item()\ncount = 0\n",
    "pack.part": "import sys\nMODULES = len(sys.modules)\ndef f():\n    return {0}\ndef only_{0}():\n    return {0}\n",
    "pack.user": "from pack import ITEM, LIMIT, part\nTABLE = [LIMIT, [LIMIT]]\ndef f():\n    return part.f(), TABLE[1][0]\n",
}
NAMES = tuple(PACK)


def version(number):
    return {name: text.format(number) for name, text in PACK.items()}


def versions_seen():
    pack, part, user = (sys.modules[name] for name in NAMES)
    return {pack.LIMIT, pack.Item.version, type(pack.ITEM).version, part.f(), *user.f(), type(user.ITEM).version, user.TABLE[0]}


class Loads:
    """Counts the loads of a storage, and fails at one of them."""

    def __init__(self, db):
        self._load, db.storage.loadBefore = db.storage.loadBefore, self
        self.count, self._failing, self._error = 0, 0, None

    def fail_at(self, number, error):
        self.count, self._failing, self._error = 0, number, error

    def __call__(self, oid, tid):
        self.count += 1
        if self._failing and self.count >= self._failing:
            raise self._error("the connection is lost")
        return self._load(oid, tid)


@pytest.fixture(params=[ClientDisconnected, OperationalError])
def error(request):
    return request.param


@pytest.fixture
def deployed(tmp_path):
    """Two versions of a package; the first one is current."""
    deployed = Deployed(tmp_path, version(1), version(2))
    yield deployed
    with contextlib.suppress(persistmod.HookError):
        persistmod.uninstall()
    transaction.abort()
    deployed.close()


@pytest.fixture
def changed(deployed, tmp_path):
    """The same; one module has data that changed, and one no image for this Python."""
    deployed.db.close()
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        import pack

        pack.count = 7
        transaction.commit()
        record = registry["pack.part"]
        record.take_source(record.source_bytes)
        registry.unlist("pack.part")
        transaction.commit()
    deployed.reopen()
    return deployed


def test_import(changed, error):
    loads = Loads(changed.db)
    for number in range(1, 100):
        changed.db.cacheMinimize()
        persistmod.install(changed.db)
        loads.fail_at(number, error)
        try:
            import pack.user
        except error as raised:
            assert str(raised) == "the connection is lost"
        else:
            break
        for name in set(NAMES) & sys.modules.keys():
            assert not sys.modules[name].__spec__._initializing and "LIMIT" in vars(sys.modules["pack"])
        loads.fail_at(0, None)
        import pack.user

        assert (versions_seen(), pack.count, persistmod.status().modules.keys()) == ({1}, 7, {*NAMES})
        persistmod.uninstall()
        changed.forget()
    assert number > 8


def test_following(deployed, error, caplog):
    persistmod.install(deployed.db)
    deployed.open()
    import pack.user

    loads, held, failed = Loads(deployed.db), (pack.part.f, pack.user.f, pack.Item), []
    for number in range(1, 100):
        deployed.deploy()
        deployed.db.cacheMinimize()
        loads.fail_at(number, error)
        caplog.clear()
        transaction.begin()
        if loads.count < number:
            break
        failed.append(bool(persistmod.status().failures))
        if failed[-1]:  # else it was a load that nothing depends on
            assert (versions_seen(), held[0](), held[1](), held[2].version) == ({1}, 1, (1, 1), 1)
            assert any("the connection is lost" in text for text in persistmod.status().failures.values())
            assert [record for record in caplog.records if record.levelno == logging.ERROR and "goes on" in record.getMessage()]
        loads.fail_at(0, None)
        transaction.begin()
        assert (versions_seen(), held[0](), held[1](), held[2].version) == ({2}, 2, (2, 2), 2)
        assert persistmod.status().failures == {}
        deployed.take_back()
        transaction.begin()
        assert versions_seen() == {1}
    assert sum(failed) > 15


def test_lost_connection_is_no_damage(deployed, error):
    loads = Loads(deployed.db)
    with contextlib.closing(deployed.db.open()) as connection:
        registry = persistmod.get_registry(connection)
        record = registry["pack"]
        assert record.version == 1
        for read in (lambda: record.source, registry.verify):
            connection.cacheMinimize()
            loads.fail_at(1, error)
            with pytest.raises(error):
                read()
            loads.fail_at(0, None)
        assert record.source == version(1)["pack"]


def test_commit_has_not_failed_when_the_connection_is_lost_afterwards(deployed, error, monkeypatch):
    """What follows the end of a transaction fails: that is no error of the transaction, and the next one can begin."""
    persistmod.install(deployed.db)
    connection = deployed.open()
    import pack.user  # noqa: F401

    code, boundaries = persistmod.serving._current[0]

    def fail():
        raise error("the connection is lost")

    connection.root()["n"] = 1
    deployed.deploy()
    with monkeypatch.context() as patch:
        patch.setattr(code.scout._storage, "poll_invalidations", fail)
        transaction.commit()
        with pytest.raises(error):
            transaction.begin()
        transaction.abort()
    transaction.begin()
    assert (versions_seen(), connection.root()["n"]) == ({2}, 1)


def test_abort_without_connection_is_made_up_for(tmp_path, error):
    """Data that were marked and cannot be read at the abort are read at the next boundary."""
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        record = registry.add("app", "TABLE = [1]\n")
        transaction.commit()
        import app

        app.TABLE.append(2)
        record._p_changed = True
        transaction.commit()
        app.TABLE.append(3)
        record._p_changed = True
        loads = Loads(registry._p_jar.db())
        registry._p_jar.cacheMinimize()
        loads.fail_at(1, error)
        transaction.abort()
        assert loads.count
        loads.fail_at(0, None)
        transaction.begin()
        transaction.abort()
        assert app.TABLE == [1, 2]
