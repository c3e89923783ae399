"""Updates taken back by an abort, the rollback of a savepoint, an undo: live objects and records are what the database says."""

import sys

import guestbook
import pytest
import snapshots
import transaction
from processes import Database
from test_update_faults import CLIENT, HANDLERS, NAMES, NEW, NEW_CLIENT, OLD

import persistmod

SOURCES = {"app": NEW, "client": NEW_CLIENT}
PROGRAM = """
import app, client
print(app.price(1), app.Cart.limit, app.RATE, client.small.total(), app.points[0].__slots__, hasattr(app, "gone"))
"""
AS_OLD = "2 3 2 1 ('x', 'y') True"
AS_NEW = "4 4 3 2 ('x', 'y', 'z') True"


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path)


@pytest.fixture
def app(database):
    """Give the registry with the modules committed."""
    with database.open() as registry, persistmod.importing(registry):
        registry.add("handlers", HANDLERS)
        registry.add("app", OLD)
        registry.add("client", CLIENT)
        transaction.commit()
        sys.modules["app"].price.seen = "by a client"
        yield registry


def state():
    app, client = sys.modules["app"], sys.modules["client"]
    slots = app.points[0].__slots__
    return f"{app.price(1)} {app.Cart.limit} {app.RATE} {client.small.total()} {slots} {hasattr(app, 'gone')}"


def records(registry):
    return [(registry[name].version, registry[name].source, registry[name].definitions.keys()) for name in NAMES]


def take(registry):
    return snapshots.take(NAMES, registry._p_jar)


def assert_same(before, registry):
    assert snapshots.changes(before, take(registry)) == []


def assert_update_works(registry, database):
    """Assert that an update works, is committed, and is found by a fresh process."""
    registry.update_many(SOURCES)
    assert state() == AS_NEW
    transaction.commit()
    registry._p_jar.db().close()
    assert database.run(PROGRAM) == AS_NEW + "\n"


def options_of(removed, mode="update"):
    return {"removed": removed, "mode": mode}


@pytest.mark.parametrize("options", [{}, {"removed": "delete"}, {"mode": "overwrite"}], ids=["leak", "delete", "overwrite"])
def test_abort(app, database, options):
    before = take(app)
    for _ in range(2):
        app.update_many(SOURCES, **options)
        transaction.abort()
        assert_same(before, app)
        assert state() == AS_OLD
    assert_update_works(app, database)


NEW_ONE = """
import app
import client
import guestbook
app.RATES = [app.RATE]
app.points.append(app.RATE)
client.Small.extra = lambda self: "extra"
guestbook.entries.append(app.Cart)
"""


@pytest.mark.parametrize("way", ["abort", "rollback"])
@pytest.mark.parametrize("sources", [SOURCES, {}], ids=["with updates", "alone"])
def test_what_the_body_of_a_new_module_did_to_others_is_taken_back(app, database, sources, way):
    before, entries = take(app), list(guestbook.entries)
    for _ in range(2):
        savepoint = transaction.savepoint()
        app.update_many(sources | {"other": NEW_ONE})
        rate = sys.modules["app"].RATE
        assert (sys.modules["app"].RATES, sys.modules["app"].points[-1], guestbook.entries[-1]) == ([rate], rate, sys.modules["app"].Cart)
        savepoint.rollback() if way == "rollback" else transaction.abort()
        assert_same(before, app)
        assert guestbook.entries == entries and "other" not in sys.modules
    assert_update_works(app, database)


def test_abort_of_several_updates(app, database):
    before = take(app)
    persistmod.update("app", OLD.replace("RATE = 2", "RATE = 5"))
    app.update_many(SOURCES)
    persistmod.update("app", NEW.replace("RATE = 3", "RATE = 7"))
    assert sys.modules["app"].RATE == 7
    transaction.abort()
    assert_same(before, app)
    assert_update_works(app, database)


def test_commit_after_an_abort_stores_nothing(app):
    last = app._p_jar.db().lastTransaction()
    app.update_many(SOURCES)
    transaction.abort()
    transaction.commit()
    assert app._p_jar.db().lastTransaction() == last


def test_savepoint_before_an_update(app, database):
    before = take(app)
    savepoint = transaction.savepoint()
    app.update_many(SOURCES)
    savepoint.rollback()
    assert_same(before, app)
    app.update_many(SOURCES)
    savepoint.rollback()
    assert_same(before, app)
    assert_update_works(app, database)


def test_abort_after_a_rollback_takes_back_what_came_later(app, database):
    before = take(app)
    savepoint = transaction.savepoint()
    app.update_many(SOURCES)
    savepoint.rollback()
    app.update_many(SOURCES)
    transaction.abort()
    assert_same(before, app)
    assert_update_works(app, database)


def test_savepoint_between_updates(app, database):
    first = OLD.replace("RATE = 2", "RATE = 5")
    persistmod.update("app", first)
    savepoint = transaction.savepoint()
    between, known = take(app), records(app)
    for _ in range(2):
        app.update_many(SOURCES)
        assert app["app"].version == 3
        savepoint.rollback()
        assert records(app) == known and app["app"].version == 2
        assert snapshots.changes(between, take(app)) == []
    transaction.commit()
    assert app["app"].source == first and sys.modules["app"].RATE == 5
    assert_update_works(app, database)


def test_abort_after_savepoints(app, database):
    before = take(app)
    persistmod.update("app", OLD.replace("RATE = 2", "RATE = 5"))
    savepoint = transaction.savepoint()
    app.update_many(SOURCES)
    transaction.savepoint()
    savepoint.rollback()
    persistmod.update("app", OLD.replace("RATE = 2", "RATE = 6"))
    transaction.abort()
    assert_same(before, app)
    assert_update_works(app, database)


def test_savepoint_after_an_update_is_kept_by_the_commit(app, database):
    app.update_many(SOURCES)
    savepoint = transaction.savepoint()
    persistmod.update("app", NEW.replace("RATE = 3", "RATE = 8"))
    savepoint.rollback()
    assert state() == AS_NEW
    transaction.commit()
    app._p_jar.db().close()
    assert database.run(PROGRAM) == AS_NEW + "\n"


def test_module_that_is_added_updated_and_aborted(app):
    app.add("young", "def f(): return 1\n")
    persistmod.update("young", "def f(): return 2\n")
    savepoint = transaction.savepoint()
    persistmod.update("young", "def f(): return 3\n")
    savepoint.rollback()
    young = sys.modules["young"]
    assert young.f() == 2 and app["young"].version == 2
    transaction.abort()
    assert "young" not in app and "young" not in sys.modules and young.f() == 1


class Refusing:
    """A data manager that objects to the commit."""

    transaction_manager = transaction.manager

    def tpc_vote(self, transaction):
        raise RuntimeError("no")

    def nothing(self, transaction):
        """Nothing to do."""

    tpc_begin = commit = tpc_finish = tpc_abort = abort = nothing

    def sortKey(self):
        return "~~"


def fail_to_commit():
    transaction.get().join(Refusing())
    with pytest.raises(RuntimeError):
        transaction.commit()


def test_failed_commit_takes_the_update_back(app, database):
    before = take(app)
    app.update_many(SOURCES)
    fail_to_commit()
    transaction.abort()
    assert_same(before, app)
    assert_update_works(app, database)


def test_update_in_a_transaction_that_has_failed_leaves_nothing(app):
    before = take(app)
    fail_to_commit()
    with pytest.raises(transaction.interfaces.TransactionFailedError):
        app.update_many(SOURCES)
    assert state() == AS_OLD
    transaction.abort()
    assert_same(before, app)


COUNTER = """
n = 0
items = []
def tick():
    global n
    n += 1
    return n
"""


@pytest.mark.parametrize("marked", [False, True])
def test_data_that_changed_before_and_after_the_update_are_taken_back_with_it(app, database, marked):
    record = app.add("counter", COUNTER)
    assert record.run == "once"
    transaction.commit()
    counter = sys.modules["counter"]
    counter.tick()
    counter.items.append(1)
    record._p_changed = marked
    persistmod.update("counter", COUNTER.replace("n += 1", "n += 10"))
    counter.tick()
    assert counter.n == 11
    transaction.abort()
    assert counter.n == 0 and counter.items == ([] if marked else [1]) and counter.tick() == 1
    transaction.commit()
    app._p_jar.db().close()
    assert database.run("import counter; print(counter.n, counter.tick())") == "1 2\n"


def undo_last(registry):
    db = registry._p_jar.db()
    db.undo(db.undoLog(0, 1)[0]["id"])
    transaction.commit()


@pytest.mark.parametrize("removed", ["leak", "delete"])
def test_undo_of_the_commit(app, database, removed):
    price, cart = sys.modules["app"].price, sys.modules["app"].cart
    app.update_many(SOURCES, removed=removed)
    transaction.commit()
    assert price(1) == 4
    undo_last(app)
    assert state() == AS_OLD and app["app"].version == 1 and app["app"].source == OLD
    assert sys.modules["app"].price is price and price(1) == 2 and type(cart) is sys.modules["app"].Cart
    assert price.mark == "old" and price.seen == "by a client"
    app.update_many(SOURCES, removed=removed)
    transaction.commit()
    assert price(1) == 4 and app["app"].version == 2
    undo_last(app)
    assert state() == AS_OLD
    app._p_jar.db().close()
    assert database.run(PROGRAM) == AS_OLD + "\n"


def test_undo_of_an_undo(app, database):
    app.update_many(SOURCES)
    transaction.commit()
    undo_last(app)
    undo_last(app)
    assert state() == AS_NEW and app["app"].source == NEW
    app._p_jar.db().close()
    assert database.run(PROGRAM) == AS_NEW + "\n"


def test_undo_of_one_of_two_updates(app, database):
    persistmod.update("app", OLD.replace("limit = 3", "limit = 30"))
    transaction.commit()
    persistmod.update("app", OLD.replace("limit = 3", "limit = 40").replace("def gone", "def came(): return 1\ndef gone"))
    transaction.commit()
    undo_last(app)
    live = sys.modules["app"]
    assert live.Cart.limit == 30 and not hasattr(live, "came") and live.gone() == "gone"
    assert_update_works(app, database)


def test_refusal_between_good_updates_of_one_transaction(app, database):
    persistmod.update("app", OLD.replace("RATE = 2", "RATE = 5"))
    with pytest.raises(persistmod.BodyError):
        app.update_many({**SOURCES, "client": "1 / 0\n"})
    assert sys.modules["app"].RATE == 5 and app["app"].version == 2
    assert_update_works(app, database)
