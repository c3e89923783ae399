"""Application objects and records elsewhere in the database, in a fresh process."""

import pytest
import transaction
from processes import Database

import persistmod

SHOP = """
import persistent

class Item(persistent.Persistent):
    def __init__(self, number):
        self.number = number
    def twice(self):
        return 2 * self.number

class Plain:
    def __init__(self, number):
        self.number = number

def price(number):
    return 3 * number

also_price = price
"""

STORE = """
import shop
from BTrees.OOBTree import OOBTree
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping

root = connection.root()
root["item"] = shop.Item(3)
root["plain"] = shop.Plain(4)
root["mapping"] = PersistentMapping(items=PersistentList([shop.Item(5), shop.Plain(6)]))
root["tree"] = OOBTree({number: shop.Item(number) for number in range(200)})
root["classes"] = [shop.Item, shop.Plain, shop.price]
root["function"] = registry["shop"].definitions["price"]
root["class"] = registry["shop"].definitions["Item"]
root["record"] = registry["shop"]
transaction.commit()
"""

READS = {
    "item": "assert root['item'].twice() == 6",
    "plain": "assert root['plain'].number == 4",
    "mapping": "assert [item.number for item in root['mapping']['items']] == [5, 6]",
    "tree": "assert [root['tree'][number].twice() for number in (0, 7, 199)] == [0, 14, 398]",
    "classes": "assert root['classes'][2](2) == 6 and root['classes'][1](1).number == 1",
    "function": "assert root['function'](5) == 15 and root['function'].function(5) == 15",
    "class": "assert root['class'].cls(4).twice() == 8",
    "record": "assert root['record'].module.price(1) == 3",
}
CHECK = """
import shop, types
assert type(root["item"]) is shop.Item is root["class"].cls is root["classes"][0]
assert type(root["plain"]) is shop.Plain
assert root["function"].function is shop.price and type(shop.price) is types.FunctionType
assert root["record"].module is shop
print("good")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("shop"))
    assert database.add(shop=SHOP) == {"shop": "once"}
    database.run(STORE)
    return database


@pytest.mark.parametrize("first", READS)
def test_objects_of_the_application_load_whatever_comes_first(shop, first):
    program = "root = connection.root()\n" + READS[first] + "\n" + "\n".join(READS.values()) + CHECK
    assert shop.run(program) == "good\n"


@pytest.mark.parametrize("name", ["function", "class", "record"])
def test_record_elsewhere_gives_the_live_object_without_the_hook(shop, name):
    program = f"root = connection.root()\n{READS[name]}\nassert not persistmod.importer.is_importing(root['persistmod'])"
    shop.run(program, hook=False)


def test_object_that_was_read_before_the_hook_was_on_is_read_again(shop):
    program = """
    root = connection.root()
    kinds = {type(root[name]).__bases__[0].__name__ for name in ("item", "plain")}
    assert kinds == {"PersistentBroken", "Broken"}, kinds
    persistmod.install(persistmod.get_registry(connection))
    assert root["item"].twice() == 6 and root["plain"].number == 4
    """
    shop.run(program, hook=False)


def test_change_of_an_object_that_was_made_meanwhile_survives_the_hook(shop):
    program = """
    root = connection.root()
    root["item"]
    root["mapping"].answer = 42
    with persistmod.importing(persistmod.get_registry(connection)):
        assert root["item"].twice() == 6
    assert root["mapping"].answer == 42
    """
    shop.run(program, hook=False)


def test_record_gives_the_live_object_of_a_package_that_imports_others_without_the_hook(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add("base", "def f(): return 1\n")
        registry.add("pack", "import base\n", package=True)
        registry.add("pack.other", "n = 2\n")
        inner = registry.add("pack.inner", "from . import other\nfrom base import f\ndef g(): return f() + other.n\n")
        registry._p_jar.root()["g"] = inner.definitions["g"]
        transaction.commit()
    program = "import sys\nassert connection.root()['g']() == 3\nassert 'pack' in sys.modules and 'base' in sys.modules"
    database.run(program, hook=False)


def test_identity_holds_between_modules(tmp_path):
    database = Database(tmp_path)
    database.add(
        a="def f(): return 1\nclass C: pass\nTABLE = {'f': f}\n",
        b="from a import f, C, TABLE\nclass D(C): pass\ndef g(call=f): return call\n",
        c="import a, b\nfrom b import f as again\nPAIR = (a.f, b.f)\n",
    )
    program = """
    import c, b, a
    assert a.f is b.f is c.again is c.PAIR[0] is c.PAIR[1] is b.g() is a.TABLE["f"]
    assert b.TABLE is a.TABLE and b.D.__mro__[1] is a.C is b.C
    """
    database.run(program)
    database.run(program.replace("import c, b, a", "import a, b, c"))


def test_functions_of_an_imported_module_see_their_own_globals(tmp_path):
    database = Database(tmp_path)
    database.add(a="n = 1\ndef get(): return n\n", b="n = 2\nfrom a import get\n")
    database.run("import a, b\nassert b.get() == 1\na.n = 5\nassert b.get() == 5")


def test_record_is_written_only_when_its_definition_changes(tmp_path):
    with Database(tmp_path).open() as registry:
        record = registry.add("shop", "def f(): return 1\ndef g(): return 2\n")
        transaction.commit()
        serials = {name: found._p_serial for name, found in record.definitions.items()}
        record.define(vars(record.module), "shop")
        transaction.commit()
        assert {name: found._p_serial for name, found in record.definitions.items()} == serials


def test_definition_knows_its_source_and_place(tmp_path):
    with Database(tmp_path).open() as registry:
        source = "x = 1\n\n\ndef f(a):\n    return a\n\n\nclass C:\n    def m(self): return 1\n"
        found = registry.add("shop", source).definitions
        assert sorted(found) == ["C", "f"]
        assert found["f"].source == "def f(a):\n    return a\n"
        assert (found["f"].name, found["f"].module_name, found["f"].version) == ("f", "shop", 1)
        assert type(found["f"]) is persistmod.PersistentFunction and type(found["C"]) is persistmod.PersistentClass
        assert repr(found["C"]) == "<PersistentClass shop.C>"


def test_alias_has_no_record_of_its_own(shop):
    with shop.open() as registry:
        assert sorted(registry["shop"].definitions) == ["Item", "Plain", "price"]


def test_definition_that_is_gone_is_a_specific_error(tmp_path):
    with Database(tmp_path).open() as registry:
        definition = registry.add("shop", "def f(): return 1\n").definitions["f"]
        del definition._module.module.f
        with pytest.raises(persistmod.DamagedRecordError, match=r"module 'shop' has no 'f' any more") as caught:
            definition()
        assert (caught.value.module, caught.value.name) == ("shop", "f")


def test_reading_registers_nothing_in_the_transaction(shop):
    program = """
    root = connection.root()
    import shop
    shop.price(2), root["item"].twice(), root["function"](1), registry["shop"].source
    assert connection._registered_objects == []
    """
    shop.run(program)


def test_connections_see_their_own_records_and_one_live_module(shop):
    program = """
    import shop
    second = db.open(transaction.TransactionManager())
    other = second.root()["persistmod"]["shop"]
    assert other is not registry["shop"]
    assert other.definitions["price"].function is shop.price
    """
    shop.run(program)
