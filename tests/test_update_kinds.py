"""A module that becomes a package in place, by `update_many` and by `sync`."""

import importlib.resources
import inspect
import linecache
import sys
import textwrap

import pytest
import transaction
from processes import Database

import persistmod
from persistmod.errors import BodyError

BEFORE = "RATE = 2\nTABLE = [1]\ndef price(n): return RATE * n\nclass Cart:\n    def total(self): return price(1)\n"
AFTER = "from .rates import RATE\nTABLE = [1]\ndef price(n): return RATE * n\nclass Cart:\n    def total(self): return price(10)\n"
SOURCES = {"shop": AFTER, "shop.rates": "RATE = 3\n"}


@pytest.fixture
def registry(tmp_path):
    with Database(tmp_path).open() as registry:
        registry.add("shop", BEFORE)
        transaction.commit()
        yield registry


def become(registry, sources=SOURCES, **data):
    return registry.update_many(sources, packages=["shop"], data={"shop": data} if data else {})


def test_what_is_held_follows(registry):
    module = registry["shop"].module
    price, cart, table = module.price, module.Cart(), module.TABLE
    table.append("mine")
    become(registry, note=b"text")
    assert sys.modules["shop"] is module and module.price is price and price(1) == 3 and cart.total() == 30
    assert module.TABLE is table == [1, "mine"] and module.rates is sys.modules["shop.rates"]
    spec = module.__spec__
    assert (module.__package__, module.__path__, spec.parent) == ("shop", spec.submodule_search_locations, "shop")
    assert module.__file__ == spec.origin == price.__code__.co_filename == "<persistmod>/shop/__init__.py"
    assert module.__loader__.is_package("shop") and importlib.resources.files("shop").joinpath("note").read_text() == "text"
    linecache.checkcache()
    assert inspect.getsource(price) == "def price(n): return RATE * n\n" and registry["shop"].is_package


def test_abort_makes_it_a_module_again(registry):
    module = registry["shop"].module
    before, price = dict(vars(module)), module.price
    code = price.__code__
    become(registry)
    transaction.abort()
    assert vars(module) == before and price.__code__ is code and price(1) == 2
    assert not registry["shop"].is_package and sorted(registry) == ["shop"] and "shop.rates" not in sys.modules
    become(registry)
    transaction.commit()
    assert price(1) == 3


def test_failure_leaves_it_a_module(registry):
    module = registry["shop"].module
    before = dict(vars(module))
    with pytest.raises(BodyError, match="shop"):
        become(registry, {"shop": AFTER, "shop.rates": "1 / 0\n"})
    assert vars(module) == before and not registry["shop"].is_package and not registry["shop"]._p_changed
    registry.update("shop", BEFORE.replace("RATE * n", "RATE + n"))
    assert module.price(1) == 3


def test_the_same_source_in_a_package(registry):
    module = registry["shop"].module
    become(registry, {"shop": BEFORE})
    transaction.commit()
    assert module.__path__ and module.price.__code__.co_filename == module.__file__ and module.Cart().total() == 2
    version = registry["shop"].version
    assert become(registry, {"shop": BEFORE})["shop"].steps == () and registry["shop"].version == version


def test_module_that_was_converted(tmp_path):
    (tmp_path / "converted_shop.py").write_text(BEFORE)
    sys.path.insert(0, str(tmp_path))
    try:
        with Database(tmp_path).open() as registry:
            import converted_shop as module

            persistmod.convert(module, registry=registry)
            price = module.price
            sources = {name.replace("shop", "converted_shop"): text for name, text in SOURCES.items()}
            registry.update_many(sources, packages=["converted_shop"])
            assert price(1) == 3 and module.__file__ == price.__code__.co_filename == "<persistmod>/converted_shop/__init__.py"
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("converted_shop", None)


def test_other_processes(tmp_path, nodes):
    path = str(tmp_path / "app.fs")
    one = nodes(path)
    one("registry.add('shop', source); transaction.commit()", source=BEFORE)
    other = nodes(path)
    other("import shop; price, cart, module = shop.price, shop.Cart(), shop")
    one("registry.update_many(sources, packages=['shop']); transaction.commit()", sources=SOURCES)
    other("receive(); transaction.begin()")
    assert other("price(1), cart.total(), shop is module, shop.price is price") == (3, 30, True, True)
    seen = textwrap.dedent("""
        import importlib, sys
        shop = importlib.import_module('shop')
        inside = importlib.import_module('shop.rates') is shop.rates
        (inside, shop.__package__, shop.__path__, shop.__file__, shop.price.__code__.co_filename, shop.__spec__.parent)
    """)
    assert other(seen) == nodes(path)(seen) == one(seen)
