"""What left the source of its module and stays: who uses it, what is reaped, in which processes it is."""

import gc
import sys

import pytest
import transaction
from processes import Database

import persistmod

BEFORE = """
import persistent
def used(): return 1
def unused(): return 2
class Item(persistent.Persistent):
    def twice(self): return __class__, self.n * 2
class Plain:
    def again(self): return super().__repr__()
TABLE = {"a": 1}
def stays(): return 3
"""
AFTER = "import persistent\ndef stays(): return 4\n"
NAMES = ["Item", "Plain", "TABLE", "unused", "used"]


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path)
    database.add(shop=BEFORE)
    return database


@pytest.fixture
def registry(database):
    """Give the registry, with the module `shop` loaded."""
    with database.open() as registry, persistmod.importing(registry):
        import shop  # noqa: F401  what follows updates it

        yield registry


def users(registry):
    gc.collect()
    return {leaked.name: (leaked.referrers, leaked.modules, leaked.records) for leaked in registry.leaks()}


def leave(registry, source=AFTER):
    registry.update("shop", source)
    transaction.commit()
    return sys.modules["shop"]


NOBODY = ((), (), ())


def test_what_left_is_told_with_the_version_and_the_source_that_last_had_it(registry):
    leave(registry)
    leaks = registry.leaks()
    assert sorted(leaked.name for leaked in leaks) == NAMES
    assert {(leaked.module, leaked.version) for leaked in leaks} == {("shop", 1)}
    sources = {leaked.name: leaked.source for leaked in leaks}
    assert sources["used"] == "def used(): return 1\n" and sources["TABLE"] == 'TABLE = {"a": 1}\n'


def test_version_is_carried_from_version_to_version(registry):
    leave(registry)
    leave(registry, AFTER + "def more(): pass\n")
    leave(registry, AFTER)
    assert {leaked.name: leaked.version for leaked in registry.leaks()} == {**dict.fromkeys(NAMES, 1), "more": 3}


def test_class_that_returns_is_the_one_that_left(registry):
    shop = sys.modules["shop"]
    plain, used, instance = shop.Plain, shop.used, shop.Plain()
    leave(registry)
    leave(registry, BEFORE.replace("return super().__repr__()", "return 'again'").replace("return 1", "return 10"))
    assert shop.Plain is plain and shop.used is used and instance.again() == "again" and used() == 10
    assert registry.leaks() == [] and not registry["shop"].leaks


def test_nothing_left_nothing_found(registry):
    assert registry.leaks() == registry.reap() == []


def test_holders_in_this_process_are_users(registry):
    shop = sys.modules["shop"]
    holder = {"held": [shop.used], "instance": shop.Plain(), "table": shop.TABLE}
    leave(registry)
    found = users(registry)
    assert {name for name, parts in found.items() if parts != NOBODY} == {"used", "Plain", "TABLE"}
    assert found["used"][0] == ("a list",)
    del holder
    assert all(parts == NOBODY for parts in users(registry).values())


def test_modules_that_mention_it_are_users(registry):
    leave(registry, AFTER + "def caller(): return used()\n")
    registry.add("client", "from shop import unused as other, stays\nimport shop\n")
    transaction.commit()
    del sys.modules["client"]
    found = {name: modules for name, (_, modules, _) in users(registry).items()}
    assert found == {"used": ("shop",), "unused": ("client",), "Item": (), "Plain": (), "TABLE": ()}


def test_records_that_name_it_are_users(registry):
    root = registry._p_jar.root()
    shop = sys.modules["shop"]
    root["item"], root["plain"], root["record"] = shop.Item(), {"deep": [shop.Plain]}, registry["shop"].definitions["used"]
    transaction.commit()
    oid = f"0x{int.from_bytes(root['item']._p_oid):02x}"
    registry._p_jar.cacheMinimize()
    leave(registry)
    steps = []
    found = {leaked.name: leaked.records for leaked in registry.leaks(lambda *step: steps.append(step))}
    assert found["Item"] == ("0x00 persistent.mapping.PersistentMapping", f"{oid} shop.Item")
    assert [len(found[name]) for name in ("Plain", "used", "unused", "TABLE")] == [1, 1, 0, 0]
    assert len(steps) > 5 and all(done <= total for done, total, _ in steps)


def test_reap_deletes_what_nobody_uses_everywhere(database, registry):
    held = sys.modules["shop"].used
    leave(registry)
    assert sorted(leaked.name for leaked in registry.reap()) == sorted(set(NAMES) - {"used"})
    transaction.commit()
    assert set(NAMES) & vars(sys.modules["shop"]).keys() == {"used"} and held() == 1
    assert set(registry["shop"].definitions) == {"stays", "used"} and registry.verify() == []
    registry._p_jar.db().close()
    assert database.run("import shop\nprint(sorted(name for name in vars(shop) if name[0] != '_'))") == "['persistent', 'stays', 'used']\n"


def test_abort_brings_back_what_was_reaped(registry):
    shop = leave(registry)
    before = [(name, id(value)) for name, value in vars(shop).items()]
    assert len(registry.reap()) == len(NAMES)
    transaction.abort()
    assert [(name, id(value)) for name, value in vars(shop).items()] == before
    assert sorted(registry["shop"].leaks) == NAMES and "used" in registry["shop"].definitions
    assert shop.used() == 1 and len(registry.leaks()) == len(NAMES)


def test_reap_is_followed(tmp_path, registry):
    leave(registry)
    db = registry._p_jar.db()
    other = persistmod.get_registry(db.open(transaction.TransactionManager()))
    assert len(other.reap()) == len(NAMES)
    other._p_jar.transaction_manager.commit()
    transaction.begin()
    assert not set(NAMES) & vars(sys.modules["shop"]).keys() and sys.modules["shop"].stays() == 4


def test_fresh_process_has_what_left_and_its_own_globals(database, registry):
    leave(registry)
    registry._p_jar.db().close()
    program = """
    import shop
    print(shop.used(), shop.stays(), shop.used.__globals__ is vars(shop), shop.TABLE, shop.Plain().again()[:12])
    print(sorted(leaked.name for leaked in registry.leaks()))
    """
    assert database.run(program) == f"1 4 True {{'a': 1}} <shop.Plain \n{NAMES}\n"


def test_class_that_returns_has_nothing_of_the_version_that_left_but_what_clients_gave_it(registry):
    before = "class P: pass\nclass A(P):\n    x = y = 1\n    def old(self): return 1\n    def f(self): return 1\n"
    after = "class O: pass\nclass A(O):\n    x = 2\n    def f(self): return 2\n"
    shop = sys.modules["shop"]
    registry.update("shop", before)
    held, shop.A.client = shop.A(), True
    registry.update("shop", "")
    registry.update("shop", after)
    assert type(held) is shop.A and held.f() == held.x == 2 and held.client and isinstance(held, shop.O)
    assert not hasattr(held, "y") and not hasattr(held, "old")
