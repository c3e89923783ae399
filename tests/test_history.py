"""The history of modules and definitions: who, when, why, what; the storage's own, after undo, pack and in the past too."""

import dataclasses
import gc
import textwrap
from datetime import UTC, datetime, timedelta

import pytest
import transaction
from processes import Database
from ZODB.DB import DB
from ZODB.interfaces import IMVCCStorage
from ZODB.MappingStorage import MappingStorage
from ZODB.POSException import UndoError
from zope.interface import alsoProvides

import persistmod
from persistmod import history

FIRST = """
def price(n): return n
def gone(): return 1
class Cart: pass
RATE = 1
"""
SECOND = """
def price(n): return 2 * n
class Cart: pass
class Order: pass
RATE = 1
"""
THIRD = """
def price(n): return 2 * n
class Cart: limit = 3
class Order: pass
def gone(): return 1
RATE = 2
"""


@pytest.fixture(params=["app.fs", "memory://"])
def registry(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    db = persistmod.open_db(request.param)
    registry = persistmod.get_registry(db.open())
    with persistmod.importing(registry):
        yield registry
    transaction.abort()
    db.close()


def commit(why="", who="root"):
    transaction.get().note(why)
    transaction.get().setUser(who)
    transaction.commit()


def make(registry, *sources, name="shop"):
    """Commit the sources as versions of a module."""
    registry.add(name, sources[0])
    commit("add")
    for number, source in enumerate(sources[1:], 2):
        registry.update(name, source)
        commit(f"update {number}", f"user {number}")


def what(revision):
    return revision.version, revision.why, revision.added, revision.changed, revision.removed, revision.reaped


def undo(registry, why):
    """Take back the transaction of that description."""
    found = history.undo(registry, tid_of(registry, why))
    commit(f"undo {why}")
    return found


def tid_of(registry, why):
    db = registry._p_jar.db()
    return next(history.decodebytes(entry["id"] + b"\n") for entry in db.undoLog(0, 100) if entry["description"] == why)


def test_module_tells_who_when_why_and_what(registry):
    before = datetime.now(UTC) - timedelta(seconds=1)
    make(registry, FIRST, SECOND, THIRD)
    third, second, first = registry.history("shop")
    assert what(first) == (1, "add", ("Cart", "gone", "price"), (), (), ())
    assert what(second) == (2, "update 2", ("Order",), ("price",), ("gone",), ())
    assert what(third) == (3, "update 3", ("gone",), ("Cart",), (), ())
    assert [revision.who for revision in (first, second, third)] == ["root", "user 2", "user 3"]
    assert before < first.when < second.when < third.when < datetime.now(UTC) + timedelta(seconds=1)
    assert first.when.tzinfo is UTC and {first.module, second.module} == {"shop"}
    assert first.tid < second.tid < third.tid and third.tid == registry["shop"]._p_serial.hex()
    assert {revision.run for revision in (first, second, third)} == {"once"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.who = "me"


def test_definition_has_only_the_versions_that_changed_it(registry):
    make(registry, FIRST, SECOND, THIRD)
    versions = {name: [revision.version for revision in registry.history(f"shop.{name}")] for name in ("price", "gone", "Cart", "Order")}
    assert versions == {"price": [2, 1], "gone": [3, 2, 1], "Cart": [3, 1], "Order": [2]}


def test_names_that_are_not_there(registry):
    make(registry, FIRST)
    with pytest.raises(persistmod.NotRegisteredError, match="no module market.price"):
        registry.history("market.price")
    with pytest.raises(persistmod.NotRegisteredError, match="module shop has no history of a definition prize") as caught:
        registry.history("shop.prize")
    assert (caught.value.module, caught.value.name) == ("shop", "prize")


def test_definition_of_a_submodule_that_has_the_name_of_a_module(registry):
    registry.add("shop", "def stock(): return 1\n", package=True)
    registry.add("shop.cart", "def total(): return 1\n")
    commit("add")
    assert [revision.module for revision in registry.history("shop.cart.total")] == ["shop.cart"]
    assert [revision.added for revision in registry.history("shop.stock")] == [("stock",)]


def test_module_that_is_not_committed_has_no_history(registry):
    registry.add("shop", FIRST)
    assert registry.history("shop") == []


def test_what_is_no_version_is_left_out(registry):
    make(registry, FIRST)
    import shop

    shop.RATE = 7
    commit("data")
    registry["shop"]._p_changed = True
    commit("data marked")
    registry["shop"].keep_image("another-0", registry["shop"].image(registry["shop"].tags[0]), {})
    commit("image")
    assert [revision.why for revision in registry.history("shop")] == ["add"]
    assert all(history.changes(registry, entry["tid"]) == [] for entry in written_later(registry))


def written_later(registry):
    entries = registry._p_jar._storage.history(registry["shop"]._p_oid, size=100)
    assert len(entries) > 1
    return entries[:-1]


def test_what_was_reaped_is_told(registry):
    make(registry, FIRST, SECOND)
    gc.collect()
    assert [leaked.name for leaked in registry.reap()] == ["gone"]
    commit("reap")
    latest, *_ = registry.history("shop")
    assert what(latest) == (2, "reap", (), (), (), ("gone",))
    assert [revision.why for revision in registry.history("shop.gone")] == ["reap", "update 2", "add"]


def test_storage_that_keeps_nothing_says_so(tmp_path):
    storage = MappingStorage()
    alsoProvides(storage, IMVCCStorage)  # as RelStorage does, which offers undo only with a history
    storage.new_instance = lambda: storage
    storage.poll_invalidations = list
    storage.sync = lambda force=True: None
    storage.release = lambda: None
    db = DB(storage)
    registry = persistmod.get_registry(db.open())
    storage.load = lambda oid, version="": MappingStorage.loadBefore(storage, oid, b"\x7f" + b"\xff" * 7)[:2]
    registry.add("shop", FIRST)
    transaction.commit()
    for action in (lambda: registry.history("shop"), lambda: history.undo(registry, b"\0" * 8)):
        with pytest.raises(persistmod.StorageError, match="storage MappingStorage keeps no history"):
            action()
    db.close()


# After a pack, and in the past


def test_pack_leaves_the_last_version_and_what_it_changed(registry):
    make(registry, FIRST, SECOND, THIRD)
    transaction.begin()
    registry._p_jar.db().pack()
    (left,) = registry.history("shop")
    assert what(left) == (3, "update 3", (), left.changed, (), ())
    assert "Cart" in left.changed and left.added == ()


def test_past_knows_no_later_history(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry, persistmod.importing(registry):
        make(registry, FIRST, SECOND, THIRD)
        tids = [revision.tid for revision in registry.history("shop")]
    with database.open(at=tids[1]) as registry:
        assert [revision.tid for revision in registry.history("shop")] == tids[1:]


def test_sources_of_the_past(registry):
    make(registry, FIRST, SECOND)
    moments = [bytes.fromhex(revision.tid) for revision in registry.history("shop")]
    assert history.source_before(registry, "shop", moments[0]) == FIRST
    assert history.source_before(registry, "shop", b"\x7f" + b"\xff" * 7) == SECOND
    assert history.source_before(registry, "shop.price", moments[0]) == "def price(n): return n\n"
    with pytest.raises(persistmod.NotRegisteredError, match="module shop had no definition Order then"):
        history.source_before(registry, "shop.Order", moments[0])
    with pytest.raises(persistmod.NotRegisteredError, match="no module shop in the database"):
        history.source_before(registry, "shop", moments[1])


# Undo


@pytest.fixture
def stored(tmp_path):
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        yield registry


def test_undo_says_what_it_does_and_is_a_version_of_its_own(stored, caplog):
    make(stored, FIRST, SECOND)
    import shop

    assert shop.price(3) == 6
    assert undo(stored, "update 2") == [history.Change("shop", 1, 2)]
    assert shop.price(3) == 3 and not hasattr(shop, "Order")
    latest = stored.history("shop")[0]
    assert what(latest) == (1, "undo update 2", ("gone",), ("price",), ("Order",), ())
    assert undo(stored, "undo update 2") == [history.Change("shop", 2, 1)]
    assert shop.price(3) == 6
    assert [revision.version for revision in stored.history("shop")] == [2, 1, 2, 1]
    assert caplog.messages == []


def test_undo_of_an_addition_and_of_a_removal(stored, caplog):
    make(stored, FIRST, SECOND)
    make(stored, FIRST, name="other")
    assert undo(stored, "add") == [history.Change("other", None, 1)]
    assert list(stored) == ["shop"]
    stored.remove("shop")
    commit("rm")
    assert undo(stored, "rm") == [history.Change("shop", 2, None)]
    assert list(stored) == ["shop"] and stored["shop"].source == SECOND
    assert caplog.messages == []


def test_undo_of_a_reaping_and_of_an_undone_addition(stored):
    make(stored, FIRST, SECOND)
    gc.collect()
    stored.reap()
    commit("reap")
    assert undo(stored, "reap") == [history.Change("shop", 2, 2)]
    import shop

    assert shop.gone() == 1
    make(stored, FIRST, name="other")
    undo(stored, "add")
    assert undo(stored, "undo add") == [history.Change("other", 1, None)]
    assert [what(revision) for revision in stored.history("other")] == [
        (1, "undo undo add", ("Cart", "gone", "price"), (), (), ()),
        (1, "add", ("Cart", "gone", "price"), (), (), ()),
    ]


def test_undo_of_what_was_changed_since_names_what_changed_it(stored, caplog):
    make(stored, FIRST, SECOND, THIRD)
    tid = tid_of(stored, "update 2")
    history.undo(stored, tid)
    with pytest.raises(UndoError):
        transaction.commit()
    transaction.abort()
    error = history.obstacle(stored, tid)
    later = stored.history("shop")[0].tid
    assert str(error) == f"cannot undo {tid.hex()}: since then shop was changed by {later} (update 3); undo that first"
    assert stored["shop"].source == THIRD
    assert caplog.messages == []


def test_undo_of_no_code_is_refused_unless_forced(stored):
    make(stored, FIRST)
    root = stored._p_jar.root()
    root["sold"] = 1
    commit("sell")
    with pytest.raises(persistmod.StorageError, match=r"\(sell\) changed no code"):
        history.undo(stored, tid_of(stored, "sell"))
    assert history.undo(stored, tid_of(stored, "sell"), force=True) == []
    commit("undo")
    assert "sold" not in root


def test_undo_of_what_is_not_there(stored):
    make(stored, FIRST)
    with pytest.raises(persistmod.StorageError, match="no transaction 00000000000000ff that can be undone"):
        history.undo(stored, bytes(7) + b"\xff")


def test_undo_in_memory(tmp_path):
    db = persistmod.open_db("memory://")
    registry = persistmod.get_registry(db.open())
    make(registry, FIRST)
    with pytest.raises(persistmod.StorageError, match="storage MappingStorage cannot undo"):
        history.undo(registry, registry["shop"]._p_serial)
    db.close()


def test_history_in_a_fresh_process(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry, persistmod.importing(registry):
        make(registry, FIRST, SECOND)
    program = textwrap.dedent("""
        print([(one.version, one.who, one.why) for one in registry.history("shop.price")])
        assert "shop" not in sys.modules
    """)
    assert database.run(program) == "[(2, 'user 2', 'update 2'), (1, 'root', 'add')]\n"
