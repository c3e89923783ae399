"""The registry: names to records, packages, removal, transactions, verification."""

import pickle
import sys
import types
from collections.abc import Mapping

import pytest
import transaction
from processes import Database

import persistmod
from persistmod.registry import Finding

SHOP = """
import persistent
TABLE = {}
class Cart:
    "A cart."
    size = 2
    class Line:
        def price(self): return 5
    def __len__(self): return self.size
    def __eq__(self, other): return True
    __hash__ = None
    def __getattr__(self, name): return name.upper()
    def __call__(self): return "called"
    def __getitem__(self, key): return key
    @property
    def twice(self): return 2 * self.size
    @staticmethod
    def static(): return "static"
    @classmethod
    def made(cls): return cls()
    def __getstate__(self): return {"size": 9}
class Slotted:
    __slots__ = ("a",)
class Item(persistent.Persistent):
    count = 0
item = Item()
cart = Cart()
def deco(function):
    def inner(*args): return function(*args) + 1
    return inner
@deco
def f(n, *more, key=[1], **rest): return n
lam = lambda: f(1)
handlers = [f, lam, (Cart, f)]
bound = cart.made
def counter():
    global total
    total += 1
    return total
total = 0
"""


@pytest.fixture
def registry(tmp_path):
    with Database(tmp_path).open() as registry:
        yield registry


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("shop"))
    database.add(shop=SHOP)
    return database


def test_registry_is_a_mapping_of_records(registry):
    record = registry.add("shop", "x = 1\n")
    assert isinstance(registry, Mapping) and registry["shop"] is record and list(registry) == ["shop"]
    assert "shop" in registry and "other" not in registry and 7 not in registry and len(registry) == 1
    assert registry.get("other") is None and dict(registry) == {"shop": record} and registry == registry
    with pytest.raises(KeyError):
        registry["other"]


def test_added_module_is_returned_and_live(registry):
    record = registry.add("shop", "x = 1\n")
    assert type(record) is persistmod.PersistentModule and type(record.module) is types.ModuleType
    assert (record.name, record.source, record.version, record.is_package) == ("shop", "x = 1\n", 1, False)
    assert record.module.x == 1 and repr(record) == "<PersistentModule shop>"


def test_source_is_kept_as_it_was_given(registry):
    for name, source in {"a": "x = 1", "b": "", "c": "x = 'é'\r\n", "d": b"# coding: latin-1\nx = '\xe9'\r"}.items():
        record = registry.add(name, source)
        assert record.source_bytes == (source if isinstance(source, bytes) else source.encode())
    assert registry["c"].source == "x = 'é'\n" and registry["d"].source == "# coding: latin-1\nx = 'é'\n"


def test_missing_parents_become_namespace_packages(registry):
    registry.add("a.b.c", "x = 1\n")
    assert list(registry) == ["a", "a.b", "a.b.c"]
    assert registry["a"].is_package and not registry["a"].has_source and repr(registry["a.b"]) == "<PersistentPackage a.b>"
    with persistmod.importing(registry):
        import a.b.c

        assert a.b.c.x == 1 and list(a.__path__) and a.b.c.__package__ == "a.b"


def test_failed_addition_leaves_no_parents(registry):
    with pytest.raises(persistmod.BodyError):
        registry.add("a.b.c", "1 / 0\n")
    assert list(registry) == [] and not {"a", "a.b", "a.b.c"} & set(sys.modules)


def test_namespace_package_gets_a_source_later(registry):
    registry.add("a.b", "x = 1\n")
    registry.add("a", "y = 2\nfrom .b import x\n", package=True)
    assert registry["a"].has_source and registry["a"].module.x == 1


def test_module_is_an_attribute_of_its_package(registry):
    registry.add("pack", "x = 1\n", package=True)
    package = registry["pack"].module
    registry.add("pack.sub", "y = 2\n")
    assert package.sub.y == 2


def test_remove_takes_a_module_and_all_that_is_in_a_package(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        for name in ("pack", "pack.sub", "pack.sub.leaf", "package", "other"):
            registry.add(name, "def f(): return 1\n", package=name in ("pack", "pack.sub"))
        held, parent = registry["pack.sub.leaf"].module.f, registry["pack"].module
        transaction.commit()
        registry.remove("pack.sub")
        assert list(registry) == ["other", "pack", "package"] and not hasattr(parent, "sub")
        assert "pack.sub" not in sys.modules and "pack.sub.leaf" not in sys.modules and held() == 1
        transaction.commit()
        with pytest.raises(persistmod.NotRegisteredError):
            registry.remove("pack.sub")
    with database.open() as registry:
        assert list(registry) == ["other", "pack", "package"]


def test_what_others_imported_of_a_removed_module_keeps_working(tmp_path):
    database = Database(tmp_path)
    database.add(base="def f(): return g()\ndef g(): return 1\n", user="from base import f\n")
    program = """
    import user
    registry.remove("base")
    assert user.f() == 1
    transaction.commit()
    """
    database.run(program)
    program = """
    try:
        import user
    except ModuleNotFoundError as error:
        print(error)
    """
    assert database.run(program) == "No module named 'base'\n"


def test_removed_name_is_free_again(registry):
    registry.add("shop", "x = 1\n")
    registry.remove("shop")
    assert registry.add("shop", "x = 2\n").module.x == 2


def test_abort_takes_an_addition_back(tmp_path):
    with Database(tmp_path).open() as registry:
        transaction.commit()
        registry.add("pack.shop", "x = 1\n")
        assert registry["pack.shop"].module.x == 1
        transaction.abort()
        assert list(registry) == [] and "pack.shop" not in sys.modules and "pack" not in sys.modules


def test_abort_takes_a_removal_back(tmp_path):
    with Database(tmp_path).open() as registry:
        registry.add("pack", "", package=True)
        registry.add("pack.shop", "x = 1\n")
        transaction.commit()
        module = registry["pack.shop"].module
        registry.remove("pack.shop")
        transaction.abort()
        assert registry["pack.shop"].module is module is sys.modules["pack.shop"] is sys.modules["pack"].shop


def test_savepoint_takes_an_addition_back(tmp_path):
    with Database(tmp_path).open() as registry:
        registry.add("one", "class K: pass\n")
        savepoint = transaction.savepoint()
        registry.add("two", "class K: pass\n")
        savepoint.rollback()
        assert list(registry) == ["one"] and "two" not in sys.modules and "one" in sys.modules
        transaction.commit()
        assert registry.verify() == []


def test_two_additions_of_one_name_conflict(tmp_path):
    from ZODB.POSException import ConflictError

    database = Database(tmp_path)
    database.add(first="x = 0\n")
    db = persistmod.open_db(database.path)
    managers = [transaction.TransactionManager() for number in range(2)]
    registries = [persistmod.get_registry(db.open(manager)) for manager in managers]
    for number, registry in enumerate(registries):
        registry.add("shop", f"x = {number}\n")
        sys.modules.pop("shop")
    managers[0].commit()
    with pytest.raises(ConflictError):
        managers[1].commit()
    managers[1].abort()
    assert registries[1]["shop"].source == "x = 0\n"
    db.close()


def test_registry_is_made_on_demand_and_once(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        assert persistmod.get_registry(registry._p_jar) is registry
        transaction.commit()
    with database.open() as registry:
        assert registry._p_oid is not None and not registry._p_jar._registered_objects


def test_everything_of_a_module_works_in_a_fresh_process(shop):
    program = """
    import shop, inspect, types
    cart = shop.Cart()
    assert len(cart) == 2 and cart == 1 and cart.colour == "COLOUR" and cart() == "called" and cart[3] == 3
    assert cart.twice == 4 and shop.Cart.static() == "static" and type(shop.Cart.made()) is shop.Cart
    assert cart.__getstate__() == {"size": 9} and shop.Cart.Line().price() == 5
    assert shop.f(1) == 2 and shop.lam() == 2 and shop.handlers[0] is shop.f and shop.handlers[2][0] is shop.Cart
    assert shop.bound.__self__ is shop.Cart and shop.Cart.__doc__ == "A cart."
    assert shop.counter() == 1 and shop.counter() == 2 == shop.total
    assert inspect.isfunction(shop.counter) and shop.Cart.__len__ is shop.Cart.__dict__["__len__"]
    assert type(shop.Cart) is type and not hasattr(shop.Cart, "_p_oid") and type(shop.cart) is shop.Cart
    shop.Slotted().a = 1
    try:
        shop.Cart.__len__()
    except TypeError:
        pass
    else:
        raise AssertionError
    """
    shop.run(program)


def test_persistent_objects_of_a_module_are_records(shop):
    program = """
    import shop
    assert shop.item._p_jar is connection and shop.item.count == 0
    connection.root()["item"] = shop.item
    shop.item.count = 7
    assert shop.item._p_changed
    transaction.commit()
    """
    shop.run(program)
    program = """
    root = connection.root()
    first = root["item"].count
    import shop
    assert shop.item is root["item"] and shop.item.count == 7 == first
    """
    shop.run(program)


def test_function_attributes_live_on_the_function(tmp_path):
    database = Database(tmp_path)
    database.add(shop="def f(): pass\nf.tag = 'first'\nf.table = {}\nf.table[1] = f\n")
    database.run("import shop\nassert shop.f.tag == 'first' and shop.f.table == {1: shop.f} and vars(shop.f).keys() == {'tag', 'table'}")


def test_modules_in_containers_and_globals_are_by_reference(tmp_path):
    database = Database(tmp_path)
    database.add(base="x = 1\n", shop="import base, json\nTABLE = {'base': base, 'json': json, 'dumps': json.dumps}\n")
    database.run("import shop, json, base\nassert shop.TABLE == {'base': base, 'json': json, 'dumps': json.dumps}")


def test_every_connection_of_the_process_shares_the_live_module(tmp_path):
    database = Database(tmp_path)
    database.add(shop="x = 1\n")
    program = """
    import shop
    second = persistmod.get_registry(db.open(transaction.TransactionManager()))
    assert second["shop"].module is shop and second["shop"] is not registry["shop"]
    """
    database.run(program)


def test_adding_prints_nothing(registry, capfd):
    registry.add("shop", SHOP)
    transaction.commit()
    assert capfd.readouterr() == ("", "")


def test_verify_finds_nothing_wrong_in_a_good_database(shop):
    with shop.open() as registry:
        steps = []
        assert registry.verify(lambda *step: steps.append(step)) == []
        assert all(name in registry for done, total, name in steps)


def test_findings_and_reports_are_values():
    finding = Finding("shop", "shop.f", "it is gone")
    assert pickle.loads(pickle.dumps(finding)) == finding and hash(finding)
    with pytest.raises(AttributeError):
        finding.module = "other"


def test_run_is_said_by_the_caller(registry):
    always = registry.add("a", "x = 1\n", run="always")
    assert (always.run, always.run_reason) == ("always", "the caller said so")
    once = registry.add("b", "import os\nx = os.environ.get('HOME')\n", run="once")
    assert (once.run, once.run_reason) == ("once", "")
    auto = registry.add("c", "import os\nx = os.environ.get('HOME')\n")
    assert auto.run == "always" and "environ" in auto.run_reason


def test_file_name_of_the_caller_is_used(registry):
    record = registry.add("shop", "def f(): pass\n", filename="/somewhere/shop.py")
    assert record.module.__file__ == record.module.f.__code__.co_filename == "/somewhere/shop.py"
