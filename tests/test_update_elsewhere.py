"""Updates seen from elsewhere: persistent instances, ghosts and loaded, subclasses in other modules, frames that run."""

import sys

import persistent
import pytest
import transaction
from processes import Database

import persistmod

SHOP = """
import persistent
class Item(persistent.Persistent):
    tax = 1
    def __init__(self, n): self.n = n
    def total(self): return self.n + self.tax
class Base:
    def who(self): return "old"
    def rest(self): return "rest"
"""
EDITED = SHOP.replace("return self.n + self.tax", "return 10 * self.n + self.tax").replace("tax = 1", "tax = 2").replace('"old"', '"new"')


@pytest.fixture
def registry(tmp_path):
    """Give the registry, with the module `shop` loaded."""
    database = Database(tmp_path)
    database.add(shop=SHOP)
    with database.open() as registry, persistmod.importing(registry):
        import shop  # noqa: F401  what follows updates it

        yield registry


def test_persistent_instances_run_the_new_code_be_they_ghosts_or_not(registry):
    Item = sys.modules["shop"].Item
    root = registry._p_jar.root()
    root["ghost"], root["loaded"], root["changed"] = Item(1), Item(2), Item(3)
    transaction.commit()
    root["ghost"]._p_deactivate()
    root["changed"].n = 4
    new = Item(5)
    states = [root[name]._p_changed for name in ("ghost", "loaded", "changed")]
    registry.update("shop", EDITED)
    assert [root[name]._p_changed for name in ("ghost", "loaded", "changed")] == states == [None, False, True]
    assert [root[name].total() for name in ("ghost", "loaded", "changed")] == [12, 22, 42] and new.total() == 52
    transaction.commit()
    other = registry._p_jar.db().open(transaction.TransactionManager()).root()
    assert type(other["changed"]) is Item and other["changed"].total() == 42


def test_abort_leaves_persistent_instances_with_the_old_code(registry):
    root = registry._p_jar.root()
    root["item"] = sys.modules["shop"].Item(1)
    transaction.commit()
    registry.update("shop", EDITED)
    assert root["item"].total() == 12
    transaction.abort()
    assert root["item"].total() == 2 and root["item"].tax == 1


def test_persistent_class_whose_layout_would_change_is_refused_with_live_instances(registry):
    root = registry._p_jar.root()
    root["item"] = item = sys.modules["shop"].Item(1)
    transaction.commit()
    with pytest.raises(persistmod.UpdateError, match="Item"):
        registry.update("shop", SHOP.replace("    tax = 1\n", "    __slots__ = ('n',)\n    tax = 1\n"))
    assert root["item"] is item and item.total() == 2 and isinstance(item, persistent.Persistent)


def test_subclasses_in_a_module_of_the_database_and_in_a_file_see_the_new_base(registry, tmp_path, monkeypatch):
    (tmp_path / "filed.py").write_text("import shop\nclass Filed(shop.Base):\n    def who(self): return 'filed ' + super().who()\n")
    monkeypatch.syspath_prepend(tmp_path)
    stored = registry.add("stored", "import shop\nclass Stored(shop.Base):\n    def rest(self): return 'own'\n").module
    import filed

    instances = [filed.Filed(), stored.Stored()]
    try:
        registry.update("shop", EDITED.replace('"rest"', '"new rest"') + "    def more(self): return self.who()\n")
        assert [each.who() for each in instances] == ["filed new", "new"]
        assert [each.rest() for each in instances] == ["new rest", "own"] and [each.more() for each in instances] == ["filed new", "new"]
        assert filed.Filed.__bases__ == stored.Stored.__bases__ == (sys.modules["shop"].Base,)
    finally:
        del sys.modules["filed"]


def test_subclasses_elsewhere_are_made_again_where_the_layout_changes(registry, tmp_path, monkeypatch):
    (tmp_path / "filed.py").write_text("import shop\nclass Filed(shop.Base): ...\nkept = [Filed()]\n")
    monkeypatch.syspath_prepend(tmp_path)
    import filed

    filed.kept[0].mark = 1
    try:
        registry.update("shop", SHOP.replace("class Base:", "class Base:\n    __slots__ = ('a', '__dict__', '__weakref__')"))
        kept = filed.kept[0]
        assert type(kept) is filed.Filed and filed.Filed.__bases__ == (sys.modules["shop"].Base,)
        assert kept.mark == 1 and kept.who() == "old" and not hasattr(kept, "a")
    finally:
        del sys.modules["filed"]


SLOTTED = SHOP.replace("class Base:", "class Base:\n    __slots__ = ('a',)")


def test_instance_that_a_running_function_holds_cannot_move(registry):
    held = sys.modules["shop"].Base()
    with pytest.raises(persistmod.UpdateError, match="held by a running function"):
        registry.update("shop", SLOTTED)
    assert held.who() == "old" and type(held) is sys.modules["shop"].Base


def test_instance_that_a_suspended_generator_or_an_iterator_holds_cannot_move(registry):
    def suspended():
        held = sys.modules["shop"].Base()
        yield
        yield held.who()

    under_way = suspended()
    next(under_way)
    with pytest.raises(persistmod.UpdateError, match="held by a generator"):
        registry.update("shop", SLOTTED)
    assert next(under_way) == "old"
    del under_way
    bound = sys.modules["shop"].Base().__dir__
    with pytest.raises(persistmod.UpdateError, match="held by a builtin_function_or_method"):
        registry.update("shop", SLOTTED)
    del bound
    registry.update("shop", SLOTTED)
    assert sys.modules["shop"].Base.__slots__ == ("a",)


def test_generator_under_way_ends_with_its_old_code(registry):
    source = "def count():\n    yield 1\n    yield {}\n"
    count = registry.add("counting", source.format(2)).module.count
    under_way = count()
    next(under_way)
    registry.update("counting", source.format(20))
    assert next(under_way) == 2 and list(count()) == [1, 20]
